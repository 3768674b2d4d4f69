//! How a figure is printed and kept, beside its goal where it has one, and how time is taken.

mod goals;

use std::fs::OpenOptions;
use std::io::Write;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// One figure of ours, alone.
pub(crate) fn figure(name: &str, value: f64, unit: &str) {
    let goal = goals::beside(name, "", value, None);
    line(&format!(r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}"{goal}}}"#));
}

/// Our figure beside a contender's: one line, with ours over theirs.
pub(crate) fn versus(name: &str, value: f64, unit: &str, contender: &str, theirs: f64) {
    let ratio = value / theirs;
    let goal = goals::beside(name, contender, value, Some(ratio));
    line(&format!(
        r#"{{"name":"{name}","value":{value:.3},"unit":"{unit}","versus":"{contender}","theirs":{theirs:.3},"ratio":{ratio:.4}{goal}}}"#
    ));
}

fn line(text: &str) {
    println!("{text}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/bench.jsonl");
    let file = OpenOptions::new().create(true).append(true).open(path);
    writeln!(file.unwrap(), "{text}").unwrap();
}

/// The processor time that this thread has taken: what else the machine does is not in it.
pub(crate) fn cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}
