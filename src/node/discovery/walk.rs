//! The walk through discovery trees: from their roots over branches and links to the records.
//!
//! Whoever owns a name on the way decides what is answered. What must hold: the walk ends, within its
//! time, with a bounded number of lookups of each tree (so that a large one does not starve the
//! others), of trees and of peers; and whatever is not as it should be is named and left out.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt};
use libp2p::PeerId;

use super::super::names::Names;
use super::record::Record;
use super::tree::{Entry, Label, Root, TreeUrl};

/// Trees of one walk, those that others link to among them.
pub(super) const MAX_TREES: usize = 16;
/// Lookups in one tree.
const MAX_LOOKUPS: usize = 512;
/// Branches above an entry.
const MAX_DEPTH: usize = 8;
/// Links between one of the trees that were asked for and another.
const MAX_LINKS: usize = 3;
/// Peers that are kept.
pub(super) const MAX_PEERS: usize = 512;
/// Complaints that are kept; the others are counted.
pub(super) const MAX_SKIPPED: usize = 64;
/// Lookups at once.
const AT_ONCE: usize = 8;

/// What a walk has brought.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    /// Of each peer the newest record.
    pub(super) found: BTreeMap<PeerId, Record>,
    /// What was left out, where, and why.
    pub(super) skipped: Vec<String>,
    /// How much more was left out than is told.
    pub(super) unsaid: usize,
}

impl Harvest {
    fn skip(&mut self, what: String) {
        tracing::debug!("discovery: {what}");
        match self.skipped.len() < MAX_SKIPPED {
            true => self.skipped.push(what),
            false => self.unsaid += 1,
        }
    }

    fn keep(&mut self, record: Record, at: &str) {
        match self.found.get(&record.peer) {
            Some(other) if other.seq >= record.seq => {}
            None if self.found.len() >= MAX_PEERS => {
                self.skip(format!("{at}: more than {MAX_PEERS} peers"));
            }
            _ => {
                self.found.insert(record.peer, record);
            }
        }
    }
}

/// One lookup that is to be made.
#[derive(Clone)]
enum Job {
    Root { tree: usize },
    Entry { tree: usize, label: Label, of_links: bool, depth: usize },
}

/// A tree of the walk.
struct Tree {
    url: TreeUrl,
    /// How many links lead to it.
    links: usize,
    lookups: usize,
}

struct Walk<'a> {
    trees: Vec<Tree>,
    jobs: VecDeque<Job>,
    /// The names that were asked for, so that nothing is walked twice, or for ever.
    seen: HashSet<String>,
    seqs: &'a mut HashMap<String, u64>,
    harvest: Harvest,
}

/// Walks through these trees for at most `time`. `seqs` holds the number of each root that was seen:
/// one that is older than it was is not taken.
pub(super) async fn walk(
    names: &Names,
    trees: &[TreeUrl],
    seqs: &mut HashMap<String, u64>,
    time: Duration,
) -> Harvest {
    let mut walk = Walk {
        trees: Vec::new(),
        jobs: VecDeque::new(),
        seen: HashSet::new(),
        seqs,
        harvest: Harvest::default(),
    };
    for url in trees {
        walk.add_tree(url.clone(), 0);
    }
    let over = tokio::time::sleep(time);
    tokio::pin!(over);
    let mut running = FuturesUnordered::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((job, at)) = walk.next()
        {
            running.push(async move {
                let texts = names.texts(&at).await;
                (job, at, texts)
            });
        }
        if running.is_empty() {
            return walk.harvest;
        }
        tokio::select! {
            biased;
            () = &mut over => {
                let left = running.len() + walk.jobs.len();
                walk.harvest.skip(format!("{left} entries: the {time:?} for the walk are over"));
                return walk.harvest;
            }
            Some((job, at, texts)) = running.next() => match texts {
                Ok(texts) => walk.take(&job, &at, &texts),
                Err(e) => walk.harvest.skip(e.to_string()),
            },
        }
    }
}

impl Walk<'_> {
    fn add_tree(&mut self, url: TreeUrl, links: usize) {
        if self.trees.iter().any(|tree| tree.url == url) {
            return;
        }
        if self.trees.len() >= MAX_TREES {
            return self.harvest.skip(format!("{url}: more than {MAX_TREES} trees"));
        }
        if links > MAX_LINKS {
            return self.harvest.skip(format!("{url}: more than {MAX_LINKS} links lead to it"));
        }
        self.trees.push(Tree { url, links, lookups: 0 });
        self.jobs.push_back(Job::Root { tree: self.trees.len() - 1 });
    }

    fn tree(&mut self, job: &Job) -> &mut Tree {
        let (Job::Root { tree } | Job::Entry { tree, .. }) = job;
        &mut self.trees[*tree]
    }

    /// The next lookup, and the name to look up.
    fn next(&mut self) -> Option<(Job, String)> {
        while let Some(job) = self.jobs.pop_front() {
            let tree = self.tree(&job);
            let at = match &job {
                Job::Root { .. } => tree.url.domain().to_owned(),
                Job::Entry { label, .. } => label.at(tree.url.domain()),
            };
            if let Job::Entry { .. } = &job {
                if tree.lookups >= MAX_LOOKUPS {
                    let what = format!("{at}: the tree has more than {MAX_LOOKUPS} entries");
                    self.harvest.skip(what);
                    continue;
                }
                tree.lookups += 1;
                if !self.seen.insert(at.clone()) {
                    continue;
                }
            }
            return Some((job, at));
        }
        None
    }

    fn take(&mut self, job: &Job, at: &str, texts: &[String]) {
        let taken = match job {
            Job::Root { tree } => self.take_root(*tree, texts),
            Job::Entry { tree, label, of_links, depth } => {
                let links = self.trees[*tree].links;
                match texts.iter().find(|text| label.is_of(text)) {
                    Some(text) => self.take_entry(*tree, text, *of_links, *depth, links, at),
                    None => Err("no text here has the hash that it is filed under".to_owned()),
                }
            }
        };
        if let Err(why) = taken {
            self.harvest.skip(format!("{at}: {why}"));
        }
    }

    fn take_root(&mut self, tree: usize, texts: &[String]) -> Result<(), String> {
        let url = &self.trees[tree].url;
        let mut why = "there is no root".to_owned();
        let mut best: Option<Root> = None;
        for text in texts.iter().filter(|text| Root::is(text)) {
            match Root::parse(text, url) {
                Ok(root) if best.as_ref().is_none_or(|best| best.seq < root.seq) => {
                    best = Some(root);
                }
                Ok(_) => {}
                Err(e) => why = format!("the root is not taken: {e}"),
            }
        }
        let root = best.ok_or(why)?;
        let known = self.seqs.entry(url.to_string()).or_default();
        if root.seq < *known {
            return Err(format!("the root has the number {}, and had {known} before", root.seq));
        }
        *known = root.seq;
        for (label, of_links) in [(root.links, true), (root.records, false)] {
            self.jobs.push_back(Job::Entry { tree, label, of_links, depth: 0 });
        }
        Ok(())
    }

    fn take_entry(
        &mut self,
        tree: usize,
        text: &str,
        of_links: bool,
        depth: usize,
        links: usize,
        at: &str,
    ) -> Result<(), String> {
        match (Entry::parse(text)?, of_links) {
            (Entry::Branch(_), _) if depth >= MAX_DEPTH => {
                Err(format!("more than {MAX_DEPTH} branches on each other"))
            }
            (Entry::Branch(children), _) => {
                for label in children {
                    let depth = depth + 1;
                    // Bounded before it is looked up, so that the list is.
                    if self.jobs.len() < MAX_TREES * MAX_LOOKUPS {
                        self.jobs.push_back(Job::Entry { tree, label, of_links, depth });
                    }
                }
                Ok(())
            }
            (Entry::Link(url), true) => {
                self.add_tree(url, links + 1);
                Ok(())
            }
            (Entry::Record(text), false) => {
                self.harvest.keep(Record::parse(&text)?, at);
                Ok(())
            }
            (Entry::Link(_), false) => Err("a link among the records".to_owned()),
            (Entry::Record(_), true) => Err("a record among the links".to_owned()),
        }
    }
}
