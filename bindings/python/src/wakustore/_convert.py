"""From the package's values to those of the generated module, and back."""

from __future__ import annotations

from typing import Any, Optional

from . import _generated as g
from ._types import (
    Change,
    ChangedMessage,
    Coverage,
    CrossCheck,
    Entry,
    Failure,
    Fetched,
    Invalid,
    Lagged,
    Message,
    MessageStored,
    MessagesExpired,
    MessagesRemoved,
    MessagesStored,
    NodeEvent,
    Page,
    PeerCheck,
    PeerConnected,
    PeerDisconnected,
    PutResult,
    Query,
    Stats,
    StoredMessage,
    SyncDifference,
    SyncFigures,
    SyncFinished,
    SyncId,
    SyncProgress,
    SyncReport,
    SyncStarted,
    Unknown,
    Valid,
    Validator,
    WakuError,
)

# The generated module is not typed all through: what comes out of it is Any, and typed from here.


def error(raised: Any) -> WakuError:
    """The package's error for one of the generated module."""
    if isinstance(raised, g.InternalError):
        return WakuError(g.ErrorKind.INTERNAL, str(raised))
    return WakuError(raised.kind, raised.reason)


def failure(f: Any) -> Optional[Failure]:
    """A failure, where there is one."""
    return None if f is None else Failure(f.kind, f.reason)


def message_in(m: Message) -> g.Message:
    """A message for the library."""
    return g.Message(
        payload=m.payload,
        content_topic=m.content_topic,
        timestamp=m.timestamp,
        meta=m.meta,
        version=m.version,
        rate_limit_proof=m.rate_limit_proof,
        ephemeral=m.ephemeral,
    )


def message_out(m: Any) -> Message:
    """A message from the library."""
    return Message(
        m.payload,
        m.content_topic,
        m.timestamp,
        m.meta,
        m.version,
        m.rate_limit_proof,
        m.ephemeral,
    )


def query_in(q: Query) -> g.Query:
    """A query for the library."""
    return g.Query(
        pubsub_topic=q.pubsub_topic,
        content_topics=list(q.content_topics),
        start=q.start,
        end=q.end,
        hashes=list(q.hashes),
        cursor=q.cursor,
        direction=q.direction,
        limit=q.limit,
        include_data=q.include_data,
    )


def page_out(p: Any) -> Page:
    """A page from the library."""
    entries = [
        Entry(e.hash, e.pubsub_topic, None if e.message is None else message_out(e.message))
        for e in p.entries
    ]
    return Page(entries, p.cursor)


def stored_out(m: Any) -> StoredMessage:
    """A message that an archive holds."""
    return StoredMessage(m.hash, m.pubsub_topic, message_out(m.message))


def fetched_out(f: Any) -> Fetched:
    """What was found of many hashes."""
    return Fetched([stored_out(m) for m in f.messages], f.missing)


def check_out(c: Any) -> CrossCheck:
    """What several peers told."""
    peers = [PeerCheck(p.peer, p.told, p.omitted, failure(p.failure)) for p in c.peers]
    return CrossCheck(c.hashes, peers)


def put_result_out(r: Any) -> PutResult:
    """What became of a message."""
    return PutResult(r.hash, r.outcome, failure(r.refusal))


def stats_out(s: Any) -> Stats:
    """Figures of an archive."""
    return Stats(s.messages, s.oldest, s.newest, s.bytes_on_disk)


def difference_out(d: Any) -> Optional[SyncDifference]:
    """What a dry run found, where it was one."""
    if d is None:
        return None
    missing = [SyncId(i.timestamp, i.hash) for i in d.missing]
    return SyncDifference(missing, [SyncId(i.timestamp, i.hash) for i in d.surplus])


def coverage_out(c: Any) -> Coverage:
    """A span, and who agrees on it."""
    return Coverage(c.start, c.end, c.peers, c.strong, c.compared_at)


def figures_out(f: Any) -> SyncFigures:
    """How far a sync is."""
    return SyncFigures(
        missing=f.missing,
        surplus=f.surplus,
        received=f.received,
        sent=f.sent,
        dropped=f.dropped,
        unsendable=f.unsendable,
        frames=f.frames,
        reconciliation_bytes_out=f.reconciliation_bytes_out,
        reconciliation_bytes_in=f.reconciliation_bytes_in,
        transfer_bytes_out=f.transfer_bytes_out,
        transfer_bytes_in=f.transfer_bytes_in,
        ranges_settled=f.ranges_settled,
        ids_compared=f.ids_compared,
        refused=f.refused,
    )


def report_out(r: Any) -> SyncReport:
    """What came of a sync."""
    return SyncReport(
        peer_id=r.peer_id,
        initiator=r.initiator,
        window_start=r.window_start,
        window_end=r.window_end,
        duration=r.duration,
        missing=r.missing,
        surplus=r.surplus,
        received=r.received,
        sent=r.sent,
        dropped=r.dropped,
        unsendable=r.unsendable,
        outstanding=r.outstanding,
        frames=r.frames,
        reconciliation_bytes_out=r.reconciliation_bytes_out,
        reconciliation_bytes_in=r.reconciliation_bytes_in,
        transfer_bytes_out=r.transfer_bytes_out,
        transfer_bytes_in=r.transfer_bytes_in,
        failure=failure(r.failure),
        session=r.session,
        protocol=r.protocol,
        reason=r.reason,
        agreement=r.agreement,
        ranges_settled=r.ranges_settled,
        ids_compared=r.ids_compared,
        refused=r.refused,
        difference=difference_out(r.difference),
    )


def event_out(e: Any) -> NodeEvent:
    """An event of a node."""
    if e.is_message_stored():
        return MessageStored(e.hash, e.timestamp, e.pubsub_topic, e.content_topic, e.origin)
    if e.is_sync_progress():
        return SyncProgress(e.session, e.peer_id, figures_out(e.progress))
    if e.is_sync_started():
        return SyncStarted(
            session=e.session,
            peer_id=e.peer_id,
            initiator=e.initiator,
            reason=e.reason,
            window_start=e.window_start,
            window_end=e.window_end,
            protocol=e.protocol,
        )
    if e.is_sync_finished():
        return SyncFinished(report_out(e.report))
    if e.is_peer_connected():
        return PeerConnected(e.peer_id)
    if e.is_peer_disconnected():
        return PeerDisconnected(e.peer_id)
    return Lagged(e.missed)


def change_out(c: Any) -> Change:
    """What an archive has committed."""
    if c.is_lagged():
        return Lagged(c.missed)
    if c.is_expired():
        return MessagesExpired(c.timestamp, c.hash)
    messages = [
        ChangedMessage(m.hash, m.timestamp, m.pubsub_topic, m.content_topic, m.origin)
        for m in c.messages
    ]
    return MessagesStored(messages) if c.is_stored() else MessagesRemoved(messages)


def verdict_in(v: Any) -> Any:
    """A validator's word for the library."""
    validity: Any = g.Validity
    if isinstance(v, Valid):
        return validity.VALID()
    if isinstance(v, Invalid):
        return validity.INVALID(reason=str(v.reason))
    if isinstance(v, Unknown):
        return validity.UNKNOWN(reason=str(v.reason))
    raise TypeError(f"a validator answers with Valid, Invalid or Unknown, not with {v!r}")


class _Validator(g.Validator):
    def __init__(self, validate: Validator) -> None:
        self._validate = validate

    def validate(self, messages: Any, origin: Any) -> Any:
        try:
            given = [stored_out(m) for m in messages]
            return [verdict_in(v) for v in self._validate(given, origin)]
        except BaseException as error:
            # Whatever it is, it ends here: above is a thread of the library.
            raise RuntimeError(f"{type(error).__name__}: {error}") from error


def validator_in(validate: Optional[Validator]) -> Optional[g.Validator]:
    """A host's validator for the library."""
    return None if validate is None else _Validator(validate)
