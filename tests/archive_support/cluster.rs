//! A private PostgreSQL server for the tests of one process, and databases on it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use postgres::{Client, NoTls};

/// A server that was started. It ends, and its directory goes, with this process (or when this is
/// dropped): the script that runs it sees its input end.
pub struct Cluster {
    /// Of the socket and the data.
    pub dir: PathBuf,
    port: u16,
    script: Mutex<Option<Script>>,
    databases: AtomicU32,
}

struct Script {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<std::process::ChildStdout>,
}

/// A database that is dropped with this.
pub struct Database {
    pub url: String,
    name: String,
    cluster: &'static Cluster,
}

/// Where the server's programs are.
pub fn programs() -> PathBuf {
    let all = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = all
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("postgres").exists().then_some((version, bin))
        })
        .collect();
    found.sort();
    let newest = found.pop();
    newest.expect("PostgreSQL is not installed: run tests/setup/postgres.sh").1
}

impl Cluster {
    /// A server with these lines of configuration beside the usual, on a socket alone.
    pub fn start(settings: &[&str]) -> Cluster {
        Cluster::start_on(5432, settings)
    }

    /// As [`Cluster::start`], with another port for where the settings let it listen.
    pub fn start_on(port: u16, settings: &[&str]) -> Cluster {
        Cluster::launch(port, settings, None)
    }

    /// A replica of another, by streaming.
    pub fn standby_of(primary: &Cluster, settings: &[&str]) -> Cluster {
        Cluster::launch(primary.port, settings, Some(primary))
    }

    fn launch(port: u16, settings: &[&str], primary: Option<&Cluster>) -> Cluster {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archive_support/cluster.sh");
        let mut bash = Command::new("bash");
        match primary {
            Some(primary) => bash.env("STANDBY_OF", &primary.dir),
            None => bash.env_remove("STANDBY_OF"),
        };
        let mut child = bash
            .arg(script)
            .arg(programs())
            .arg(port.to_string())
            .args(settings)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let orders = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap());
        let mut dir = String::new();
        answers.read_line(&mut dir).unwrap();
        let dir = PathBuf::from(dir.trim_end());
        assert!(dir.is_absolute(), "the PostgreSQL server did not start; see above");
        let script = Mutex::new(Some(Script { child, orders, answers }));
        Cluster { dir, port, script, databases: AtomicU32::new(0) }
    }

    /// The one that the tests of this process share.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&["synchronous_commit = off", "autovacuum = off"]))
    }

    /// Tells the script `start`, `stop`, `crash` or `pid` and gives its answer, the server's
    /// process id.
    pub fn order(&self, what: &str) -> String {
        let mut script = self.script.lock().unwrap();
        let script = script.as_mut().unwrap();
        writeln!(script.orders, "{what}").unwrap();
        let mut answer = String::new();
        script.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the PostgreSQL server did not {what}");
        answer.trim_end().to_owned()
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@/{database}?host={}&port={}", self.dir.display(), self.port)
    }

    /// A client for whatever a test has to do beside the archive.
    pub fn client(&self, database: &str) -> Client {
        Client::connect(&self.url(database), NoTls).unwrap()
    }

    /// A server of a test's own, to be stopped and started.
    pub fn of_its_own(settings: &[&str]) -> &'static Cluster {
        Box::leak(Box::new(Cluster::start(settings)))
    }

    /// A new, empty database.
    pub fn database(&'static self) -> Database {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::SeqCst));
        let text = format!("CREATE DATABASE {name} STRATEGY file_copy");
        self.client("postgres").batch_execute(&text).unwrap();
        Database { url: self.url(&name), name, cluster: self }
    }
}

impl Database {
    pub fn client(&self) -> Client {
        self.cluster.client(&self.name)
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(mut script) = self.script.lock().unwrap().take() {
            drop(script.orders);
            let _ = script.child.wait();
        }
    }
}

impl Drop for Database {
    /// Where the server is away, its directory goes anyway.
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.cluster.url("postgres"), NoTls) {
            let _ = client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}
