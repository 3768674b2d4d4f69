//! A process that a test starts: what it says, what it takes of the machine, and its end.
//!
//! The process is the test's own program, run again so that one of its tests, which does nothing
//! otherwise, becomes the other process. What it has to say it says by [`say`], each in a line.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Before each line that is meant for the other side: the test harness prints too.
const MARK: &str = "@ ";
/// The longest that is waited for a line.
const PATIENCE: Duration = Duration::from_secs(90);

/// Says a line to whoever started this process.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever started this may be gone.
    let _ = writeln!(out, "\n{MARK}{line}").and_then(|()| out.flush());
}

/// The next line that this process is told; `None` where whoever started it has enough.
pub async fn told() -> Option<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).ok().filter(|n| *n > 0).map(|_| line)
    });
    read.await.unwrap().map(|line| line.trim().to_owned())
}

/// A process; killed when this goes, also where the test fails.
pub struct Process {
    child: Child,
    input: Option<ChildStdin>,
    said: mpsc::Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Runs one test of this program again with these in its environment; with the least claim to
    /// the processor, where it is `humble`.
    pub fn again(test: &str, environment: &[(&str, String)], humble: bool) -> Process {
        let program = std::env::current_exe().unwrap();
        let mut command = match humble {
            true => {
                let mut nice = Command::new("nice");
                nice.args(["-n", "19"]).arg(program);
                nice
            }
            false => Command::new(program),
        };
        command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
        Process::of(command.envs(environment.iter().map(|(name, value)| (name, value))))
    }

    /// Starts this.
    pub fn of(command: &mut Command) -> Process {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (saying, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK)
                    && saying.send(line.to_owned()).is_err()
                {
                    break;
                }
            }
        });
        let input = child.stdin.take();
        Process { child, input, said }
    }

    /// Tells it a line.
    pub fn tell(&mut self, line: &str) {
        writeln!(self.input.as_mut().expect("it was not told to end"), "{line}").unwrap();
    }

    /// Its next line that begins so, without that.
    pub fn says(&mut self, word: &str) -> String {
        loop {
            let line = self.said.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it does not say {word:?}"));
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
    }

    /// Asks it something and takes the answer, which begins with the first word.
    pub fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.says(line.split_whitespace().next().unwrap())
    }

    /// Closes its input, and waits for its end. Whether it ended well.
    pub fn end(mut self) -> bool {
        drop(self.input.take());
        self.child.wait().unwrap().success()
    }

    /// Ends it where it stands.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of /proc/PID/status, in KiB.
    fn status(&self, name: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
    }

    /// The memory that it has in use now, in KiB.
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// From now on the peak counts anew.
    pub fn forget_peak(&self) {
        std::fs::write(format!("/proc/{}/clear_refs", self.id()), "5").unwrap();
    }

    /// The most memory that it had in use, in KiB.
    pub fn peak(&self) -> usize {
        self.status("VmHWM:")
    }

    /// The files and sockets that it has open.
    pub fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id())).unwrap().count()
    }

    /// The processor time that it has taken.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap();
        let after_name = stat.rsplit_once(')').unwrap().1;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // User and system time, in hundredths of a second.
        [11, 12].iter().map(|at| Duration::from_millis(10) * fields[*at].parse().unwrap()).sum()
    }
}
