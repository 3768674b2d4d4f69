//! TLS towards a real PostgreSQL server, by certificates of an authority that the test makes.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod archive_support;

use std::net::TcpListener;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use archive_support::cluster::Cluster;
use archive_support::*;
use wakustore::ErrorKind;
use wakustore::archive::nwaku::{ExportOptions, ImportOptions, export_postgres, import_postgres};
use wakustore::archive::{Archive, MemoryBackend, PostgresBackend, PostgresConfig};
use wakustore::error::Error;

fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output();
    let output = output.expect("openssl is not installed: run tests/setup/postgres.sh");
    assert!(output.status.success(), "{args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority and another, and a server's certificate of the first, for `localhost`.
fn certificates(dir: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    for name in ["ca", "other"] {
        let subject = format!("-subj /CN={name} -keyout {name}.key -out {name}.pem");
        openssl(dir, &format!("req -x509 {key} {subject}"));
    }
    openssl(
        dir,
        "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=server \
         -keyout server.key -out server.csr",
    );
    std::fs::write(dir.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=CA:FALSE\n")
        .unwrap();
    openssl(
        dir,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
    // The server takes the key of its own user alone.
    if Command::new("id").arg("-u").output().unwrap().stdout == b"0\n" {
        let mut chown = Command::new("chown");
        chown.arg("postgres").args(["server.key", "server.pem"]).current_dir(dir);
        assert!(chown.status().unwrap().success());
        let open = Command::new("chmod").arg("755").arg(dir).status().unwrap();
        assert!(open.success());
    }
    let close = Command::new("chmod").args(["600", "server.key"]).current_dir(dir).status();
    assert!(close.unwrap().success());
}

#[test]
fn each_mode_of_tls_trusts_whom_it_should() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let settings = [
        "listen_addresses = '127.0.0.1'".to_owned(),
        "ssl = on".to_owned(),
        format!("ssl_cert_file = '{}'", path("server.pem")),
        format!("ssl_key_file = '{}'", path("server.key")),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start_on(port, &settings)));
    let database = cluster.database();
    let open = |host: &str, options: &str| -> Result<bool, Error> {
        let url = format!("postgres://postgres@{host}:{port}/{}?{options}", database.name());
        let archive = Archive::open(PostgresBackend::open(PostgresConfig::new(url))?, config())?;
        import(&archive, vec![message(0, 0, 1, "over TLS")]);
        let text = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
                    WHERE application_name = 'wakustore'";
        Ok(database.client().query_one(text, &[]).unwrap().get(0))
    };
    let (ca, other) = (path("ca.pem"), path("other.pem"));
    // Encrypted or not, as asked.
    assert!(!open("localhost", "sslmode=disable").unwrap());
    for options in ["connect_timeout=5", "sslmode=prefer", "sslmode=require"] {
        assert!(open("localhost", options).unwrap(), "{options}");
    }
    for mode in ["verify-full", "verify-ca", "require"] {
        assert!(open("localhost", &format!("sslmode={mode}&sslrootcert={ca}")).unwrap(), "{mode}");
        // Of another authority, and of none that browsers trust.
        let e = open("localhost", &format!("sslmode={mode}&sslrootcert={other}")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveUnavailable, "{mode}: {e}");
        assert!(e.message().contains("certificate"), "{mode}: {e}");
    }
    let e = open("localhost", "sslmode=verify-full").unwrap_err();
    assert!(e.message().contains("certificate"), "{e}");
    // Under a name that the certificate does not bear.
    assert!(open("127.0.0.1", &format!("sslmode=verify-ca&sslrootcert={ca}")).unwrap());
    let e = open("127.0.0.1", &format!("sslmode=verify-full&sslrootcert={ca}")).unwrap_err();
    assert!(e.message().contains("certificate"), "{e}");
    // Files that are no authorities.
    for file in [path("none.pem"), path("server.key"), path("names")] {
        let e = open("localhost", &format!("sslmode=verify-full&sslrootcert={file}")).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{e}");
        assert!(e.message().contains("sslrootcert"), "{e}");
    }
    // A server without TLS is refused where it is asked for.
    database.client().batch_execute("ALTER SYSTEM SET ssl = off").unwrap();
    database.client().batch_execute("SELECT pg_reload_conf()").unwrap();
    let begin = std::time::Instant::now();
    while open("localhost", "sslmode=require").is_ok() {
        assert!(begin.elapsed().as_secs() < 60, "the server keeps TLS");
    }
    assert!(!open("localhost", "sslmode=prefer").unwrap());
}

#[test]
fn nwakus_archive_is_moved_over_tls_too() {
    let dir = tempfile::tempdir().unwrap();
    certificates(dir.path());
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = |name: &str| dir.path().join(name).display().to_string();
    // Over the network this server talks with nobody but by TLS.
    std::fs::write(
        dir.path().join("hba"),
        "local all all trust\nhostssl all all 127.0.0.1/32 trust\n",
    )
    .unwrap();
    let settings = [
        "listen_addresses = '127.0.0.1'".to_owned(),
        "ssl = on".to_owned(),
        format!("ssl_cert_file = '{}'", path("server.pem")),
        format!("ssl_key_file = '{}'", path("server.key")),
        format!("hba_file = '{}'", path("hba")),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start_on(port, &settings)));
    let database = cluster.database();
    let url = |options: &str| {
        format!("postgres://postgres@localhost:{port}/{}?{options}", database.name())
    };
    let memory = || Archive::open(MemoryBackend::default(), config()).unwrap();
    let there = memory();
    let sent: Vec<_> = (0..50).map(|i| message(i, i, NOW.nanos() - 50, "for nwaku")).collect();
    import(&there, sent.clone());
    let take = |options: &str| {
        let here = memory();
        let all = ImportOptions::default();
        let report = import_postgres(&url(options), &here, &all, |_| ControlFlow::Continue(()))?;
        assert_eq!(report.imported, 50, "{options}");
        let hashes = sent.iter().map(|m| m.hash).collect();
        assert_eq!(here.missing(hashes).wait().unwrap(), [], "{options}");
        Ok::<(), Error>(())
    };
    let (full, other) = (path("ca.pem"), path("other.pem"));
    let full = format!("sslmode=verify-full&sslrootcert={full}");
    let all = ExportOptions::default();
    let report = export_postgres(&there, &url(&full), &all, |_| ControlFlow::Continue(()));
    assert_eq!(report.unwrap().written, 50);
    for options in [full.as_str(), "sslmode=require", "sslmode=prefer"] {
        take(options).unwrap();
    }
    // Without TLS the server refuses; with another authority we do.
    let e = take("sslmode=disable").unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{e}");
    assert!(e.message().contains("no encryption"), "{e}");
    let e = take(&format!("sslmode=verify-full&sslrootcert={other}")).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::ArchiveOpen, "{e}");
    assert!(e.message().contains("certificate"), "{e}");
}
