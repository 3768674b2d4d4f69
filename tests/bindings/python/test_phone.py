"""What a phone does: a sync within its means, and nothing held while it is suspended."""

import asyncio
import os

import support as s
import wakustore as w
from test_node import fill, held, node


def open_below(directory):
    """The files below a directory that this process has open."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            at = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
        if at.startswith(str(directory)):
            found.append(at)
    return found


def test_a_sync_within_its_means_goes_on_where_it_was_cut():
    async def main():
        async with node() as ours, node() as server:
            await fill(server.archive, 2_000)
            received, ends = 0, []
            while w.SyncOnceEnd.COMPLETE not in ends:
                report = await ours.sync_once(server.addresses[0], byte_budget=100_000, deadline=60)
                received += report.received
                ends.append(report.end)
                assert bool(report.lacking) == (report.end is not w.SyncOnceEnd.COMPLETE)
                assert report.bytes_in > 0 and report.failure is None
                assert len(ends) < 50
            assert received == 2_000 and w.SyncOnceEnd.BUDGET in ends
            assert await held(ours.archive) == await held(server.archive)

    asyncio.run(main())


def test_nobody_to_sync_with_and_no_time():
    async def main():
        async with node() as ours:
            with s.raises(w.ErrorKind.PEER_UNKNOWN):
                await ours.sync_once()
            with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                await ours.sync_once(deadline=0)

    asyncio.run(main())


def test_a_suspended_node_holds_nothing_and_comes_back(tmp_path):
    async def main():
        async with node() as server:
            await fill(server.archive, 20)
            async with w.open_archive(tmp_path / "archive", look_every=0) as archive:
                async with w.start_node(archive, listen=["/ip4/127.0.0.1/tcp/0"]) as ours:
                    await ours.sync(server.addresses[0])
                    addresses = ours.addresses
                    assert open_below(tmp_path)
                    await ours.suspend()
                    await ours.suspend()
                    assert not open_below(tmp_path) and not ours.addresses
                    for refused in (archive.stats(), ours.dial(server.addresses[0])):
                        with s.raises(w.ErrorKind.SUSPENDED):
                            await refused
                    await ours.resume()
                    assert ours.addresses == addresses
                    assert (await archive.stats()).messages == 20
                    while server.peer_id not in ours.peers:
                        await asyncio.sleep(0.02)
                await archive.suspend()
                assert not open_below(tmp_path)
                await archive.resume()
                assert (await archive.stats()).messages == 20

    asyncio.run(asyncio.wait_for(main(), 60))
