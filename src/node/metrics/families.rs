//! Which metrics there are. docs/OBSERVING.md lists them.
//!
//! Names without the prefix `wakustore_` are nwaku's, with its types and labels, so that its
//! dashboards go on: where nwaku has a gauge that only grows it is one here too. What must hold: no
//! label's values come from a peer or a message.

use super::counters::{Asked, Count, Counters, ENDS, FAULTS, PROTOCOLS, ROLES, Status};
use super::health::queues;
use super::look::{Look, SwarmLook, SyncLook, Ways};
use super::text::{Family, Value};
use crate::archive::{ArchiveState, ArchiveUsage, Refusal, Spread, Stats};
use crate::types::{Origin, Timestamp};
use crate::wire;

/// What nanoseconds are shown in.
const SECONDS: f64 = 1e9;
/// Who opened something: the first are peers.
const DIRECTIONS: [&str; 2] = ["in", "out"];
const ORIGINS: [(&str, Origin); 4] = [
    ("live", Origin::Live),
    ("sync", Origin::Sync),
    ("resume", Origin::Resume),
    ("import", Origin::Import),
];

fn gauge(n: u64) -> Value {
    Value::Gauge(n as f64)
}

fn flag(is: bool) -> Value {
    gauge(u64::from(is))
}

fn count(n: &Count) -> Value {
    Value::Counter(n.get())
}

fn times(spread: Spread) -> Value {
    Value::Histogram(spread, SECONDS)
}

fn moment(at: Timestamp) -> Value {
    Value::Gauge(at.nanos() as f64 / SECONDS)
}

/// A gauge of a moment, where there is one.
fn at(name: &'static str, help: &'static str, at: Option<Timestamp>) -> Family {
    let family = Family::of(name, help);
    match at {
        Some(at) => family.and(&[], moment(at)),
        None => family,
    }
}

/// What an archive tells. `stats` are left out where it did not tell them in time.
pub(super) fn of_archive(usage: &ArchiveUsage, stats: Option<&Stats>) -> Vec<Family> {
    let refused = |refusal: Refusal| usage.refused.get(refusal as usize).copied().unwrap_or(0);
    let mut errors =
        Family::of("waku_archive_errors", "What the archive did not take or failed at.");
    for (kind, n) in [
        ("invalid_message_too_old", refused(Refusal::TooOld)),
        ("invalid_message_future_timestamp", refused(Refusal::InFuture)),
        ("msg_timestamp_is_equal_zero", refused(Refusal::NoTimestamp)),
        ("insert_failure", usage.failed),
        ("retpolicy_failure", usage.failed_retention),
    ] {
        errors = errors.and(&[("type", kind)], gauge(n));
    }
    let mut by_reason =
        Family::of("wakustore_archive_refused", "Messages that the archive refused, by reason.");
    for refusal in Refusal::ALL {
        by_reason = by_reason.and(&[("reason", refusal.name())], Value::Counter(refused(refusal)));
    }
    let mut stored =
        Family::of("wakustore_archive_stored", "Messages that were stored, by origin.");
    for (name, origin) in ORIGINS {
        let n = usage.stored.get(origin as usize).copied().unwrap_or(0);
        stored = stored.and(&[("origin", name)], Value::Counter(n));
    }
    let mut state =
        Family::of("wakustore_archive_state", "1 for the state that the archive is in.");
    for one in ArchiveState::ALL {
        state = state.and(&[("state", one.name())], flag(one == usage.state));
    }
    let counter = |name, help, n| Family::one(name, help, Value::Counter(n));
    let mut all = vec![
        errors,
        Family::one("waku_archive_queries", "Queries to the archive.", gauge(usage.queries)),
        Family::one(
            "waku_archive_insert_duration_seconds",
            "How long puts took, from the call to the answer after the commit.",
            times(usage.put_times.clone()),
        ),
        Family::one(
            "waku_archive_query_duration_seconds",
            "How long queries took, from the call to the answer.",
            times(usage.query_times.clone()),
        ),
        state,
        stored,
        by_reason,
        counter(
            "wakustore_archive_duplicates",
            "Messages that were there already.",
            usage.duplicates,
        ),
        counter(
            "wakustore_archive_busy",
            "Puts that were turned away, since too much waits.",
            usage.busy,
        ),
        counter("wakustore_archive_expired", "Messages that retention removed.", usage.expired),
        counter("wakustore_archive_taken_down", "Messages that were taken down.", usage.taken_down),
        Family::of("wakustore_archive_query_errors", "Queries that failed.")
            .and(&[("type", "cursor_not_found")], Value::Counter(usage.unknown_cursors))
            .and(&[("type", "other")], Value::Counter(usage.failed_queries)),
    ];
    if let Some(stats) = stats {
        all.push(
            Family::of("waku_archive_messages", "Messages that the archive holds.")
                .and(&[("type", "stored")], gauge(stats.messages)),
        );
        let bytes = gauge(stats.bytes_on_disk);
        all.push(Family::one(
            "wakustore_archive_bytes",
            "What the archive takes on the disk.",
            bytes,
        ));
        let oldest = "The timestamp of the oldest message, in Unix seconds.";
        all.push(at("wakustore_archive_oldest_timestamp_seconds", oldest, stats.oldest));
        let newest = "The timestamp of the newest message, in Unix seconds.";
        all.push(at("wakustore_archive_newest_timestamp_seconds", newest, stats.newest));
    }
    all
}

/// What a node tells, beside its archive.
pub(super) fn of_node(counters: &Counters, seen: &Look) -> Vec<Family> {
    let mut all = vec![
        Family::of("waku_version", "The version.")
            .and(&[("version", concat!("wakustore-v", env!("CARGO_PKG_VERSION")))], gauge(1)),
    ];
    all.extend(of_store(counters));
    all.extend(of_sync(counters, seen));
    all.extend(of_peers(counters, seen.swarm.as_ref()));
    all.extend(of_relay(counters, seen.swarm.as_ref()));
    all.extend(of_queues(seen));
    all
}

fn of_store(counters: &Counters) -> Vec<Family> {
    let status =
        |status: Status| counters.store_statuses.get(status as usize).map_or(0, Count::get);
    let asked = |asked: Asked| counters.asked.get(asked as usize).map_or(0, Count::get);
    let mut responses =
        Family::of("wakustore_store_responses", "Store requests of peers, by the status they got.");
    for (one, code) in Status::ALL {
        responses = responses.and(&[("status", code)], Value::Counter(status(one)));
    }
    let mut ends =
        Family::of("wakustore_store_asked", "Store requests to peers, by how they ended.");
    for (one, name) in Asked::ALL {
        ends = ends.and(&[("outcome", name)], Value::Counter(asked(one)));
    }
    let all: u64 = Status::ALL.iter().map(|(one, _)| status(*one)).sum();
    let rejected = status(Status::TooManyRequests);
    let service = ("service", wire::store::PROTOCOL);
    let refused_us = [Asked::BadRequest, Asked::TooManyRequests, Asked::Unavailable];
    let refused_us = refused_us.map(asked).iter().sum::<u64>() + asked(Asked::CursorNotFound);
    let phase = |n: &Count| Value::Gauge(n.get() as f64 / SECONDS);
    vec![
        Family::one(
            "waku_store_queries",
            "Store queries of peers that were answered.",
            gauge(counters.store_queries.get()),
        ),
        Family::of("waku_store_errors", "What went wrong with Store, served or asked.")
            .and(
                &[("type", "decode_rpc_failure")],
                gauge(status(Status::BadRequest) + asked(Asked::BadResponse)),
            )
            .and(&[("type", "dial_failure")], gauge(asked(Asked::Dial)))
            .and(&[("type", "empty_rpc_response_failure")], gauge(asked(Asked::Stream)))
            .and(&[("type", "status_code_no_success")], gauge(refused_us)),
        Family::of("waku_store_time_seconds", "Time that answering took, by phase.")
            .and(&[("phase", "query-db")], phase(&counters.store_phases[0]))
            .and(&[("phase", "send-resp")], phase(&counters.store_phases[1])),
        Family::of("waku_service_requests", "Requests of peers for a service.")
            .and(&[service, ("state", "served")], Value::Counter(all - rejected))
            .and(&[service, ("state", "rejected")], Value::Counter(rejected)),
        Family::of("waku_service_network_bytes", "Bytes of requests and responses.")
            .and(&[service, ("direction", "in")], count(&counters.store_bytes.came))
            .and(&[service, ("direction", "out")], count(&counters.store_bytes.went)),
        responses,
        Family::one(
            "wakustore_store_response_duration_seconds",
            "From a request's arrival until its response was written.",
            times(counters.store_times.read()),
        ),
        ends,
        Family::one(
            "wakustore_store_asked_duration_seconds",
            "How long requests to peers took, with the dial where one was needed.",
            times(counters.asked_times.read()),
        ),
    ]
}

fn of_sync(counters: &Counters, seen: &Look) -> Vec<Family> {
    let mut syncs = Family::of("wakustore_syncs", "Syncs that have ended.");
    for (protocol, roles) in PROTOCOLS.iter().zip(&counters.syncs) {
        for (role, ends) in ROLES.iter().zip(roles) {
            for (end, n) in ENDS.iter().zip(ends) {
                let labels = [("protocol", *protocol), ("role", *role), ("outcome", *end)];
                syncs = syncs.and(&labels, count(n));
            }
        }
    }
    let both = |protocol| [("protocol", protocol), ("direction", "receive")];
    let sent = |protocol| [("protocol", protocol), ("direction", "sent")];
    let mut all = vec![
        Family::one(
            "reconciliation_roundtrips",
            "Round trips of each sync.",
            Value::Histogram(counters.roundtrips.read(), 1.0),
        ),
        Family::one(
            "reconciliation_differences",
            "Messages that each sync found on one side alone.",
            Value::Histogram(counters.differences.read(), 1.0),
        ),
        Family::of("total_bytes_exchanged", "Bytes of syncs that have ended.")
            .and(&both("reconciliation"), count(&counters.reconciliation.came))
            .and(&sent("reconciliation"), count(&counters.reconciliation.went))
            .and(&both("transfer"), count(&counters.transfer.came))
            .and(&sent("transfer"), count(&counters.transfer.went)),
        Family::of("total_transfer_messages_exchanged", "Messages of syncs that have ended.")
            .and(&[("direction", "receive")], count(&counters.messages.came))
            .and(&[("direction", "sent")], count(&counters.messages.went)),
        syncs,
        Family::one(
            "wakustore_sync_duration_seconds",
            "How long syncs took.",
            times(counters.sync_times.read()),
        ),
        Family::one(
            "wakustore_sync_dropped",
            "Messages that came by syncs and were not stored.",
            count(&counters.dropped),
        ),
        at(
            "wakustore_sync_last_success_timestamp_seconds",
            "When the last sync ended that ended well, in Unix seconds.",
            counters.last_sync().map(|last| last.at),
        ),
        at(
            "wakustore_sync_agreed_until_timestamp_seconds",
            "Up to where some peer agrees on what there is, in Unix seconds.",
            seen.agreed_until,
        ),
    ];
    if let Some(SyncLook { usage, ready, unfilled }) = &seen.sync {
        let long = |span: &crate::types::TimeRange| {
            span.end().nanos().saturating_sub(span.start().nanos()) as f64 / SECONDS
        };
        all.extend([
            Family::one("wakustore_sync_sessions", "Syncs that run.", gauge(usage.sessions as u64)),
            Family::one("wakustore_sync_index_ready", "Whether the index stands.", flag(*ready)),
            Family::one(
                "wakustore_sync_index_messages",
                "Messages in the index, and in those of syncs of other spans.",
                gauge((usage.index_ids + usage.loaded_ids) as u64),
            ),
            Family::one(
                "wakustore_sync_unfilled_seconds",
                "For how long the node was not online and no sync has filled it yet.",
                Value::Gauge(unfilled.iter().map(long).sum()),
            ),
        ]);
    }
    all
}

fn of_peers(counters: &Counters, swarm: Option<&SwarmLook>) -> Vec<Family> {
    let mut opened = Family::of("wakustore_connections_opened", "Connections that came to stand.");
    let mut failed = Family::of("wakustore_connections_failed", "Connections that did not.");
    for (i, direction) in DIRECTIONS.into_iter().enumerate() {
        opened = opened.and(&[("direction", direction)], count(&counters.opened[i]));
        failed = failed.and(&[("direction", direction)], count(&counters.failed[i]));
    }
    let mut faults = Family::of("wakustore_peer_faults", "What peers did that honest ones do not.");
    for (fault, n) in FAULTS.iter().zip(&counters.faults) {
        faults = faults.and(&[("what", fault)], count(n));
    }
    let mut all = vec![
        Family::of("waku_peers_dials", "Dials, by how they ended.")
            .and(&[("outcome", "successful")], count(&counters.opened[1]))
            .and(&[("outcome", "failed")], count(&counters.failed[1])),
        opened,
        failed,
        faults,
        Family::one(
            "wakustore_peers_sent_away",
            "Peers that were sent away for their conduct.",
            count(&counters.sent_away),
        ),
        Family::one(
            "wakustore_streams_refused",
            "Streams of peers that were refused, since they had too many.",
            count(&counters.streams_refused),
        ),
    ];
    let Some(swarm) = swarm else { return all };
    let mut by_protocol = Family::of(
        "waku_connected_peers",
        "Connected peers, by who dialled and by what they speak.",
    );
    for (protocol, ways) in [
        (wire::store::PROTOCOL, swarm.store),
        (wire::reconciliation::PROTOCOL, swarm.reconciliation),
        (wire::strong::PROTOCOL, swarm.strong),
        (wire::RELAY_PROTOCOL, swarm.relay),
    ] {
        for (direction, n) in [("In", ways.came), ("Out", ways.dialled)] {
            let labels = [("direction", direction), ("protocol", protocol)];
            by_protocol = by_protocol.and(&labels, gauge(n as u64));
        }
    }
    let ways = |name, help, ways: Ways| {
        Family::of(name, help)
            .and(&[("direction", "in")], gauge(ways.came as u64))
            .and(&[("direction", "out")], gauge(ways.dialled as u64))
    };
    all.extend([
        Family::one("libp2p_peers", "Peers that are connected.", gauge(swarm.peers as u64)),
        by_protocol,
        Family::one(
            "waku_store_peers",
            "Connected peers that speak Store.",
            gauge(swarm.store.all() as u64),
        ),
        ways("wakustore_connections", "Connections that stand.", swarm.connections),
        ways("wakustore_connections_pending", "Connections on their way.", swarm.pending),
    ]);
    all
}

fn of_relay(counters: &Counters, swarm: Option<&SwarmLook>) -> Vec<Family> {
    let sizes = counters.relayed.read();
    let mut all = vec![
        Family::of("waku_node_messages", "Messages that came.")
            .and(&[("type", "relay")], Value::Counter(sizes.count())),
        Family::of("wakustore_relay_not_passed_on", "What came over relay and went no further.")
            .and(&[("how", "rejected")], count(&counters.relay_rejected))
            .and(&[("how", "ignored")], count(&counters.relay_ignored)),
        Family::one(
            "wakustore_relay_published",
            "Messages that were published here.",
            count(&counters.published),
        ),
        Family::one(
            "waku_histogram_message_size",
            "Payloads that came over relay, in kB.",
            Value::Histogram(sizes, 1000.0),
        ),
    ];
    if let Some(swarm) = swarm {
        let (peers, topics) = (swarm.relay.all() as u64, swarm.topics as u64);
        all.push(Family::one("libp2p_pubsub_peers", "Peers that speak relay.", gauge(peers)));
        all.push(Family::one(
            "libp2p_pubsub_topics",
            "Topics of relay taken part in.",
            gauge(topics),
        ));
    }
    all
}

fn of_queues(seen: &Look) -> Vec<Family> {
    let depths = queues(seen);
    let mut items = Family::of("wakustore_queue_items", "What waits, or is under way.");
    for (queue, n) in [
        ("archive_puts", depths.archive_puts),
        ("archive_reads", depths.archive_reads),
        ("commands", depths.commands),
        ("streams", depths.streams),
        ("store_answering", depths.store_answering),
        ("store_asking", depths.store_asking),
    ] {
        items = items.and(&[("queue", queue)], gauge(n));
    }
    let mut bytes = Family::of("wakustore_queue_bytes", "The messages that wait, in bytes.");
    for (queue, n) in [
        ("archive_puts", depths.archive_put_bytes),
        ("relay", depths.relay_bytes),
        ("sync", depths.sync_bytes),
    ] {
        bytes = bytes.and(&[("queue", queue)], gauge(n));
    }
    vec![items, bytes]
}
