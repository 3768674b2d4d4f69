//! Sessions scoped by content topics: which wait for trees of the horizon, and which are in use.

use std::collections::BTreeSet;

use super::session::{Session, Source, State};
use super::{Engine, LoadId, Output, SessionId};
use crate::archive::IndexEntry;
use crate::error::Result;
use crate::types::ContentTopic;

impl Engine {
    /// What running sessions compare, or wait for, on the horizon's trees by content topic.
    fn content_in_use(&self) -> BTreeSet<ContentTopic> {
        let runs = |s: &&Session| {
            (s.reconciles() || (s.strong.is_some() && !s.ends()))
                && matches!(s.source, Source::Horizon)
                && !self.horizon.is_of_own_content(&s.scope)
        };
        let running = self.sessions.values().filter(runs);
        running.flat_map(|s| s.scope.content_topics.iter().cloned()).collect()
    }

    /// Whether a session is to wait for trees by content topic, which this asks for.
    pub(super) fn gathers_content(&mut self, id: SessionId) -> bool {
        let Some(s) = self.sessions.get(&id) else { return false };
        if s.window.is_empty()
            || self.horizon.is_of_own_content(&s.scope)
            || !self.horizon.reaches(&s.window)
        {
            return false;
        }
        let in_use = self.content_in_use();
        let now = self.now.elapsed;
        self.horizon.content.ask(&s.scope, now, &in_use)
            && !self.horizon.content.covers(&s.window, &s.scope)
    }

    /// A step of the walk for trees by content topic has its answer.
    pub(super) fn content_loaded(&mut self, entries: Result<Vec<IndexEntry>>) {
        let (now, low) = (self.now.elapsed, self.horizon.low());
        if entries.is_ok() {
            // Sessions wait for it as long as it goes on.
            for s in self.sessions.values_mut() {
                if matches!(s.state, State::WaitsForIndex(_)) {
                    s.moved = now;
                }
            }
        }
        self.horizon.content.loaded(now, low, entries);
        let in_use = self.content_in_use();
        self.horizon.content.tend(now, &in_use);
    }

    /// Keeps the trees within their bounds, and asks for the step that is due.
    pub(super) fn pump_content(&mut self) {
        if self.horizon.content.is_over(self.now.elapsed) {
            let in_use = self.content_in_use();
            self.horizon.content.tend(self.now.elapsed, &in_use);
        }
        let (now, low, load) = (self.now.elapsed, self.horizon.low(), LoadId(self.last_id + 1));
        if let Some(query) = self.horizon.content.step(now, low, load) {
            self.last_id = load.0;
            self.outputs.push_back(Output::Load { load, query });
        }
    }
}
