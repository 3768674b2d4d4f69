"""A whole node: the archive on the network."""

from __future__ import annotations

import os
from datetime import timedelta
from types import TracebackType
from typing import Iterable, Optional, Type, Union

from . import _convert
from . import _generated as g
from ._archive import Archive, Starting, _Closable
from ._lifetime import call, seconds, translated
from ._stream import History, NodeEvents
from ._types import Page, Query, SyncDirection, SyncReport

__all__ = ["Node", "start_node"]


class Node(_Closable):
    """A running node. Made by :func:`start_node`.

    It serves its archive's history, fetches that of others, and syncs. Addresses are
    multiaddresses; a peer is named by its peer id (``12D3…``) where it is connected or was
    dialled before, or by an address that ends in ``/p2p/{peer id}``.
    """

    def __init__(self, inner: g.Node, archive: Archive) -> None:
        self._inner = inner
        self._archive = archive

    @property
    def archive(self) -> Archive:
        """The archive under it."""
        return self._archive

    @property
    def peer_id(self) -> str:
        """The peer id, ``12D3…``."""
        with translated():
            return self._inner.peer_id()

    @property
    def addresses(self) -> list[str]:
        """Where it listens now, each address ending in ``/p2p/{peer id}``."""
        with translated():
            return self._inner.addresses()

    @property
    def peers(self) -> list[str]:
        """The peers that are connected now."""
        with translated():
            return self._inner.peers()

    async def dial(self, address: str) -> str:
        """Connects to an address and gives the peer id. Fine where it is connected already."""
        return await call(lambda: self._inner.dial(address))

    async def disconnect(self, peer: str) -> None:
        """Ends all connections to a peer."""
        await call(lambda: self._inner.disconnect(peer))

    async def store_query(self, peer: str, query: Query = Query()) -> Page:
        """One page from a store peer."""
        given = _convert.query_in(query)
        return _convert.page_out(await call(lambda: self._inner.store_query(peer, given)))

    def history(self, peer: str, query: Query = Query()) -> History:
        """A walk through a store peer's history; nothing is asked until the first page is."""
        with translated():
            return History(self._inner.history(peer, _convert.query_in(query)))

    async def sync(
        self,
        peer: str,
        *,
        start: Optional[int] = None,
        end: Optional[int] = None,
        direction: SyncDirection = SyncDirection.BOTH,
    ) -> SyncReport:
        """Syncs with a peer now and waits for the end; cancelling it cancels the session.

        Compares the messages from ``start`` up to, and without, ``end`` (Unix nanoseconds), or
        the last window where neither is set. A session that broke down raises; what it brought
        until then is stored.
        """
        options = g.SyncOptions(start=start, end=end, direction=direction)
        return _convert.report_out(await call(lambda: self._inner.sync(peer, options)))

    def events(self) -> NodeEvents:
        """From now on, what happens."""
        with translated():
            return NodeEvents(self._inner.events())

    async def aclose(self) -> None:
        """Ends all sessions and connections. The archive stays open. Fine a second time."""
        await call(self._inner.stop)

    async def __aenter__(self) -> Node:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.aclose()


def start_node(
    archive: Archive,
    *,
    listen: Iterable[str] = (),
    cluster_id: int = 0,
    shards: Iterable[int] = (),
    identity_file: Union[str, os.PathLike[str], None] = None,
    identity_secret: Optional[bytes] = None,
    serve_store: bool = True,
    sync: bool = True,
    sync_pubsub_topics: Iterable[str] = (),
    sync_content_topics: Iterable[str] = (),
    sync_window: Union[float, timedelta, None] = None,
    sync_margin: Union[float, timedelta, None] = None,
    sync_interval: Union[float, timedelta, None] = None,
    sync_max_sessions: Optional[int] = None,
    sync_max_messages: Optional[int] = None,
    sync_max_bytes: Optional[int] = None,
    sync_idle_timeout: Union[float, timedelta, None] = None,
    sync_grace: Union[float, timedelta, None] = None,
    sync_horizon: Union[float, timedelta, None] = None,
    request_timeout: Union[float, timedelta, None] = None,
    max_connections: Optional[int] = None,
    max_connections_per_peer: Optional[int] = None,
    max_store_requests: Optional[int] = None,
) -> Starting[Node]:
    """Starts a node over an archive: ``async with start_node(archive, …) as node``.

    Listens at ``listen`` (``/ip4/127.0.0.1/tcp/0``, with ``/ws`` behind it for WebSocket). The
    identity key is kept in ``identity_file`` (created with mode 0600 where there is none) or given as
    ``identity_secret``; without either it is a new one. A sync compares the last ``sync_window``
    seconds (one hour) up to ``sync_margin`` seconds (20) before now, of the topics named, or of
    all; one with a random peer is made every ``sync_interval`` seconds (300; 0 for none).
    Durations may be given as ``timedelta`` too; what is None is as the library has it.
    """

    async def start() -> Node:
        options = g.NodeOptions(
            listen=list(listen),
            cluster_id=cluster_id,
            shards=list(shards),
            identity_file=None if identity_file is None else os.fspath(identity_file),
            identity_secret=identity_secret,
            serve_store=serve_store,
            sync=sync,
            sync_pubsub_topics=list(sync_pubsub_topics),
            sync_content_topics=list(sync_content_topics),
            sync_window=seconds(sync_window),
            sync_margin=seconds(sync_margin),
            sync_interval=seconds(sync_interval),
            sync_max_sessions=sync_max_sessions,
            sync_max_messages=sync_max_messages,
            sync_max_bytes=sync_max_bytes,
            sync_idle_timeout=seconds(sync_idle_timeout),
            sync_grace=seconds(sync_grace),
            sync_horizon=seconds(sync_horizon),
            request_timeout=seconds(request_timeout),
            max_connections=max_connections,
            max_connections_per_peer=max_connections_per_peer,
            max_store_requests=max_store_requests,
        )
        return Node(await call(lambda: g.Node.start(archive._inner, options)), archive)

    return Starting(start)
