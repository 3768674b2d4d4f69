"""Archive, Store queries and Sync of the Waku network, for asyncio.

    async with wakustore.open_archive("messages.db") as archive:
        async with wakustore.start_node(archive, listen=["/ip4/0.0.0.0/tcp/0"]) as node:
            peer = await node.dial("/ip4/…/tcp/…/p2p/12D3…")
            async for page in node.history(peer, wakustore.Query(limit=100)):
                ...
            report = await node.sync(peer)

Everything that can fail raises :class:`WakuError`, whose ``kind`` tells failures apart. Hashes
are ``bytes`` of length 32, timestamps ``int`` in Unix nanoseconds. The library is shut down in an
orderly way when the interpreter exits.
"""

from __future__ import annotations

from . import _convert
from . import _generated as _g
from ._archive import Archive, Starting, open_archive
from ._lifetime import shutdown, translated as _translated
from ._node import Node, start_node
from ._stream import Changes, History, NodeEvents
from ._tools import (
    BackupReport,
    Finding,
    FindingKind,
    MoveReport,
    Progress,
    RefusedRow,
    SalvageReport,
    TopicKind,
    TopicStats,
    VerifyReport,
    restore_archive,
    salvage_archive,
    verify_archive,
)
from ._types import (
    Agreement,
    Change,
    ChangedMessage,
    Coverage,
    CrossCheck,
    Direction,
    Durability,
    Entry,
    ErrorKind,
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
    Origin,
    Page,
    PeerCheck,
    PeerConnected,
    PeerDisconnected,
    PutOutcome,
    PutResult,
    Query,
    RateLimit,
    Stats,
    StoredMessage,
    SyncDialect,
    SyncDifference,
    SyncDirection,
    SyncFigures,
    SyncFinished,
    SyncId,
    SyncProgress,
    SyncProtocol,
    SyncReason,
    SyncReport,
    SyncStarted,
    TopicMessage,
    Unknown,
    Valid,
    Validator,
    Verdict,
    WakuError,
)

__all__ = [
    "Agreement",
    "Archive",
    "BackupReport",
    "Change",
    "ChangedMessage",
    "Changes",
    "Coverage",
    "CrossCheck",
    "Direction",
    "Durability",
    "Entry",
    "ErrorKind",
    "Failure",
    "Fetched",
    "Finding",
    "FindingKind",
    "History",
    "Invalid",
    "Lagged",
    "Message",
    "MessageStored",
    "MessagesExpired",
    "MessagesRemoved",
    "MessagesStored",
    "MoveReport",
    "Node",
    "NodeEvent",
    "NodeEvents",
    "Origin",
    "Page",
    "PeerCheck",
    "PeerConnected",
    "PeerDisconnected",
    "Progress",
    "PutOutcome",
    "PutResult",
    "Query",
    "RateLimit",
    "RefusedRow",
    "SalvageReport",
    "Starting",
    "Stats",
    "StoredMessage",
    "SyncDialect",
    "SyncDifference",
    "SyncDirection",
    "SyncFigures",
    "SyncFinished",
    "SyncId",
    "SyncProgress",
    "SyncProtocol",
    "SyncReason",
    "SyncReport",
    "SyncStarted",
    "TopicKind",
    "TopicMessage",
    "TopicStats",
    "Unknown",
    "Valid",
    "Validator",
    "Verdict",
    "VerifyReport",
    "WakuError",
    "message_hash",
    "open_archive",
    "restore_archive",
    "salvage_archive",
    "shard_of",
    "shard_topic",
    "shutdown",
    "start_node",
    "verify_archive",
    "version",
]


def message_hash(pubsub_topic: str, message: Message) -> bytes:
    """The hash that names a message everywhere (14/WAKU2-MESSAGE)."""
    with _translated():
        return _g.message_hash(pubsub_topic, _convert.message_in(message))


def shard_of(content_topic: str, shards: int) -> int:
    """The shard of a content topic by autosharding, in a cluster of so many shards."""
    with _translated():
        return _g.shard_of(content_topic, shards)


def shard_topic(cluster: int, shard: int) -> str:
    """The pubsub topic of a shard, ``/waku/2/rs/{cluster}/{shard}``."""
    with _translated():
        return _g.shard_topic(cluster, shard)


def version() -> str:
    """The library's version."""
    with _translated():
        return _g.version()
