"""From the package's values to those of the generated module, and back."""

from __future__ import annotations

from typing import Any, Optional

from . import _generated as g
from ._types import (
    Entry,
    Failure,
    Lagged,
    Message,
    MessageStored,
    NodeEvent,
    Page,
    PeerConnected,
    PeerDisconnected,
    PutResult,
    Query,
    Stats,
    StoredMessage,
    SyncFinished,
    SyncReport,
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


def put_result_out(r: Any) -> PutResult:
    """What became of a message."""
    return PutResult(r.hash, r.outcome, failure(r.refusal))


def stats_out(s: Any) -> Stats:
    """Figures of an archive."""
    return Stats(s.messages, s.oldest, s.newest, s.bytes_on_disk)


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
    )


def event_out(e: Any) -> NodeEvent:
    """An event of a node."""
    if e.is_message_stored():
        return MessageStored(e.hash, e.timestamp, e.pubsub_topic, e.content_topic, e.origin)
    if e.is_sync_finished():
        return SyncFinished(report_out(e.report))
    if e.is_peer_connected():
        return PeerConnected(e.peer_id)
    if e.is_peer_disconnected():
        return PeerDisconnected(e.peer_id)
    return Lagged(e.missed)
