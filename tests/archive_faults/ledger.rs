//! What was committed, one after the other; what an archive holds after any number of the commits;
//! and whether a file holds just that and is sound.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::Connection;
use wakustore::archive::{Backend, Driver, Removal, SqliteBackend};
use wakustore::types::{MessageHash, Origin, StoredMessage, SyncId, Timestamp};

/// One commit.
#[derive(Clone, Debug)]
pub enum Commit {
    Put(Vec<StoredMessage>),
    Remove(Removal),
}

impl Commit {
    pub fn run(&self, driver: &mut dyn Driver) -> wakustore::Result<()> {
        match self {
            Commit::Put(messages) => {
                let batch: Vec<_> = messages.iter().map(|m| (m.clone(), Origin::Import)).collect();
                driver.put(&batch).map(drop)
            }
            Commit::Remove(removal) => driver.remove(removal).map(drop),
        }
    }
}

/// What an archive holds.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Model {
    pub held: BTreeMap<SyncId, StoredMessage>,
    pub down: BTreeSet<MessageHash>,
    pub floor: Option<i64>,
}

impl Model {
    pub fn apply(&mut self, commit: &Commit) {
        match commit {
            Commit::Put(messages) => {
                self.held.extend(messages.iter().map(|m| (m.sync_id(), m.clone())));
            }
            Commit::Remove(Removal::Oldest { before, limit }) => {
                let old = self.held.range(..SyncId::floor(*before)).take(*limit);
                let old: Vec<SyncId> = old.map(|(id, _)| *id).collect();
                for id in old {
                    self.held.remove(&id);
                    self.floor = self.floor.max(Some(id.timestamp.nanos() + 1));
                }
            }
            Commit::Remove(Removal::Hashes(hashes)) => {
                self.down.extend(hashes);
                self.held.retain(|id, _| !hashes.contains(&id.hash));
            }
        }
    }

    pub fn after<'a>(mut self, commits: impl IntoIterator<Item = &'a Commit>) -> Model {
        for commit in commits {
            self.apply(commit);
        }
        self
    }
}

/// Reads all that a file holds, and panics where anything in it is not as it must be: pages,
/// indexes, counters, numbers of topics, hashes.
pub fn read_sound(path: &Path) -> Model {
    let conn = Connection::open(path).unwrap();
    let model = read_sound_from(&conn);
    drop(conn);
    model
}

pub fn read_sound_from(conn: &Connection) -> Model {
    let tx = conn.unchecked_transaction().unwrap();
    let text = |sql: &str| -> String { tx.query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(text("PRAGMA integrity_check"), "ok");
    let number = |sql: &str| -> i64 {
        tx.query_row(sql, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{sql}: {e}"))
    };
    assert_eq!(number("SELECT count(*) FROM figures"), 1);
    let messages = number("SELECT count(*) FROM message");
    assert_eq!(number("SELECT messages FROM figures"), messages, "the count of messages");
    for index in ["hash", "time", "channel", "pubsub"] {
        let sql = format!(
            "SELECT count(*) FROM message INDEXED BY message_by_{index} WHERE hash >= x'' AND timestamp > -9223372036854775808 AND channel > 0 AND pubsub > 0"
        );
        assert_eq!(number(&sql), messages, "{index}");
    }
    let down = number("SELECT count(*) FROM tombstone");
    assert_eq!(number("SELECT tombstones FROM figures"), down, "the count of tombstones");
    // Rows whose channel is not, or is of another pubsub topic.
    let astray = number(
        "SELECT count(*) FROM message m WHERE NOT EXISTS (
            SELECT 1 FROM channel c JOIN pubsub_topic p ON p.id = c.pubsub
            JOIN content_topic t ON t.id = c.content WHERE c.id = m.channel AND c.pubsub = m.pubsub)",
    );
    assert_eq!(astray, 0, "messages without topics");
    let mut model = Model {
        floor: tx.query_row("SELECT floor FROM figures", [], |row| row.get(0)).unwrap(),
        ..Model::default()
    };
    let mut statement = tx.prepare("SELECT hash FROM tombstone").unwrap();
    let hashes = statement.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
    model.down.extend(hashes.map(|hash| MessageHash::from_slice(&hash.unwrap()).unwrap()));
    let mut statement = tx
        .prepare(
            "SELECT p.name, t.name, m.timestamp, m.payload, m.hash, m.version, m.meta FROM message m
             JOIN channel c ON c.id = m.channel JOIN pubsub_topic p ON p.id = c.pubsub
             JOIN content_topic t ON t.id = c.content",
        )
        .unwrap();
    let mut rows = statement.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let content =
            wakustore::types::ContentTopic::new(row.get::<_, String>(1).unwrap()).unwrap();
        let pubsub = wakustore::types::PubsubTopic::new(row.get::<_, String>(0).unwrap()).unwrap();
        let mut message = wakustore::types::WakuMessage::new(
            row.get::<_, Vec<u8>>(3).unwrap(),
            content,
            Timestamp(row.get(2).unwrap()),
        );
        message.version = row.get(5).unwrap();
        message.meta = row.get::<_, Option<Vec<u8>>>(6).unwrap().map(Into::into);
        let stored = StoredMessage::new(pubsub, message);
        assert_eq!(stored.hash.as_bytes()[..], row.get::<_, Vec<u8>>(4).unwrap(), "a hash");
        model.held.insert(stored.sync_id(), stored);
    }
    model
}

/// The file through the driver must say the same as the file itself.
pub fn check_driver(driver: &mut dyn Driver, model: &Model) {
    let all: Vec<MessageHash> = model.held.keys().map(|id| id.hash).collect();
    let got = driver.get(&all).unwrap();
    assert!(got.iter().eq(model.held.values()), "what the driver reads is not what is there");
    let down: Vec<MessageHash> = model.down.iter().copied().collect();
    assert_eq!(driver.taken_down(&down).unwrap(), down);
    assert_eq!(driver.missing(&down).unwrap(), []);
    let figures = driver.figures().unwrap();
    assert_eq!(figures.messages, model.held.len() as u64);
    assert_eq!(figures.floor.nanos(), model.floor.unwrap_or(i64::MIN));
    assert_eq!(figures.oldest, model.held.keys().next().map(|id| id.timestamp));
}
