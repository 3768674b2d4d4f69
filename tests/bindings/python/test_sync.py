"""Syncs in full: dry runs, protocols, events on the way, who agrees, and giving one up."""

import asyncio
import stat
import time

import support as s
import wakustore as w
from test_node import fill, held, node


async def until(events, kind, test=lambda _: True):
    """The next event of a kind for which the test holds; others pass by."""
    while True:
        event = await asyncio.wait_for(events.next(), 20)
        assert event is not None, f"the end, and no {kind.__name__}"
        if isinstance(event, kind) and test(event):
            return event


def test_a_dry_run_names_what_differs_and_moves_nothing():
    async def main():
        async with node() as a, node() as b:
            ours = await fill(a.archive, 30)
            theirs = await fill(b.archive, 50, shift=10**6 * 500)
            for protocol in (None, w.SyncProtocol.V1, w.SyncProtocol.STRONG):
                report = await a.sync(b.addresses[0], dry_run=True, protocol=protocol)
                assert protocol in (None, report.protocol)
                found = report.difference
                assert [i.hash for i in found.missing] == theirs
                assert [i.hash for i in found.surplus] == ours
                first = (await a.archive.get(ours[:1]))[0]
                assert found.surplus[0] == w.SyncId(first.message.timestamp, first.hash)
                assert (report.missing, report.surplus) == (50, 30)
                assert report.received == report.sent == report.refused == 0
                assert report.agreement is w.Agreement.NONE
            assert (await a.archive.stats()).messages == 30
            assert (await b.archive.stats()).messages == 50

    asyncio.run(main())


def test_a_report_tells_how_and_why_it_compared():
    async def main():
        async with node() as a, node() as b:
            await fill(a.archive, 200)
            await fill(b.archive, 40, shift=10**6 * 500)
            events = b.events()
            report = await a.sync(b.addresses[0], protocol=w.SyncProtocol.V1)
            assert report.protocol is w.SyncProtocol.V1
            assert report.reason is w.SyncReason.DEMAND and report.difference is None
            theirs = (await until(events, w.SyncFinished)).report
            assert theirs.reason is w.SyncReason.REMOTE and theirs.protocol is w.SyncProtocol.V1
            assert await held(a.archive) == await held(b.archive)
            report = await a.sync(b.peer_id, protocol=w.SyncProtocol.STRONG)
            assert report.protocol is w.SyncProtocol.STRONG
            assert report.agreement is w.Agreement.STRONG
            assert report.ranges_settled > 0 and report.ids_compared == 240
            report = await a.sync(b.peer_id, protocol=w.SyncProtocol.STORE)
            assert report.protocol is w.SyncProtocol.STORE
            assert report.agreement is w.Agreement.WEAK

    asyncio.run(main())


def test_a_node_without_the_strong_protocol_falls_back():
    async def main():
        async with node(sync_strong=False) as a, node() as b:
            await fill(a.archive, 5)
            report = await b.sync(a.addresses[0])
            assert report.protocol is w.SyncProtocol.V1 and report.received == 5

    asyncio.run(main())


def test_events_tell_of_a_sync_from_first_to_last():
    async def main():
        async with node() as a, node() as b:
            await fill(a.archive, 3000)
            events = b.events()
            before = time.time_ns()
            report = await b.sync(a.addresses[0])
            seen = []
            while not (seen and isinstance(seen[-1], w.SyncFinished)):
                event = await asyncio.wait_for(events.next(), 20)
                if isinstance(event, (w.SyncStarted, w.SyncProgress, w.SyncFinished)):
                    seen.append(event)
            started, progress, finished = seen[0], seen[1:-1], seen[-1]
            assert isinstance(started, w.SyncStarted) and started.initiator
            assert started.session == report.session and started.peer_id == a.peer_id
            assert started.reason is w.SyncReason.DEMAND
            assert started.protocol is w.SyncProtocol.STRONG
            assert started.window_start < started.window_end <= before
            assert progress and all(isinstance(e, w.SyncProgress) for e in progress)
            assert {(e.session, e.peer_id) for e in progress} == {(report.session, a.peer_id)}
            received = [e.figures.received for e in progress]
            assert received == sorted(received) and received[-1] <= 3000
            assert finished.report == report and report.received == 3000

    asyncio.run(main())


def test_coverage_grows_and_is_kept(tmp_path):
    async def main():
        state = tmp_path / "node.state"
        async with node() as a:
            hashes = await fill(a.archive, 20)
            moment = (await a.archive.get(hashes[:1]))[0].message.timestamp
            async with node(state_file=state) as b:
                assert b.coverage == []
                await b.sync(a.addresses[0], protocol=w.SyncProtocol.STRONG)
                spans = b.coverage
                (at,) = [c for c in spans if c.start <= moment < c.end]
                assert (at.peers, at.strong) == (1, 1) and at.compared_at > at.start
                assert all(x.end <= y.start for x, y in zip(spans, spans[1:]))
            assert stat.S_IMODE(state.stat().st_mode) == 0o600
            async with node(state_file=state, resume=False, resume_limit=60) as again:
                assert any(c.start <= moment < c.end and c.strong == 1 for c in again.coverage)

    asyncio.run(main())


def test_a_sync_is_given_up_by_its_number():
    async def main():
        async with node() as a, node() as b:
            await fill(a.archive, 5000)
            events = b.events()
            task = asyncio.create_task(b.sync(a.addresses[0]))
            session = (await until(events, w.SyncStarted)).session
            b.cancel_sync(session + 1)
            b.cancel_sync(session)
            report = (await until(events, w.SyncFinished)).report
            assert report.session == session
            with s.raises(w.ErrorKind.CANCELLED):
                await task
            assert report.failure.kind is w.ErrorKind.CANCELLED
            b.cancel_sync(session)

    asyncio.run(main())


def test_the_shards_dialect_brings_two_nodes_together():
    async def main():
        shards = w.SyncDialect.SHARDS
        async with node(sync_dialect=shards, sync_strong=False) as a:
            await fill(a.archive, 5)
            async with node(sync_dialect=shards, sync_strong=False) as b:
                assert (await b.sync(a.addresses[0], protocol=w.SyncProtocol.V1)).received == 5

    asyncio.run(main())
