"""The library seen from outside: how a node is, and the log."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Callable, Optional, Union

from . import _convert
from . import _generated as g
from ._generated import ArchiveState, LogLevel
from ._lifetime import translated
from ._types import Agreement, Failure

__all__ = [
    "ArchiveState",
    "Health",
    "LastSync",
    "LogLevel",
    "LogLine",
    "QueueDepths",
    "health_out",
    "log_to",
]


@dataclass(frozen=True)
class LastSync:
    """A sync that ended well, at ``at`` (Unix nanoseconds) with ``peer_id``.

    ``outstanding`` messages the peer announced, and they were not here at its end.
    """

    at: int
    peer_id: str
    agreement: Agreement
    received: int
    sent: int
    outstanding: int


@dataclass(frozen=True)
class QueueDepths:
    """What waits: puts, questions and requests, and the messages of some of them in bytes."""

    archive_puts: int
    archive_put_bytes: int
    archive_reads: int
    commands: int
    streams: int
    store_answering: int
    store_asking: int
    relay_bytes: int
    sync_bytes: int


@dataclass(frozen=True)
class Health:
    """How a node is.

    ``peers`` are connected; of them so many speak Store, reconciliation 1.0.0, wakustore's own sync
    protocol, and relay. ``syncs`` run now; until ``sync_ready`` they wait. ``agreed_until`` is up to
    where some peer agrees with the node on what there is, and lies ``behind`` now. The node was
    not online for ``gaps`` spans, ``gap`` together, that no sync has filled yet. ``messages``,
    ``oldest`` and ``newest`` are the archive's; ``archive`` tells whether it can do its work, and
    ``archive_failure`` what is wrong. What is None is not known, or not so yet.
    """

    running: bool
    peers: int
    store_peers: int
    reconciliation_peers: int
    strong_peers: int
    relay_peers: int
    syncs: int
    sync_ready: bool
    last_sync: Optional[LastSync]
    newest: Optional[int]
    oldest: Optional[int]
    messages: Optional[int]
    agreed_until: Optional[int]
    behind: Optional[timedelta]
    gaps: int
    gap: timedelta
    gap_start: Optional[int]
    archive: ArchiveState
    archive_failure: Optional[Failure]
    queues: QueueDepths


@dataclass(frozen=True)
class LogLine:
    """A line of the log: ``time`` in Unix nanoseconds, ``target`` as ``wakustore::node::swarm``.

    ``dropped`` lines were left out before it, since the function was too slow.
    """

    time: int
    level: LogLevel
    target: str
    message: str
    dropped: int


def health_out(h: Any) -> Health:
    """How a node is."""
    last = h.last_sync
    names = QueueDepths.__dataclass_fields__
    return Health(
        running=h.running,
        peers=h.peers,
        store_peers=h.store_peers,
        reconciliation_peers=h.reconciliation_peers,
        strong_peers=h.strong_peers,
        relay_peers=h.relay_peers,
        syncs=h.syncs,
        sync_ready=h.sync_ready,
        last_sync=None
        if last is None
        else LastSync(
            last.at, last.peer_id, last.agreement, last.received, last.sent, last.outstanding
        ),
        newest=h.newest,
        oldest=h.oldest,
        messages=h.messages,
        agreed_until=h.agreed_until,
        behind=h.behind,
        gaps=h.gaps,
        gap=h.gap,
        gap_start=h.gap_start,
        archive=h.archive,
        archive_failure=_convert.failure(h.archive_failure),
        queues=QueueDepths(**{name: getattr(h.queues, name) for name in names}),
    )


#: ``logging`` has nothing below DEBUG.
_TRACE = 5
_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARN: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
    LogLevel.TRACE: _TRACE,
}


def _to_logging(logger: logging.Logger) -> Callable[[LogLine], None]:
    def log(line: LogLine) -> None:
        level = _LEVELS[line.level]
        if line.dropped:
            logger.warning("%d lines were left out here", line.dropped)
        to = logger.getChild(line.target.replace("::", "."))
        if to.isEnabledFor(level):
            # What is in the message is no format.
            record = to.makeRecord(to.name, level, line.target, 0, "%s", (line.message,), None)
            record.created = line.time / 1e9
            record.msecs = line.time // 1_000_000 % 1000
            to.handle(record)

    return log


class _Logger(g.Logger):
    def __init__(self, log: Callable[[LogLine], None]) -> None:
        self._log = log

    def log(self, line: Any) -> None:
        try:
            self._log(LogLine(line.time, line.level, line.target, line.message, line.dropped))
        except Exception:
            # A line about it would be the next to fail; what handlers of `logging` raise they
            # tell themselves.
            pass


def log_to(
    to: Union[logging.Logger, Callable[[LogLine], None], None], filter: str = "info"
) -> None:
    """Has the library's log go to a logger of :mod:`logging`, or to a function; None ends it.

    There is one for the whole process, and at first none. ``filter`` is a level (``off``, ``error``,
    ``warn``, ``info``, ``debug``, ``trace``) for the library's own lines, or parts with commas
    between them that may each name the beginning of a target:
    ``info,wakustore::node=debug,libp2p_swarm=warn``. Under the logger each target has a child.

    The logger or function is called on a thread of the library's, one line at a time, and must not
    wait for a call of the library. What it is too slow for is left out, and counted.
    """
    if isinstance(to, logging.Logger):
        to = _to_logging(to)
    logger = None if to is None else _Logger(to)
    with translated():
        g.set_logger(filter, logger)
