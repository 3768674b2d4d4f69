//! The first frames: what is to be compared, and whether it differs at all.

use super::{Machine, Phase, Trees, to_wire};
use crate::error::{Result, bail};
use crate::sync::sketch::{Cell, MAX_CELLS};
use crate::types::TimeRange;
use crate::wire::reconciliation::Scope;
use crate::wire::strong::{Cells, Differs, Frame, Limits, Open};

/// Cells in the responder's first answer: enough to decode some ten differences.
pub(super) const FIRST_CELLS: usize = 36;
/// Counts behind them, a byte each, to guess larger differences by.
pub(super) const FIRST_COUNTS: usize = 160;
/// From this length on a window's times are not told by the keys.
const MAX_KEYED: i64 = 1 << 48;

impl Machine {
    /// The initiator's first frame. The set is fixed here.
    pub fn open(&mut self, trees: &Trees<'_>, window: TimeRange, scope: &Scope) -> Frame {
        self.window = window;
        self.fix(trees);
        self.phase = Phase::Opened;
        Frame::Open(Open {
            limits: self.options.limits,
            takes: self.options.takes,
            gives: self.options.gives,
            dry_run: self.options.dry_run,
            window,
            scope: scope.clone(),
            count: self.count,
            digest: self.digest,
        })
    }

    /// The initiator's scope turned out to be another one (the answer names it, and says what it
    /// compares with): its set is fixed anew, before the answer is given to
    /// [`Machine::receive`].
    pub fn rescope(&mut self, trees: &Trees<'_>) {
        self.fix(trees);
    }

    /// The responder's answer to the first frame. `rescoped` is where the scopes meet, if that is
    /// not the initiator's own. The set is fixed here.
    ///
    /// # Errors
    /// [`crate::ErrorKind::SyncProtocol`] where something came before.
    pub fn opened(
        &mut self,
        trees: &Trees<'_>,
        open: &Open,
        rescoped: Option<Scope>,
    ) -> Result<Frame> {
        if self.initiator || !matches!(self.phase, Phase::Idle) {
            bail!(SyncProtocol, "a session is opened once, by the one who began it");
        }
        self.window = open.window;
        self.fix(trees);
        self.peer = open.limits;
        self.their_count = open.count;
        self.options.dry_run = open.dry_run;
        self.options.takes &= open.gives && !open.dry_run;
        self.options.gives &= open.takes && !open.dry_run;
        if rescoped.is_none() && (self.count, self.digest) == (open.count, open.digest) {
            self.agree()?;
            return Ok(Frame::Agree);
        }
        let some = rescoped.is_some() || open.count > 0;
        let first = if some && self.is_keyed() && self.count > 0 { FIRST_CELLS } else { 0 };
        let counts = if first > 0 { FIRST_COUNTS } else { 0 };
        let cells = self.our_cells(trees, 0, first + counts);
        let (cells, counts) = cells.split_at(first.min(cells.len()));
        self.phase = Phase::Differed;
        self.theirs = self.set.clone();
        Ok(Frame::Differs(Differs {
            limits: self.options.limits,
            rescoped: rescoped.map(|scope| (scope, self.digest)),
            cells: Cells { total: self.count, from: 0, cells: to_wire(cells) },
            counts: counts.iter().map(|cell| cell.count as u8).collect(),
        }))
    }

    /// Whether keys tell the times of the window.
    pub(super) fn is_keyed(&self) -> bool {
        let (start, end) = (self.window.start().nanos(), self.window.end().nanos());
        end.saturating_sub(start) < MAX_KEYED && self.drift.is_whole()
    }

    /// Our cells, of the set as it was fixed.
    pub(super) fn our_cells(&self, trees: &Trees<'_>, from: usize, to: usize) -> Vec<Cell> {
        let mut cells = trees.cells(self.window, from..to);
        self.drift.take_from(&mut cells, from);
        cells
    }

    /// The most cells that both sides compare.
    pub(super) fn max_cells(&self) -> usize {
        // A cell takes 26 bytes at the most.
        let fit = |limits: &Limits| limits.max_cells.min(limits.max_frame / 32);
        fit(&self.peer).min(fit(&self.options.limits)).min(MAX_CELLS)
    }
}
