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
from ._types import (
    Coverage,
    CrossCheck,
    Fetched,
    Message,
    Page,
    Query,
    RateLimit,
    SyncDialect,
    SyncDirection,
    SyncProtocol,
    SyncReport,
)

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

    def history_of(
        self,
        peers: Iterable[str] = (),
        query: Query = Query(),
        *,
        span: Union[float, timedelta, None] = None,
    ) -> History:
        """A walk through the history of several store peers.

        One is asked for as long as it answers, and another goes on where it fails. With no peers
        named it is any connected one that speaks Store. A query for a time longer than ``span``
        seconds is asked in spans of that length, since some service nodes refuse long ones.
        """
        with translated():
            given = _convert.query_in(query)
            return History(self._inner.history_of(list(peers), given, seconds(span)))

    async def presence(self, peer: str, hashes: Iterable[bytes]) -> list[bytes]:
        """Those of the hashes that a store peer holds, in the order asked for, each once."""
        asked = list(hashes)
        return await call(lambda: self._inner.presence(peer, asked))

    async def fetch(self, hashes: Iterable[bytes], peers: Iterable[str] = ()) -> Fetched:
        """The messages of these hashes, from the first of the peers that holds them.

        With no peers named, of the connected ones that speak Store. Nothing is stored.
        """
        asked, of = list(hashes), list(peers)
        return _convert.fetched_out(await call(lambda: self._inner.fetch(of, asked)))

    async def cross_check(
        self, peers: Iterable[str], query: Query = Query(), *, max: int = 100_000
    ) -> CrossCheck:
        """Asks several store peers for the hashes of a query, and says what each left out.

        So one server that hides messages is found out by the others. At most ``max`` hashes of each
        peer are taken. A peer that fails is told of in the answer.
        """
        given, of = _convert.query_in(query), list(peers)
        return _convert.check_out(await call(lambda: self._inner.cross_check(of, given, max)))

    async def sync(
        self,
        peer: str,
        *,
        start: Optional[int] = None,
        end: Optional[int] = None,
        direction: SyncDirection = SyncDirection.BOTH,
        dry_run: bool = False,
        protocol: Optional[SyncProtocol] = None,
    ) -> SyncReport:
        """Syncs with a peer now and waits for the end; cancelling it cancels the session.

        Compares the messages from ``start`` up to, and without, ``end`` (Unix nanoseconds), or
        the last window where neither is set. A ``dry_run`` only compares: no message travels, and
        the report's ``difference`` names what differs. It compares by ``protocol``, or by the best
        that the peer speaks. A session that broke down raises; what it brought until then is
        stored.
        """
        options = g.SyncOptions(
            start=start, end=end, direction=direction, dry_run=dry_run, protocol=protocol
        )
        return _convert.report_out(await call(lambda: self._inner.sync(peer, options)))

    def cancel_sync(self, session: int) -> None:
        """Gives a sync up, whoever began it, by the number that events tell.

        Its end is told as an event. Nothing happens where it has ended, or never was.
        """
        with translated():
            self._inner.cancel_sync(session)

    @property
    def coverage(self) -> list[Coverage]:
        """With how many peers this node agrees over which spans of time, in ascending order.

        Of the last run too, where the node keeps its state in a file.
        """
        with translated():
            return [_convert.coverage_out(c) for c in self._inner.coverage()]

    async def subscribe(self, pubsub_topic: str) -> None:
        """Takes part in a pubsub topic over relay: what comes is stored and passed on."""
        await call(lambda: self._inner.subscribe(pubsub_topic))

    async def unsubscribe(self, pubsub_topic: str) -> None:
        """Takes no part in a pubsub topic any more."""
        await call(lambda: self._inner.unsubscribe(pubsub_topic))

    async def publish(self, pubsub_topic: str, message: Message) -> bytes:
        """Stores a message (unless it is ephemeral), sends it over relay, and gives its hash.

        Where nobody took it (``ErrorKind.NO_RELAY_PEERS``) it stays stored, and may be published
        again.
        """
        given = _convert.message_in(message)
        return await call(lambda: self._inner.publish(pubsub_topic, given))

    async def relay_peers(self, pubsub_topic: str) -> list[str]:
        """The connected peers that are subscribed to a pubsub topic over relay."""
        return await call(lambda: self._inner.relay_peers(pubsub_topic))

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


def _rate(limit: Optional[RateLimit]) -> Optional[g.RateLimit]:
    per = None if limit is None else seconds(limit.per)
    return None if limit is None or per is None else g.RateLimit(requests=limit.requests, per=per)


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
    state_file: Union[str, os.PathLike[str], None] = None,
    sync_heartbeat_peers: Optional[int] = None,
    sync_on_connect: bool = True,
    resume: bool = True,
    resume_limit: Union[float, timedelta, None] = None,
    sync_strong: bool = True,
    sync_dialect: Optional[SyncDialect] = None,
    relay: bool = False,
    max_page_bytes: Optional[int] = None,
    store_rate: Optional[RateLimit] = None,
    store_rate_of_peer: Optional[RateLimit] = None,
) -> Starting[Node]:
    """Starts a node over an archive: ``async with start_node(archive, …) as node``.

    Listens at ``listen`` (``/ip4/127.0.0.1/tcp/0``, with ``/ws`` behind it for WebSocket). The
    identity key is kept in ``identity_file`` (created with mode 0600 where there is none) or given as
    ``identity_secret``; without either it is a new one. A sync compares the last ``sync_window``
    seconds (one hour) up to ``sync_margin`` seconds (20) before now, of the topics named, or of
    all; one with a random peer is made every ``sync_interval`` seconds (300; 0 for none).
    With ``state_file`` the node keeps when it was last online and with whom it agrees over what,
    and at start fills the gap since then, up to ``resume_limit`` seconds (6 hours), unless
    ``resume`` is off. It syncs with the first peers that come at start, and with one that comes
    again, unless ``sync_on_connect`` is off. ``sync_strong`` off leaves wakustore's own sync
    protocol out; ``sync_dialect`` is the header that reconciliation 1.0.0 goes by. Durations may be
    given as ``timedelta`` too; what is None is as the library has it. With ``relay`` it takes part in
    gossipsub, from the start in the topics of its shards, and stores what comes. ``store_rate``, and
    ``store_rate_of_peer`` for each peer, are how many Store requests are answered in a time.
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
            state_file=None if state_file is None else os.fspath(state_file),
            sync_heartbeat_peers=sync_heartbeat_peers,
            sync_on_connect=sync_on_connect,
            resume=resume,
            resume_limit=seconds(resume_limit),
            sync_strong=sync_strong,
            sync_dialect=sync_dialect,
            relay=relay,
            max_page_bytes=max_page_bytes,
            store_rate=_rate(store_rate),
            store_rate_of_peer=_rate(store_rate_of_peer),
        )
        return Node(await call(lambda: g.Node.start(archive._inner, options)), archive)

    return Starting(start)
