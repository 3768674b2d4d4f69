//! The coordinator of one session: reconciliation and transfer in one hand.
