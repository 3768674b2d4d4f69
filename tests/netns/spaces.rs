//! Network namespaces: one for each node, joined by a pair of virtual devices to that of the test,
//! with a bound on the rate both ways.
//!
//! What must hold: all of it is gone when the test ends, however it ends. So the test runs itself
//! again as the first process of namespaces of its own (of the network, of processes, of mounts):
//! when that process is gone the kernel ends the others and takes the namespaces down. Nodes reach
//! each other by what the test lets through alone: nothing is routed.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};

/// Set for the process that is inside.
const INSIDE: &str = "WAKUSTORE_TEST_INSIDE";
/// The port that nodes listen at.
pub const PORT: u16 = 60_000;

/// Whether this process is the one inside. Where it is not, runs this test there, to its end.
///
/// # Panics
/// Where the test inside fails, or the machine does not let anybody make namespaces: that is a
/// failure, as what is tested here can be tested in no other way.
pub fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        std::thread::spawn(|| {
            // Whoever started this is gone when its end of the pipe is.
            let _ = std::io::stdin().lock().read_to_end(&mut Vec::new());
            std::process::exit(1);
        });
        run("mount", "-t tmpfs tmpfs /run");
        run("ip", "link set lo up");
        return true;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let probe = unshare.arg("true").output();
    let probe = probe.expect("unshare, of util-linux (tests/setup/netns.sh)");
    assert!(
        probe.status.success(),
        "NO NETWORK NAMESPACES on this machine: the test needs CAP_SYS_ADMIN and CAP_NET_ADMIN, or \
         user namespaces. {}",
        String::from_utf8_lossy(&probe.stderr)
    );
    let mut unshare = rebuilt(&unshare);
    let mut running = unshare
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // Kept open until it ends.
    let stdin = running.stdin.take();
    let status = running.wait().unwrap();
    drop(stdin);
    assert!(status.success(), "{test} failed in its namespaces: {status}");
    false
}

/// The same command without its last argument.
fn rebuilt(command: &Command) -> Command {
    let args: Vec<_> = command.get_args().collect();
    let mut again = Command::new(command.get_program());
    again.args(&args[..args.len() - 1]);
    again
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

/// Runs a program of iproute2 or util-linux, with arguments that have no blanks in them.
pub fn run(program: &str, args: &str) {
    let ended = Command::new(program).args(args.split_whitespace()).output();
    let ended = ended.unwrap_or_else(|e| panic!("{program} (tests/setup/netns.sh): {e}"));
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{program} {args}: {stderr}");
}

/// The end of a node's cable that is in the test's namespace.
fn device(node: usize) -> String {
    format!("node{node}")
}

/// Where a node listens.
pub fn of_node(node: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 77, 1 + node as u8, 2), PORT).into()
}

/// Where the test listens for one node that dials another.
pub fn on_the_way(from: usize, to: usize) -> SocketAddr {
    (Ipv4Addr::new(10, 77, 1 + from as u8, 1), PORT + 1 + to as u16).into()
}

/// Makes the namespace of a node.
pub fn add(node: usize, megabits: u32) {
    let (name, near, far) = (device(node), on_the_way(node, 0).ip(), of_node(node).ip());
    run("ip", &format!("netns add {name}"));
    run("ip", &format!("link add {name} type veth peer name eth0 netns {name}"));
    run("ip", &format!("addr add {near}/24 dev {name}"));
    run("ip", &format!("-n {name} addr add {far}/24 dev eth0"));
    let rate = format!("root tbf rate {megabits}mbit burst 16kb latency 400ms");
    run("tc", &format!("qdisc add dev {name} {rate}"));
    run("tc", &format!("-n {name} qdisc add dev eth0 {rate}"));
    run("ip", &format!("-n {name} link set lo up"));
    run("ip", &format!("-n {name} link set eth0 up"));
    plug(node, true);
}

/// Pulls a node's cable, or puts it back.
pub fn plug(node: usize, up: bool) {
    run("ip", &format!("link set {} {}", device(node), if up { "up" } else { "down" }));
}

/// A program in a node's namespace. (It is the process itself: it can be killed by its id.)
pub fn command(node: usize) -> Command {
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{}", device(node)));
    command.arg(std::env::current_exe().unwrap());
    command
}
