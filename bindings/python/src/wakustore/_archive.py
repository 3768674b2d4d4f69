"""The archive, alone and without a network."""

from __future__ import annotations

import os
from datetime import timedelta
from types import TracebackType
from typing import (
    Any,
    Awaitable,
    Callable,
    Generator,
    Generic,
    Iterable,
    Optional,
    Type,
    TypeVar,
    Union,
)

from . import _convert
from . import _generated as g
from ._lifetime import call, seconds, translated
from ._stream import Changes, History
from ._tools import Tools, file_options
from ._types import (
    Durability,
    Message,
    Origin,
    Page,
    PutResult,
    Query,
    Stats,
    StoredMessage,
    TopicMessage,
    Validator,
)

__all__ = ["Archive", "Starting", "open_archive"]


class _Closable:
    async def aclose(self) -> None:
        raise NotImplementedError


C = TypeVar("C", bound="_Closable")


class Starting(Generic[C]):
    """Something that is yet to be opened: await it, or use it with ``async with``."""

    def __init__(self, start: Callable[[], Awaitable[C]]) -> None:
        self._start = start
        self._started: Optional[C] = None

    def __await__(self) -> Generator[Any, None, C]:
        return self._start().__await__()

    async def __aenter__(self) -> C:
        self._started = await self._start()
        return self._started

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        started, self._started = self._started, None
        if started is not None:
            await started.aclose()


class Archive(Tools, _Closable):
    """An open archive: the stored messages of one file. Made by :func:`open_archive`.

    May be used from any thread and any event loop; no call blocks the loop.
    """

    def __init__(self, inner: g.Archive) -> None:
        self._inner = inner

    async def put(
        self, pubsub_topic: str, message: Message, *, origin: Origin = Origin.LIVE
    ) -> PutResult:
        """Stores one message. It is committed when this returns.

        A message that is there already is no error; one that the rules refuse raises.
        """
        inner, given = self._inner, _convert.message_in(message)
        result = await call(lambda: inner.put(pubsub_topic, given, origin))
        return _convert.put_result_out(result)

    async def put_many(
        self, messages: Iterable[TopicMessage], *, origin: Origin = Origin.LIVE
    ) -> list[PutResult]:
        """Stores messages in one commit and tells for each, in order, what became of it.

        A message that the rules refuse does not hinder the others.
        """
        inner = self._inner
        given = [
            g.TopicMessage(pubsub_topic=m.pubsub_topic, message=_convert.message_in(m.message))
            for m in messages
        ]
        results = await call(lambda: inner.put_many(given, origin))
        return [_convert.put_result_out(r) for r in results]

    async def query(self, query: Query = Query()) -> Page:
        """One page."""
        inner, given = self._inner, _convert.query_in(query)
        return _convert.page_out(await call(lambda: inner.query(given)))

    def history(self, query: Query = Query()) -> History:
        """A walk through all that matches; nothing is read until the first page is asked for."""
        with translated():
            return History(self._inner.history(_convert.query_in(query)))

    async def get(self, hashes: Iterable[bytes]) -> list[StoredMessage]:
        """Those of the messages that are held, in the order asked for, each once."""
        inner, given = self._inner, list(hashes)
        return [_convert.stored_out(m) for m in await call(lambda: inner.get(given))]

    async def missing(self, hashes: Iterable[bytes]) -> list[bytes]:
        """Those of the hashes that are neither held nor taken down, in the order asked for."""
        inner, given = self._inner, list(hashes)
        return await call(lambda: inner.missing(given))

    async def stats(self) -> Stats:
        """Figures."""
        return _convert.stats_out(await call(self._inner.stats))

    async def suspend(self) -> None:
        """Lets go of the file or database, until :meth:`resume`: no lock is held, no file open.

        What was accepted is committed first. Whatever is asked meanwhile raises
        ``ErrorKind.SUSPENDED``; subscribers stay. A second time is fine.
        """
        await call(self._inner.suspend)

    async def resume(self) -> None:
        """Opens the file or database again. Where that fails it stays suspended."""
        await call(self._inner.resume)

    async def take_down(self, hashes: Iterable[bytes]) -> int:
        """Takes messages down, and tells how many of them were held.

        They are removed in one commit, and none of them is ever taken in again, from wherever it
        comes (``ErrorKind.TAKEN_DOWN``), nor asked for by a sync. At most 100,000 in one call.
        """
        inner, given = self._inner, list(hashes)
        return await call(lambda: inner.take_down(given))

    @property
    def floor(self) -> Optional[int]:
        """The lowest timestamp that is kept and taken in; None where nothing bounds it.

        What is older was removed by retention, or will be.
        """
        with translated():
            return self._inner.floor()

    def changes(self, capacity: Optional[int] = None) -> Changes:
        """What is committed from now on: what is stored, from wherever it comes, and what is removed.

        Up to ``capacity`` messages (10,000 unless told) wait for the reader, and always one commit,
        however large it is; what is beyond that it is told to have missed. What others commit on
        the same file comes within some 250 ms.
        """
        with translated():
            return Changes(self._inner.changes(capacity))

    async def changes_from(
        self, position: Optional[bytes] = None, *, capacity: Optional[int] = None
    ) -> Changes:
        """Everything after a position, each change once: what lies behind, then what is committed.

        Without a position it begins with all messages that are held, in the order in which they were
        stored. ``ErrorKind.POSITION_GONE`` says that the position is too old, or of another archive:
        then read anew, without one.
        """
        inner = self._inner
        return Changes(await call(lambda: inner.changes_from(position, capacity)))

    async def position(self) -> bytes:
        """Where the changes stand now: 24 bytes, for :meth:`changes_from`."""
        return await call(self._inner.position)

    async def aclose(self) -> None:
        """Commits what was accepted and closes the file. Fine a second time."""
        await call(self._inner.shutdown)

    async def __aenter__(self) -> Archive:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()


def open_archive(
    path: Union[str, os.PathLike[str]],
    *,
    durability: Durability = Durability.FULL,
    clock_tolerance: Union[float, timedelta, None] = None,
    check_live_age: bool = True,
    readers: Optional[int] = None,
    max_queued_bytes: Optional[int] = None,
    max_age: Union[float, timedelta, None] = None,
    max_messages: Optional[int] = None,
    max_bytes: Optional[int] = None,
    validator: Optional[Validator] = None,
    validator_timeout: Union[float, timedelta, None] = None,
    read_only: bool = False,
    key: Optional[bytes] = None,
    passphrase: Optional[str] = None,
    look_every: Union[float, timedelta, None] = None,
) -> Starting[Archive]:
    """Opens the archive in this file, or creates it (mode 0600): ``async with open_archive(…)``.

    ``":memory:"`` keeps everything in memory. ``clock_tolerance``, in seconds, is how far a live
    message's timestamp may lie from our clock (20 by default); ``check_live_age=False`` lifts the
    lower of these bounds, for a host that feeds old messages in as live. ``readers`` are threads
    that read beside the writer; a put beyond ``max_queued_bytes`` waiting to be committed raises
    ``ErrorKind.BUSY``.

    ``max_age`` (in seconds), ``max_messages`` and ``max_bytes`` (on disk) bound what is kept: beyond
    each of them the oldest messages are removed, in small steps, and none older is taken in.

    ``validator`` is called with each batch of messages before it is committed, wherever it comes
    from, and gives a verdict for each: ``Valid()``, ``Invalid(reason)`` or ``Unknown(reason)``. It
    is a plain function, called on a thread of its own, one batch at a time; it must not wait for the
    library. What it raises counts as not knowing. A batch that it has not judged within
    ``validator_timeout`` (10 seconds unless told) is refused with ``ErrorKind.BUSY``.

    With ``read_only`` the file must be there and is not written: what would change it raises
    ``ErrorKind.ARCHIVE_READ_ONLY``. ``key`` (32 bytes) or ``passphrase`` is what the file is, or is
    to be, encrypted with, in a build that can.

    ``look_every``, in seconds, is how often is looked for what others wrote to the file while
    somebody is subscribed to changes (0.25 unless told); 0 where nobody else writes, so that an
    archive that is idle wakes up for nothing.
    """

    async def start() -> Archive:
        options = g.ArchiveOptions(
            durability=durability,
            clock_tolerance=seconds(clock_tolerance),
            check_live_age=check_live_age,
            readers=readers,
            max_queued_bytes=max_queued_bytes,
            max_age=seconds(max_age),
            max_messages=max_messages,
            max_bytes=max_bytes,
            validator_timeout=seconds(validator_timeout),
            read_only=read_only,
            file=file_options(key, passphrase),
            look_every=seconds(look_every),
        )
        judge = _convert.validator_in(validator)
        return Archive(await call(lambda: g.Archive.open(os.fspath(path), options, judge)))

    return Starting(start)
