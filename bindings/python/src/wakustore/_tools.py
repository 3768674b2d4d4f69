"""What an operator does with an archive, open or as a file; moving from nwaku, and back.

What takes long takes ``progress``, a function that is called a few times a second, on the event
loop, with how much is done and of how much (0 where that is not known), in a unit of the work's own:
pages, messages. Cancelling the call gives the work up.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any, Awaitable, Callable, Iterable, Optional, Sequence, Union

from . import _convert
from . import _generated as g
from ._generated import FindingKind, TopicKind
from ._lifetime import call, translated
from ._types import Failure, Query

__all__ = [
    "BackupReport",
    "Finding",
    "FindingKind",
    "MoveReport",
    "Progress",
    "RefusedRow",
    "SalvageReport",
    "Tools",
    "TopicKind",
    "TopicStats",
    "VerifyReport",
    "file_options",
    "restore_archive",
    "salvage_archive",
    "verify_archive",
]

#: How far a work is: so much, of so much.
Progress = Callable[[int, int], None]

PathLike = Union[str, "os.PathLike[str]"]

_SECONDS_BETWEEN = 0.2


@dataclass(frozen=True)
class TopicStats:
    """What an archive holds of one topic.

    ``bytes`` are those of payloads, metas and rate-limit proofs; ``oldest`` and ``newest`` are
    timestamps of messages.
    """

    name: str
    messages: int
    bytes: int
    oldest: Optional[int]
    newest: Optional[int]


@dataclass(frozen=True)
class BackupReport:
    """What a backup, or a restore, has written: so many messages, in a file of so many bytes."""

    messages: int
    bytes: int


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit; ``hash`` names the message, where that can be told."""

    kind: FindingKind
    hash: Optional[bytes]
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    """What a check found: of ``messages``, ``count`` things do not fit; the first 1,000 are listed."""

    messages: int
    count: int
    findings: Sequence[Finding]

    @property
    def sound(self) -> bool:
        """Whether everything fits."""
        return self.count == 0


@dataclass(frozen=True)
class SalvageReport:
    """What a salvage has brought over, and the first 1,000 of the ``count`` things that it has not."""

    messages: int
    tombstones: int
    count: int
    lost: Sequence[Finding]


@dataclass(frozen=True)
class RefusedRow:
    """A row of a source that was not imported."""

    row: str
    timestamp: Optional[int]
    refusal: Optional[Failure]


@dataclass(frozen=True)
class MoveReport:
    """What an import or an export has done.

    ``read`` is the sum of ``written``, ``duplicates`` and ``refused``. ``rehashed`` messages had
    another hash in the source than their own, ``unhashed`` none. ``without_proof`` counts exported
    messages whose rate-limit proof had no place. ``position`` says where to go on, and ``complete``
    whether the end was reached.
    """

    read: int
    written: int
    duplicates: int
    refused: int
    refused_rows: Sequence[RefusedRow]
    rehashed: int
    unhashed: int
    without_proof: int
    position: Optional[str]
    complete: bool


def _findings(findings: Any) -> list[Finding]:
    return [Finding(f.kind, f.hash, f.detail) for f in findings]


def _verified(r: Any) -> VerifyReport:
    return VerifyReport(r.messages, r.count, _findings(r.findings))


def _moved(r: Any) -> MoveReport:
    rows = [RefusedRow(f.row, f.timestamp, _convert.failure(f.refusal)) for f in r.refused_rows]
    return MoveReport(
        read=r.read,
        written=r.written,
        duplicates=r.duplicates,
        refused=r.refused,
        refused_rows=rows,
        rehashed=r.rehashed,
        unhashed=r.unhashed,
        without_proof=r.without_proof,
        position=r.position,
        complete=r.complete,
    )


def file_options(key: Optional[bytes], passphrase: Optional[str]) -> Optional[g.FileOptions]:
    """What a file is encrypted with, where it is."""
    if key is None and passphrase is None:
        return None
    return g.FileOptions(key=key, passphrase=passphrase)


async def _watched(
    start: Callable[[Optional[g.Watch]], Awaitable[Any]], progress: Optional[Progress]
) -> Any:
    """Awaits long work and tells how far it is."""
    if progress is None:
        return await call(lambda: start(None))
    with translated():
        watch = g.Watch()  # type: ignore[no-untyped-call]
    work = asyncio.ensure_future(call(lambda: start(watch)))
    try:
        ended = False
        while not ended:
            ended = bool((await asyncio.wait({work}, timeout=_SECONDS_BETWEEN))[0])
            with translated():
                now = watch.progress()
            progress(now.done, now.total)
        return work.result()
    finally:
        if not work.done():
            work.cancel()
            await asyncio.wait({work})


class Tools:
    """The tools of an open archive."""

    _inner: g.Archive

    async def topic_stats(
        self, kind: TopicKind = TopicKind.CONTENT, *, after: Optional[str] = None, limit: int = 1000
    ) -> list[TopicStats]:
        """Figures by topic, in the order of names: up to ``limit`` (1,000 at most) after ``after``.

        Fewer than ``limit`` are the last. The cost is by topics, not by messages.
        """
        inner = self._inner
        topics = await call(lambda: inner.topic_stats(kind, after, limit))
        return [TopicStats(t.name, t.messages, t.bytes, t.oldest, t.newest) for t in topics]

    async def backup(
        self, path: PathLike, *, replace: bool = False, progress: Optional[Progress] = None
    ) -> BackupReport:
        """Writes a copy of one moment to a new file, while puts and queries go on.

        The file gets its name when it is whole and on the disk; one that is there stays until then,
        and is replaced only with ``replace``.
        """
        inner, to = self._inner, os.fspath(path)
        r = await _watched(lambda watch: inner.backup(to, replace, watch), progress)
        return BackupReport(r.messages, r.bytes)

    async def verify(self, *, progress: Optional[Progress] = None) -> VerifyReport:
        """Recomputes each hash and checks the file; what is wrong is in the report."""
        inner = self._inner
        return _verified(await _watched(lambda watch: inner.verify(watch), progress))

    async def take_down_matching(
        self, query: Query, *, progress: Optional[Progress] = None
    ) -> int:
        """Takes down what the query's topics and times match, and tells how many messages went.

        Each is removed as by :meth:`Archive.take_down`, in small steps; what matches and was never
        held is not kept out. What went before a cancel stays down.
        """
        inner, given = self._inner, _convert.query_in(query)
        removed: int = await _watched(
            lambda watch: inner.take_down_matching(given, watch), progress
        )
        return removed

    async def tombstones(
        self, after: Optional[bytes] = None, *, limit: int = 1000
    ) -> list[bytes]:
        """Hashes that were taken down, in ascending order; fewer than ``limit`` are the last."""
        inner = self._inner
        return await call(lambda: inner.tombstones(after, limit))

    async def reinstate(self, hashes: Iterable[bytes]) -> int:
        """Lifts takedowns, and tells how many there were. What was removed is not brought back."""
        inner, given = self._inner, list(hashes)
        return await call(lambda: inner.reinstate(given))

    async def import_nwaku(
        self,
        source: PathLike,
        *,
        position: Optional[str] = None,
        limit: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> MoveReport:
        """Imports the archive of a nwaku or go-waku: an SQLite file, or a ``postgres://`` database.

        It goes on after ``position``, of an earlier report, and ends at the end, or after ``limit``
        rows or a few more. What is there already is a duplicate and nothing worse.
        """
        inner, name = self._inner, os.fspath(source)
        return _moved(
            await _watched(
                lambda watch: inner.import_nwaku(name, position, limit, watch), progress
            )
        )

    async def export_nwaku(
        self,
        target: PathLike,
        query: Optional[Query] = None,
        *,
        position: Optional[str] = None,
        limit: Optional[int] = None,
        progress: Optional[Progress] = None,
    ) -> MoveReport:
        """Writes messages to an archive of nwaku's: an SQLite file, or a ``postgres://`` database.

        All of them, or those that the query's topics and times match.
        """
        inner, name = self._inner, os.fspath(target)
        given = None if query is None else _convert.query_in(query)
        return _moved(
            await _watched(
                lambda watch: inner.export_nwaku(name, given, position, limit, watch), progress
            )
        )


async def restore_archive(
    backup: PathLike,
    path: PathLike,
    *,
    replace: bool = False,
    key: Optional[bytes] = None,
    passphrase: Optional[str] = None,
    progress: Optional[Progress] = None,
) -> BackupReport:
    """Makes an archive of a backup, after all of it was checked.

    One that is there is replaced only with ``replace``, and only while nobody has it open.
    """
    options = file_options(key, passphrase)
    source, target = os.fspath(backup), os.fspath(path)
    r = await _watched(
        lambda watch: g.restore_archive(source, target, replace, options, watch), progress
    )
    return BackupReport(r.messages, r.bytes)


async def salvage_archive(
    damaged: PathLike,
    path: PathLike,
    *,
    key: Optional[bytes] = None,
    passphrase: Optional[str] = None,
    new_key: Optional[bytes] = None,
    new_passphrase: Optional[str] = None,
    progress: Optional[Progress] = None,
) -> SalvageReport:
    """Reads what can be read of a file that may be damaged into a new archive.

    Nothing is written to the damaged file. ``new_key`` or ``new_passphrase`` encrypts the new one.
    """
    old, new = file_options(key, passphrase), file_options(new_key, new_passphrase)
    source, target = os.fspath(damaged), os.fspath(path)
    r = await _watched(
        lambda watch: g.salvage_archive(source, target, old, new, watch), progress
    )
    return SalvageReport(r.messages, r.tombstones, r.count, _findings(r.lost))


async def verify_archive(
    path: PathLike,
    *,
    key: Optional[bytes] = None,
    passphrase: Optional[str] = None,
    progress: Optional[Progress] = None,
) -> VerifyReport:
    """Checks a file as :meth:`Archive.verify` does, also one that is too damaged to be opened."""
    options, name = file_options(key, passphrase), os.fspath(path)
    return _verified(
        await _watched(lambda watch: g.verify_archive(name, options, watch), progress)
    )
