//! The words of syncs: how one compares, why it was begun, and what it found out.

use crate::engine::{Agreement, SyncProtocol, SyncReason};
use crate::error::{Result, bail};

/// How a sync compares: a `WKS_PROTOCOL_…`.
pub type wks_sync_protocol = i32;
/// The best that the peer speaks. Only to ask for: reports and events name one of the others.
pub const WKS_PROTOCOL_AUTO: wks_sync_protocol = 0;
/// Reconciliation 1.0.0.
pub const WKS_PROTOCOL_V1: wks_sync_protocol = 1;
/// wakustore's own.
pub const WKS_PROTOCOL_STRONG: wks_sync_protocol = 2;
/// Store queries alone.
pub const WKS_PROTOCOL_STORE: wks_sync_protocol = 3;

/// What a caller asks for; `None` for the best.
pub(super) fn protocol_asked(protocol: wks_sync_protocol) -> Result<Option<SyncProtocol>> {
    Ok(match protocol {
        WKS_PROTOCOL_AUTO => None,
        WKS_PROTOCOL_V1 => Some(SyncProtocol::V1),
        WKS_PROTOCOL_STRONG => Some(SyncProtocol::Strong),
        WKS_PROTOCOL_STORE => Some(SyncProtocol::Store),
        other => bail!(InvalidArgument, "{other} is no protocol of a sync"),
    })
}

pub(super) fn protocol_number(protocol: SyncProtocol) -> wks_sync_protocol {
    match protocol {
        SyncProtocol::V1 => WKS_PROTOCOL_V1,
        SyncProtocol::Strong => WKS_PROTOCOL_STRONG,
        SyncProtocol::Store => WKS_PROTOCOL_STORE,
    }
}

/// Why a sync was begun: a `WKS_BEGUN_…`.
pub type wks_sync_begun = i32;
/// The app asked for it.
pub const WKS_BEGUN_ON_DEMAND: wks_sync_begun = 0;
/// The time between two syncs was over.
pub const WKS_BEGUN_BY_INTERVAL: wks_sync_begun = 1;
/// A peer came, at start or again.
pub const WKS_BEGUN_ON_CONNECT: wks_sync_begun = 2;
/// To fill the gap since the node was last online.
pub const WKS_BEGUN_TO_RESUME: wks_sync_begun = 3;
/// The peer began it.
pub const WKS_BEGUN_BY_PEER: wks_sync_begun = 4;

pub(super) fn begun_number(reason: SyncReason) -> wks_sync_begun {
    match reason {
        SyncReason::Demand => WKS_BEGUN_ON_DEMAND,
        SyncReason::Heartbeat => WKS_BEGUN_BY_INTERVAL,
        SyncReason::Connected => WKS_BEGUN_ON_CONNECT,
        SyncReason::Resume => WKS_BEGUN_TO_RESUME,
        SyncReason::Remote => WKS_BEGUN_BY_PEER,
    }
}

/// Whether both sides hold the same of what was compared: a `WKS_AGREEMENT_…`.
pub type wks_sync_agreement = i32;
/// The sync ended early, or something was left over.
pub const WKS_AGREEMENT_NONE: wks_sync_agreement = 0;
/// Nothing is left over by what 1.0.0 or Store can tell.
pub const WKS_AGREEMENT_WEAK: wks_sync_agreement = 1;
/// Both sides' fingerprints are equal, in a construction that chosen hashes cannot blind.
pub const WKS_AGREEMENT_STRONG: wks_sync_agreement = 2;

pub(super) fn agreement_number(agreement: Agreement) -> wks_sync_agreement {
    match agreement {
        Agreement::None => WKS_AGREEMENT_NONE,
        Agreement::Weak => WKS_AGREEMENT_WEAK,
        Agreement::Strong => WKS_AGREEMENT_STRONG,
    }
}
