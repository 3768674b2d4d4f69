"""Streams that are pulled: pages of a history, changes of an archive, events of a node."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Awaitable, Callable, Generic, Optional, TypeVar

from . import _convert
from . import _generated as g
from ._lifetime import call, translated
from ._types import Change, Entry, NodeEvent, Page

__all__ = ["Changes", "History", "NodeEvents"]

T = TypeVar("T")


class _Pulled(Generic[T]):
    """Hands out items one by one. Cancelling a wait loses no item: the next wait gets it."""

    def __init__(self, pull: Callable[[], Awaitable[Any]], lift: Callable[[Any], T]) -> None:
        self._pull = pull
        self._lift = lift
        self._pending: Optional[asyncio.Task[Any]] = None
        self._waiting = False

    async def next(self) -> Optional[T]:
        """The next item; None at the end. One caller at a time."""
        if self._waiting:
            raise RuntimeError("another task is waiting for the next item of this stream")
        pending = self._pending
        if pending is None or pending.cancelled() or pending.get_loop().is_closed():
            pending = asyncio.ensure_future(_await(self._pull))
            # Also where nobody comes back for it.
            pending.add_done_callback(_retrieve)
            self._pending = pending
        self._waiting = True
        try:
            item = await asyncio.shield(pending)
        except asyncio.CancelledError:
            # Kept, also where it is done already: the next wait gets its item.
            raise
        except BaseException:
            self._pending = None
            raise
        else:
            self._pending = None
        finally:
            self._waiting = False
        return None if item is None else self._lift(item)

    async def aclose(self) -> None:
        """Gives up what is being waited for."""
        pending, self._pending = self._pending, None
        if pending is not None and not pending.done():
            pending.cancel()
            await asyncio.wait([pending])

    def __del__(self) -> None:
        pending = getattr(self, "_pending", None)
        if pending is not None and not pending.done() and not pending.get_loop().is_closed():
            pending.get_loop().call_soon_threadsafe(pending.cancel)


async def _await(pull: Callable[[], Awaitable[Any]]) -> Any:
    return await call(pull)


def _retrieve(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()


class History:
    """A walk through a history, page by page, over an archive or a store peer.

    Iterate over its pages with ``async for page in history``, or over the entries with
    ``async for entry in history.entries()``. After an error the walk stands where it was: going
    on asks for the same page again.
    """

    def __init__(self, inner: g.History) -> None:
        self._inner = inner
        self._pulled: _Pulled[Page] = _Pulled(inner.next, _convert.page_out)

    async def next(self) -> Optional[Page]:
        """The next page; None at the end."""
        return await self._pulled.next()

    @property
    def cursor(self) -> Optional[bytes]:
        """Where to resume from, should the walk be given up here: the cursor of a new query."""
        with translated():
            return self._inner.cursor()

    async def entries(self) -> AsyncIterator[Entry]:
        """The entries of the pages, in their order."""
        async for page in self:
            for entry in page.entries:
                yield entry

    async def aclose(self) -> None:
        """Gives up a page that is being waited for."""
        await self._pulled.aclose()

    def __aiter__(self) -> AsyncIterator[Page]:
        return self

    async def __anext__(self) -> Page:
        page = await self.next()
        if page is None:
            raise StopAsyncIteration
        return page


class NodeEvents:
    """A subscription to a node's events, from the moment it was made: ``async for event in …``.

    It ends when the node has stopped. A reader that is too slow is told that it lagged.
    """

    def __init__(self, inner: g.NodeEvents) -> None:
        self._pulled: _Pulled[NodeEvent] = _Pulled(inner.next, _convert.event_out)

    async def next(self) -> Optional[NodeEvent]:
        """The next event; None once the node has stopped."""
        return await self._pulled.next()

    async def aclose(self) -> None:
        """Gives up an event that is being waited for."""
        await self._pulled.aclose()

    def __aiter__(self) -> AsyncIterator[NodeEvent]:
        return self

    async def __anext__(self) -> NodeEvent:
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event


class Changes:
    """A subscription to what is committed: ``async for change in archive.changes()``.

    It ends when the archive is closed. A reader that is too slow is told that it lagged: from its
    ``position`` then, a new subscription goes on with nothing left out.
    """

    def __init__(self, inner: g.Changes) -> None:
        self._inner = inner
        self._pulled: _Pulled[Change] = _Pulled(inner.next, _convert.change_out)

    async def next(self) -> Optional[Change]:
        """The next change; None once the archive is closed."""
        return await self._pulled.next()

    @property
    def position(self) -> Optional[bytes]:
        """Where :meth:`Archive.changes_from` goes on from after the changes that were given.

        24 bytes to keep, after what the changes asked for is done; None where it is not known yet.
        """
        with translated():
            return self._inner.position()

    async def aclose(self) -> None:
        """Gives up a change that is being waited for."""
        await self._pulled.aclose()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        change = await self.next()
        if change is None:
            raise StopAsyncIteration
        return change
