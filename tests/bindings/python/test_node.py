"""Nodes on loopback: history and sync between two of them, events, and peers that are not there."""

import asyncio
import contextlib
import stat
import time

import support as s
import wakustore as w

LISTEN = ["/ip4/127.0.0.1/tcp/0"]
HOUR = 3600 * 10**9


@contextlib.asynccontextmanager
async def node(**options):
    """A node over an archive in memory that takes messages of any age."""
    options.setdefault("listen", LISTEN)
    options.setdefault("sync_interval", 0)
    options.setdefault("sync_on_connect", False)
    async with w.open_archive(":memory:", check_live_age=False) as archive:
        async with w.start_node(archive, **options) as started:
            yield started


async def fill(archive, count, shift=0):
    """Messages from half an hour ago on, in order, and their hashes."""
    start = time.time_ns() - HOUR // 2 + shift
    batch = [w.TopicMessage(s.TOPIC, s.message(i, start + i * 10**6)) for i in range(count)]
    return [r.hash for r in await archive.put_many(batch)]


async def held(archive):
    """The hashes of all that an archive holds."""
    query = w.Query(limit=100, include_data=False)
    return [e.hash async for e in archive.history(query).entries()]


def test_history_of_a_peer():
    async def main():
        async with node() as serving, node(listen=[]) as reading:
            hashes = await fill(serving.archive, 250)
            peer = await reading.dial(serving.addresses[0])
            assert peer == serving.peer_id and reading.peers == [peer]
            got = [e async for e in reading.history(peer, w.Query(limit=100)).entries()]
            assert [e.hash for e in got] == hashes
            assert all(e.hash == w.message_hash(e.pubsub_topic, e.message) for e in got)
            page = await reading.store_query(
                peer, w.Query(limit=10, direction=w.Direction.BACKWARD, include_data=False)
            )
            assert [e.hash for e in page.entries] == hashes[-10:]
            assert page.entries[0].message is None
            # By its address, without a dial before.
            async with node(listen=[]) as other:
                page = await other.store_query(serving.addresses[0], w.Query(limit=1))
                assert page.entries[0].hash == hashes[0]
            with s.raises(w.ErrorKind.CURSOR_NOT_FOUND):
                await reading.store_query(peer, w.Query(cursor=b"\x07" * 32))
            with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                await reading.store_query(peer, w.Query(limit=0))

    asyncio.run(main())


def test_history_over_websocket():
    async def main():
        async with node(listen=["/ip4/127.0.0.1/tcp/0/ws"]) as serving, node(listen=[]) as reading:
            hashes = await fill(serving.archive, 30)
            assert "/ws/" in serving.addresses[0]
            entries = reading.history(serving.addresses[0]).entries()
            assert [e.hash async for e in entries] == hashes

    asyncio.run(main())


def test_sync_brings_both_sides_together():
    async def main():
        async with node() as a, node() as b:
            both = await fill(a.archive, 300)
            await fill(b.archive, 200)
            more = await fill(b.archive, 150, shift=-HOUR // 4)
            b_held = set(await held(b.archive))
            report = await a.sync(b.addresses[0])
            assert await held(a.archive) == await held(b.archive)
            union = set(both) | b_held
            assert set(await held(a.archive)) == union and len(more) == 150
            assert report.peer_id == b.peer_id and report.initiator and report.failure is None
            assert report.missing == report.received == len(b_held - set(both))
            assert report.surplus == report.sent == len(set(both) - b_held)
            assert report.outstanding == report.unsendable == 0
            assert report.frames >= 2 and report.reconciliation_bytes_out > 0
            assert report.transfer_bytes_in > 0 and report.duration.total_seconds() > 0
            again = await a.sync(b.peer_id)
            assert (again.missing, again.surplus, again.sent) == (0, 0, 0)

    asyncio.run(main())


def test_one_way_and_a_window_of_ones_own():
    async def main():
        async with node() as a, node() as b:
            hashes = await fill(a.archive, 100)
            await fill(b.archive, 1, shift=10**6 * 500)
            first, middle = [m.message.timestamp for m in await a.archive.get(hashes[::50])]
            report = await b.sync(
                a.addresses[0], start=first, end=middle, direction=w.SyncDirection.PULL
            )
            assert report.received == 50 and report.sent == 0
            assert (report.window_start, report.window_end) == (first, middle)
            assert set(hashes[:50]) <= set(await held(b.archive))
            with s.raises(w.ErrorKind.INVALID_TIME_RANGE):
                await b.sync(a.peer_id, start=2, end=1)
            with s.raises(w.ErrorKind.INVALID_ARGUMENT, "start"):
                await b.sync(a.peer_id, end=1)

    asyncio.run(main())


def test_events():
    async def main():
        async with node() as a, node(listen=[]) as b:
            events = a.events()
            await fill(a.archive, 3)
            await fill(b.archive, 4, shift=10**6 * 100)
            await b.sync(a.addresses[0])
            seen = []
            while not any(isinstance(e, w.SyncFinished) for e in seen):
                seen.append(await asyncio.wait_for(events.next(), 20))
            stored = [e for e in seen if isinstance(e, w.MessageStored)]
            assert [e.origin for e in stored].count(w.Origin.LIVE) == 3
            # What a sync brought may be told of after the sync's end.
            while sum(e.origin is w.Origin.SYNC for e in stored) < 4:
                event = await asyncio.wait_for(events.next(), 20)
                if isinstance(event, w.MessageStored):
                    stored.append(event)
            assert {e.hash for e in stored} == set(await held(a.archive))
            assert any(isinstance(e, w.PeerConnected) and e.peer_id == b.peer_id for e in seen)
            report = next(e.report for e in seen if isinstance(e, w.SyncFinished))
            assert report.peer_id == b.peer_id and not report.initiator
            await b.disconnect(a.peer_id)
            gone = False
            while not gone:
                event = await asyncio.wait_for(events.next(), 20)
                gone = isinstance(event, w.PeerDisconnected) and event.peer_id == b.peer_id
            await a.aclose()
            async for event in events:
                pass
            assert await events.next() is None

    asyncio.run(main())


def test_waiting_for_an_event_with_a_timeout_loses_none():
    async def main():
        async with node() as a:
            events = a.events()
            try:
                await asyncio.wait_for(events.next(), 0.05)
            except asyncio.TimeoutError:
                pass
            else:
                raise AssertionError("an event out of nowhere")
            hashes = await fill(a.archive, 50)
            seen = []
            while len(seen) < 50:
                try:
                    event = await asyncio.wait_for(events.next(), 0.0005)
                except asyncio.TimeoutError:
                    continue
                assert isinstance(event, w.MessageStored), event
                seen.append(event.hash)
            assert sorted(seen) == sorted(hashes)
            await events.aclose()

    asyncio.run(main())


def test_the_identity_is_kept(tmp_path):
    async def main():
        key = tmp_path / "node.key"
        ids = []
        for _ in range(2):
            async with node(identity_file=key) as started:
                ids.append(started.peer_id)
        assert ids[0] == ids[1]
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        async with node(identity_secret=bytes(range(32))) as one:
            known = one.peer_id
        async with node(identity_secret=bytes(range(32))) as two:
            assert two.peer_id == known
        key.write_bytes(b"no key")
        with s.raises(w.ErrorKind.KEY_FILE):
            async with node(identity_file=key):
                pass
        with s.raises(w.ErrorKind.INVALID_ARGUMENT, "32 bytes"):
            async with node(identity_secret=b"short"):
                pass
        with s.raises(w.ErrorKind.INVALID_ARGUMENT, "exclude"):
            async with node(identity_secret=bytes(32), identity_file=key):
                pass

    asyncio.run(main())


def test_what_cannot_be_reached_is_named():
    async def main():
        k = w.ErrorKind
        async with node(listen=[], request_timeout=5) as a:
            async with node() as gone:
                address = gone.addresses[0]
            with s.raises(k.DIAL):
                await a.dial(address)
            with s.raises(k.ADDRESS):
                await a.dial("nonsense")
            with s.raises(k.PEER_UNKNOWN):
                await a.store_query(gone.peer_id)
            with s.raises(k.PEER_UNKNOWN):
                await a.sync(gone.peer_id)
            with s.raises(k.ADDRESS):
                async with node(listen=["/ip4/127.0.0.1"]):
                    pass
            async with node(cluster_id=7) as other:
                try:
                    await a.dial(other.addresses[0])
                    await a.store_query(other.peer_id)
                except w.WakuError as error:
                    allowed = {k.OTHER_CLUSTER, k.STREAM_CLOSED, k.PEER_UNKNOWN, k.DIAL}
                    assert error.kind in allowed, error
                else:
                    raise AssertionError("a node of another cluster was served")

    asyncio.run(main())


def test_the_quota_of_a_sync_holds():
    async def main():
        async with node() as a, node(sync_max_messages=10, sync_grace=0.5) as b:
            await fill(a.archive, 100)
            report = await b.sync(a.addresses[0])
            assert report.received == 10 and report.missing >= 10
            assert len(await held(b.archive)) == 10

    asyncio.run(main())


def test_cancelling_a_sync_and_stopping_a_node():
    async def main():
        async with node() as a, node() as b:
            await fill(a.archive, 2000)
            task = asyncio.create_task(b.sync(a.addresses[0]))
            await asyncio.sleep(0.05)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass
            # It is free for another one, as soon as the other side knows.
            for _ in range(100):
                try:
                    await b.sync(a.addresses[0])
                    break
                except w.WakuError as error:
                    assert error.kind in (w.ErrorKind.SYNC_BUSY, w.ErrorKind.STREAM_CLOSED), error
                    await asyncio.sleep(0.1)
            assert await held(b.archive) == await held(a.archive)
            await b.aclose()
            await b.aclose()
            with s.raises(w.ErrorKind.SHUTDOWN):
                await b.dial(a.addresses[0])

    asyncio.run(main())
