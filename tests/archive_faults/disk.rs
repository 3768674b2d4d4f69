//! A disk in memory. It writes down everything that is done to it, so that afterwards it can tell
//! what a power loss at any moment could have left.
//!
//! What a power loss may do is what POSIX allows: of the writes to a file since its last sync any
//! part may be there, sector by sector and in any order, or garbage in place of what was being
//! written; its length is anything between; a name that was made or removed since the directory was
//! synced may be as before. What was synced is there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::seed::Seed;

pub type Inode = usize;
/// The files of a disk that is switched off.
pub type Files = HashMap<String, Vec<u8>>;

#[derive(Clone, Debug)]
pub enum Op {
    Create(String, Inode),
    Delete(String),
    SyncDirectory,
    Write(Inode, usize, Vec<u8>),
    Truncate(Inode, usize),
    Sync(Inode),
}

/// What is to go wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No space; of a write some bytes may have been written.
    Full,
    /// The device says no.
    Io,
}

#[derive(Default)]
pub struct State {
    pub log: Vec<Op>,
    pub names: HashMap<String, Inode>,
    pub contents: Vec<Vec<u8>>,
    /// What can go wrong is counted: changes and syncs.
    pub changes: u64,
    pub reads: u64,
    /// The change that goes wrong, how, and for how many changes.
    pub trouble: Option<(u64, Trouble, u64)>,
    /// The read that goes wrong.
    pub bad_read: Option<u64>,
    /// All files together have no more bytes than this.
    pub capacity: Option<usize>,
}

/// One computer's disk.
#[derive(Default)]
pub struct Disk {
    start: Files,
    state: Mutex<State>,
}

impl Disk {
    /// Switched on with these files.
    pub fn with(files: Files) -> Arc<Disk> {
        let mut state = State::default();
        for (name, content) in &files {
            state.names.insert(name.clone(), state.contents.len());
            state.contents.push(content.clone());
        }
        Arc::new(Disk { start: files, state: Mutex::new(state) })
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many things were done so far: a moment.
    pub fn moment(&self) -> usize {
        self.lock().log.len()
    }

    /// From switching on, for going through what happened. The inodes that were there at the start
    /// are numbered as the names of [`Disk::with`] were; they are told by name.
    pub fn replay(&self) -> Replay {
        let state = self.lock();
        let mut replay = Replay { log: state.log.clone(), ..Replay::default() };
        drop(state);
        for (name, content) in &self.start {
            let inode = self.inode_at_start(name);
            replay.inodes.insert(inode, Pending { synced: content.clone(), since: Vec::new() });
            replay.names.insert(name.clone(), inode);
        }
        replay
    }

    /// The order of a map does not change while it is not changed.
    fn inode_at_start(&self, name: &str) -> Inode {
        self.start.keys().position(|key| key == name).unwrap()
    }

    /// How often a file was synced up to a moment.
    pub fn syncs(&self, name: &str, moment: usize) -> usize {
        let state = self.lock();
        let Some(inode) = state.names.get(name) else { return 0 };
        state.log[..moment].iter().filter(|op| matches!(op, Op::Sync(i) if i == inode)).count()
    }

    /// All files as programs see them now.
    pub fn files(&self) -> Files {
        let state = self.lock();
        let content =
            |(name, inode): (&String, &Inode)| (name.clone(), state.contents[*inode].clone());
        state.names.iter().map(content).collect()
    }
}

impl State {
    pub fn create(&mut self, name: &str) -> Inode {
        let inode = self.contents.len();
        self.contents.push(Vec::new());
        self.names.insert(name.to_owned(), inode);
        self.log.push(Op::Create(name.to_owned(), inode));
        inode
    }

    pub fn delete(&mut self, name: &str) -> bool {
        let was = self.names.remove(name).is_some();
        if was {
            self.log.push(Op::Delete(name.to_owned()));
        }
        was
    }

    /// Counts a change; what is to go wrong with it, if anything is.
    pub fn change(&mut self) -> Result<(), Trouble> {
        self.changes += 1;
        match self.trouble {
            Some((at, trouble, times)) if (at..at + times).contains(&self.changes) => Err(trouble),
            _ => Ok(()),
        }
    }

    pub fn read(&mut self) -> Result<(), Trouble> {
        self.reads += 1;
        if self.bad_read == Some(self.reads) { Err(Trouble::Io) } else { Ok(()) }
    }

    pub fn write(&mut self, inode: Inode, at: usize, bytes: &[u8]) -> Result<(), Trouble> {
        let result = self.change();
        let length = self.contents[inode].len();
        let others: usize = self.names.values().map(|i| self.contents[*i].len()).sum();
        let room = self.capacity.map_or(usize::MAX, |all| all.saturating_sub(others - length));
        let fits = bytes.len().min(room.max(length).saturating_sub(at));
        let (written, result) = match result {
            Err(Trouble::Full) => (fits.min(bytes.len() / 2), Err(Trouble::Full)),
            Err(Trouble::Io) => (0, Err(Trouble::Io)),
            Ok(()) if fits < bytes.len() => (fits, Err(Trouble::Full)),
            Ok(()) => (fits, Ok(())),
        };
        if written > 0 {
            put(&mut self.contents[inode], at, &bytes[..written]);
            self.log.push(Op::Write(inode, at, bytes[..written].to_vec()));
        }
        result
    }

    pub fn truncate(&mut self, inode: Inode, length: usize) -> Result<(), Trouble> {
        self.change()?;
        self.contents[inode].resize(length, 0);
        self.log.push(Op::Truncate(inode, length));
        Ok(())
    }

    pub fn sync(&mut self, inode: Inode) -> Result<(), Trouble> {
        self.change()?;
        self.log.push(Op::Sync(inode));
        Ok(())
    }
}

fn put(content: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if content.len() < at + bytes.len() {
        content.resize(at + bytes.len(), 0);
    }
    content[at..at + bytes.len()].copy_from_slice(bytes);
}

#[derive(Default)]
struct Pending {
    synced: Vec<u8>,
    since: Vec<Op>,
}

/// What was synced and what was not, at a moment that only moves on.
#[derive(Default)]
pub struct Replay {
    log: Vec<Op>,
    at: usize,
    inodes: HashMap<Inode, Pending>,
    names: HashMap<String, Inode>,
    /// Since the directory was synced.
    renamed: Vec<Op>,
}

/// How much of what was not synced is there.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    Everything,
    /// Each sector with this chance in a hundred.
    Sectors(u64),
    /// What was done first, up to somewhere within a write.
    First,
}

impl Replay {
    pub fn length(&self) -> usize {
        self.log.len()
    }

    /// Moves on to a moment.
    pub fn go_on(&mut self, moment: usize) {
        while self.at < moment {
            let op = self.log[self.at].clone();
            self.at += 1;
            match op {
                Op::Create(_, inode) => {
                    self.inodes.insert(inode, Pending::default());
                    self.renamed.push(op);
                }
                Op::Delete(_) => self.renamed.push(op),
                Op::SyncDirectory => {
                    for op in std::mem::take(&mut self.renamed) {
                        rename(&mut self.names, op);
                    }
                }
                Op::Write(inode, ..) | Op::Truncate(inode, _) => {
                    self.inodes.get_mut(&inode).unwrap().since.push(op);
                }
                Op::Sync(inode) => {
                    let Pending { synced, since } = self.inodes.get_mut(&inode).unwrap();
                    for op in since.drain(..) {
                        apply(synced, op);
                    }
                }
            }
        }
    }

    /// The power is lost now: what is found when it is back.
    pub fn power_loss(&self, seed: &mut Seed) -> Files {
        let mut names = self.names.clone();
        let mut files = Files::new();
        // Each name for itself, but one after the other what was done to it.
        let mut stuck: Vec<&str> = Vec::new();
        let kept = *seed.pick(&[0, 50, 100]);
        for op in &self.renamed {
            let (Op::Create(name, _) | Op::Delete(name)) = op else { unreachable!() };
            if !stuck.contains(&name.as_str()) {
                if seed.percent(kept) {
                    rename(&mut names, op.clone());
                } else {
                    stuck.push(name);
                }
            }
        }
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        for (name, inode) in names {
            let file = &self.inodes[&inode];
            files.insert(name, file.found(seed));
        }
        files
    }
}

fn rename(names: &mut HashMap<String, Inode>, op: Op) {
    match op {
        Op::Create(name, inode) => names.insert(name, inode),
        Op::Delete(name) => names.remove(&name),
        _ => unreachable!(),
    };
}

fn apply(content: &mut Vec<u8>, op: Op) {
    match op {
        Op::Write(_, at, bytes) => put(content, at, &bytes),
        Op::Truncate(_, length) => content.resize(length, 0),
        _ => unreachable!(),
    }
}

impl Pending {
    fn found(&self, seed: &mut Seed) -> Vec<u8> {
        let chance = *seed.pick(&[10, 50, 90, 98]);
        let left = *seed.pick(&[
            Left::Nothing,
            Left::Everything,
            Left::Sectors(chance),
            Left::Sectors(chance),
            Left::First,
        ]);
        let sector = *seed.pick(&[512, 512, 4096]);
        let mut content = self.synced.clone();
        if self.since.is_empty() {
            return content;
        }
        match left {
            Left::Nothing => {}
            Left::Everything => self.since.iter().for_each(|op| apply(&mut content, op.clone())),
            Left::First => {
                let cut = seed.below(self.since.len() as u64) as usize;
                for op in &self.since[..cut] {
                    apply(&mut content, op.clone());
                }
                if let Op::Write(_, at, bytes) = &self.since[cut] {
                    put(&mut content, *at, &bytes[..seed.size(0..=bytes.len())]);
                }
            }
            Left::Sectors(chance) => {
                let garbage = *seed.pick(&[0, 0, 5]);
                for op in &self.since {
                    match op {
                        Op::Write(_, at, bytes) => {
                            let (mut from, end) = (*at, at + bytes.len());
                            while from < end {
                                let to = end.min((from / sector + 1) * sector);
                                if seed.percent(garbage) {
                                    put(&mut content, from, &seed.bytes(to - from));
                                } else if seed.percent(chance) {
                                    put(&mut content, from, &bytes[from - at..to - at]);
                                }
                                from = to;
                            }
                        }
                        truncate if seed.percent(chance) => apply(&mut content, truncate.clone()),
                        _ => {}
                    }
                }
                // What was written behind the end is there only as far as the length is.
                if content.len() > self.synced.len() && seed.percent(30) {
                    content.truncate(seed.size(self.synced.len()..=content.len()));
                }
            }
        }
        content
    }
}
