"""The values of the library: messages, queries, pages, reports, events, and the error.

Plain and immutable. Hashes are ``bytes`` of length 32, timestamps ``int`` in Unix nanoseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Callable, Iterable, Optional, Sequence, Union

from ._generated import (
    Agreement,
    Direction,
    Durability,
    ErrorKind,
    Origin,
    PutOutcome,
    SyncDialect,
    SyncDirection,
    SyncProtocol,
    SyncReason,
)

__all__ = [
    "Agreement",
    "Change",
    "ChangedMessage",
    "Coverage",
    "Direction",
    "Durability",
    "Entry",
    "ErrorKind",
    "Failure",
    "Invalid",
    "Lagged",
    "Message",
    "MessageStored",
    "MessagesExpired",
    "MessagesRemoved",
    "MessagesStored",
    "NodeEvent",
    "Origin",
    "Page",
    "PeerConnected",
    "PeerDisconnected",
    "PutOutcome",
    "PutResult",
    "Query",
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
    "TopicMessage",
    "Unknown",
    "Valid",
    "Validator",
    "Verdict",
    "WakuError",
]


class WakuError(Exception):
    """What every call of the library that can fail raises.

    ``kind`` tells failures apart, and its value is the same number as in the C ABI; ``message``
    says what is wrong, and with what.
    """

    kind: ErrorKind
    message: str

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(kind, message)
        self.kind = kind
        self.message = message

    def __str__(self) -> str:
        return f"{self.kind.name}: {self.message}"


@dataclass(frozen=True)
class Failure:
    """A failure that is told rather than raised."""

    kind: ErrorKind
    message: str

    def error(self) -> WakuError:
        """The same, to be raised."""
        return WakuError(self.kind, self.message)


@dataclass(frozen=True, repr=False)
class Message:
    """A message of the network (14/WAKU2-MESSAGE).

    ``content_topic`` has the form ``/{application}/{version}/{name}/{encoding}``. A message
    without ``timestamp`` is relayed but never stored. ``meta`` is at most 64 bytes and part of
    the hash. ``rate_limit_proof`` is kept as it came.
    """

    payload: bytes
    content_topic: str
    timestamp: Optional[int]
    meta: Optional[bytes] = None
    version: Optional[int] = None
    rate_limit_proof: Optional[bytes] = None
    ephemeral: Optional[bool] = None

    def __repr__(self) -> str:
        # What is printed may end in a log, where a payload has no business.
        return (
            f"Message(<{len(self.payload)} bytes>, content_topic={self.content_topic!r}, "
            f"timestamp={self.timestamp!r})"
        )


@dataclass(frozen=True)
class TopicMessage:
    """A message and the topic it was, or is to be, published on."""

    pubsub_topic: str
    message: Message


@dataclass(frozen=True)
class StoredMessage:
    """A message with what names it: what an archive holds."""

    hash: bytes
    pubsub_topic: str
    message: Message


@dataclass(frozen=True)
class PutResult:
    """What became of one message of a put; ``refusal`` says why, where it was refused."""

    hash: bytes
    outcome: PutOutcome
    refusal: Optional[Failure] = None


@dataclass(frozen=True)
class Query:
    """Which messages, and how they are handed out.

    All that is named must hold; what is empty or None does not restrict. The time range is
    half-open: ``start`` is in it, ``end`` is not. ``hashes`` excludes the other filters.
    ``cursor`` is a message hash to go on after (before, where ``direction`` is backward);
    ``limit`` is the size of a page, 1 to 100; without ``include_data`` hashes alone come back.
    """

    content_topics: Sequence[str] = ()
    pubsub_topic: Optional[str] = None
    start: Optional[int] = None
    end: Optional[int] = None
    hashes: Sequence[bytes] = ()
    cursor: Optional[bytes] = None
    direction: Direction = Direction.FORWARD
    limit: int = 20
    include_data: bool = True


@dataclass(frozen=True)
class Entry:
    """One entry of a page; topic and message are None where hashes alone were asked for."""

    hash: bytes
    pubsub_topic: Optional[str]
    message: Optional[Message]


@dataclass(frozen=True)
class Page:
    """One page of what matches a query, in forward order also where the walk goes backward.

    ``cursor`` says where to go on, and is None where nothing more matches.
    """

    entries: Sequence[Entry]
    cursor: Optional[bytes]


@dataclass(frozen=True)
class Fetched:
    """What was found of many hashes: the messages, and the hashes that no peer held."""

    messages: Sequence[StoredMessage]
    missing: Sequence[bytes]


@dataclass(frozen=True)
class PeerCheck:
    """What one peer told in a cross-check.

    Of ``omitted`` others told and it did not; it says nothing where there is a ``failure``: then the
    answer broke off.
    """

    peer: str
    told: int
    omitted: Sequence[bytes]
    failure: Optional[Failure]


@dataclass(frozen=True)
class CrossCheck:
    """What several store peers told when they were asked the same: all hashes, and each peer."""

    hashes: Sequence[bytes]
    peers: Sequence[PeerCheck]


@dataclass(frozen=True)
class RateLimit:
    """So many requests (at least 1) in so many seconds (more than 0)."""

    requests: int
    per: Union[float, timedelta]


@dataclass(frozen=True)
class Stats:
    """Figures of an archive; ``oldest`` and ``newest`` are timestamps of messages."""

    messages: int
    oldest: Optional[int]
    newest: Optional[int]
    bytes_on_disk: int


@dataclass(frozen=True)
class SyncId:
    """What names a message in a sync."""

    timestamp: int
    hash: bytes


@dataclass(frozen=True)
class SyncDifference:
    """The ids that differ, as a dry run found them, in ascending order.

    The peer has those of ``missing`` and we lack them; of ``surplus`` it is the reverse.
    """

    missing: Sequence[SyncId]
    surplus: Sequence[SyncId]


@dataclass(frozen=True)
class Coverage:
    """A span of time, ``end`` not in it, and how many peers agreed on what lies in it.

    Peers of one network count as one; ``strong`` of them agreed strongly. ``compared_at`` is when
    the last comparison that counts here ended.
    """

    start: int
    end: int
    peers: int
    strong: int
    compared_at: int


@dataclass(frozen=True)
class SyncReport:
    """What came of a sync.

    ``missing`` counts what the peer has and we lacked, ``surplus`` the reverse; ``received`` what
    came and was new, ``sent`` what was written to the peer, ``dropped`` what came and was not
    stored, ``unsendable`` what could not be sent, ``outstanding`` what was announced and did not
    come. Two ``frames`` make a round trip. Bytes include length prefixes. Where the sync broke
    down, ``failure`` says why; what came until then is stored. ``session`` is its number in
    events, ``protocol`` how it compared, ``reason`` why it was begun, and ``agreement`` whether
    both sides hold the same now. In the ``ranges_settled``, ``ids_compared`` of our ids were found
    equal or compared one by one; ``refused`` counts what the archive refused for good. A dry run
    names what differs in ``difference``.
    """

    peer_id: str
    initiator: bool
    window_start: int
    window_end: int
    duration: timedelta
    missing: int
    surplus: int
    received: int
    sent: int
    dropped: int
    unsendable: int
    outstanding: int
    frames: int
    reconciliation_bytes_out: int
    reconciliation_bytes_in: int
    transfer_bytes_out: int
    transfer_bytes_in: int
    failure: Optional[Failure]
    session: int
    protocol: SyncProtocol
    reason: SyncReason
    agreement: Agreement
    ranges_settled: int
    ids_compared: int
    refused: int
    difference: Optional[SyncDifference]


@dataclass(frozen=True)
class SyncFigures:
    """How far a sync is; the fields are those of :class:`SyncReport`."""

    missing: int
    surplus: int
    received: int
    sent: int
    dropped: int
    unsendable: int
    frames: int
    reconciliation_bytes_out: int
    reconciliation_bytes_in: int
    transfer_bytes_out: int
    transfer_bytes_in: int
    ranges_settled: int
    ids_compared: int
    refused: int


@dataclass(frozen=True)
class PeerConnected:
    """A peer's first connection stands."""

    peer_id: str


@dataclass(frozen=True)
class PeerDisconnected:
    """A peer's last connection is gone."""

    peer_id: str


@dataclass(frozen=True)
class MessageStored:
    """A message was stored by the archive, whoever put it there."""

    hash: bytes
    timestamp: int
    pubsub_topic: str
    content_topic: str
    origin: Origin


@dataclass(frozen=True)
class SyncStarted:
    """A sync has begun, by either side, and what it compares is known.

    ``session`` is its number, for :meth:`Node.cancel_sync`. It begins to compare by ``protocol``;
    its report tells how it did in the end.
    """

    session: int
    peer_id: str
    initiator: bool
    reason: SyncReason
    window_start: int
    window_end: int
    protocol: SyncProtocol


@dataclass(frozen=True)
class SyncProgress:
    """A sync goes on; told at most a few times a second for each."""

    session: int
    peer_id: str
    figures: SyncFigures


@dataclass(frozen=True)
class SyncFinished:
    """A sync has ended, begun by either side."""

    report: SyncReport


@dataclass(frozen=True)
class Lagged:
    """The reader was too slow: so many events were left out here.

    (Of an archive's changes it is so many messages, stored or removed, or 0 where it is not known.)
    """

    missed: int


NodeEvent = Union[
    PeerConnected,
    PeerDisconnected,
    MessageStored,
    SyncStarted,
    SyncProgress,
    SyncFinished,
    Lagged,
]


@dataclass(frozen=True)
class Valid:
    """A validator's word: the message may be stored."""


@dataclass(frozen=True)
class Invalid:
    """A validator's word: the message may never be stored.

    It is refused with ``ErrorKind.VALIDATOR_REFUSED``, and a sync does not ask for it again.
    """

    reason: str = "the validator refused it"


@dataclass(frozen=True)
class Unknown:
    """A validator's word: it cannot be told now.

    The message is refused with ``ErrorKind.BUSY``, and may be put again, or come with a later sync.
    """

    reason: str = "the validator cannot tell now"


Verdict = Union[Valid, Invalid, Unknown]

#: A host's validation of messages: one verdict for each of the batch, in order.
Validator = Callable[[Sequence[StoredMessage], Origin], Iterable[Verdict]]


@dataclass(frozen=True)
class ChangedMessage:
    """A message that was stored or removed."""

    hash: bytes
    timestamp: int
    pubsub_topic: str
    content_topic: str
    #: Where it came from, also where it was removed.
    origin: Origin


@dataclass(frozen=True)
class MessagesStored:
    """New messages; those that were there already are not among them.

    Of this archive's own commits, while the reader keeps up, one change is one commit.
    """

    messages: Sequence[ChangedMessage]


@dataclass(frozen=True)
class MessagesRemoved:
    """Messages that were removed, by retention or taken down. The reader may not know them."""

    messages: Sequence[ChangedMessage]


@dataclass(frozen=True)
class MessagesExpired:
    """Retention removed all messages up to this one, with it.

    Told so of other archives on the same file or database, and of what lies behind.
    """

    timestamp: int
    hash: bytes


Change = Union[MessagesStored, MessagesRemoved, MessagesExpired, Lagged]
