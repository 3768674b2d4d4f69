"""Iterating over a history, and giving up in the middle."""

import asyncio
import gc

import support as s
import wakustore as w


def over(count, test):
    """Runs a test over an archive in memory that holds so many messages."""

    async def main():
        async with w.open_archive(":memory:") as archive:
            results = await archive.put_many(s.numbered(count))
            await test(archive, [r.hash for r in results])

    asyncio.run(main())


def test_pages_and_entries_come_in_order():
    async def test(archive, hashes):
        pages = [page async for page in archive.history(w.Query(limit=7))]
        assert [len(p.entries) for p in pages] == [7] * 14 + [2]
        assert [e.hash for p in pages for e in p.entries] == hashes
        entries = [e.hash async for e in archive.history().entries()]
        assert entries == hashes
        backward = w.Query(limit=30, direction=w.Direction.BACKWARD)
        pages = [[e.hash for e in p.entries] async for p in archive.history(backward)]
        assert pages == [hashes[70:], hashes[40:70], hashes[10:40], hashes[:10]]

    over(100, test)


def test_an_end_stays_the_end():
    async def test(archive, hashes):
        history = archive.history(w.Query(["/nobody/1/x/y"]))
        page = await history.next()
        assert page is None or page.entries == []
        for _ in range(3):
            assert await history.next() is None

    over(5, test)


def test_a_walk_resumes_from_its_cursor():
    async def test(archive, hashes):
        history = archive.history(w.Query(limit=10))
        assert history.cursor is None
        first = await history.next()
        second = await history.next()
        assert history.cursor == hashes[19]
        rest = archive.history(w.Query(limit=10, cursor=history.cursor))
        more = [e.hash async for e in rest.entries()]
        assert [e.hash for p in (first, second) for e in p.entries] + more == hashes

    over(45, test)


def test_a_cancelled_wait_loses_no_page():
    async def test(archive, hashes):
        history = archive.history(w.Query(limit=1))
        got = []
        cancelled = 0
        while True:
            task = asyncio.create_task(history.next())
            # Cancel at every stage of a pull: before it began, in flight, just done.
            for _ in range(len(got) % 5):
                await asyncio.sleep(0)
            if len(got) % 2:
                task.cancel()
            try:
                page = await task
            except asyncio.CancelledError:
                cancelled += 1
                page = await history.next()
            if page is None:
                break
            got.extend(e.hash for e in page.entries)
        assert got == hashes
        assert cancelled > 10

    over(60, test)


def test_one_waits_at_a_time():
    async def test(archive, hashes):
        history = archive.history()
        first = asyncio.create_task(history.next())
        await asyncio.sleep(0)
        try:
            await history.next()
        except RuntimeError:
            pass
        else:
            raise AssertionError("two tasks waited for one stream")
        assert len((await first).entries) == 5

    over(5, test)


def test_cancelling_a_call_leaves_the_archive_whole():
    async def test(archive, hashes):
        for _ in range(50):
            tasks = [asyncio.create_task(archive.query()) for _ in range(10)]
            tasks += [asyncio.create_task(archive.put(s.TOPIC, s.message("x"))) for _ in range(2)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(r, asyncio.CancelledError) for r in results[::2])
            for r in results[1::2]:
                assert not isinstance(r, BaseException), r
        try:
            await asyncio.wait_for(archive.query(), timeout=0)
        except asyncio.TimeoutError:
            pass
        assert (await archive.stats()).messages >= 55

    over(5, test)


def test_a_loop_may_be_closed_with_calls_in_flight():
    """Nothing may be printed for it, and nothing may break."""

    async def begin():
        archive = await w.open_archive(":memory:")
        return archive, [asyncio.ensure_future(archive.query()) for _ in range(20)]

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)
    archive, tasks = loop.run_until_complete(begin())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    del tasks
    gc.collect()
    # The archive lives on in another loop.
    assert asyncio.run(archive.stats()).messages == 0
    asyncio.run(archive.aclose())


def test_many_threads_with_loops_of_their_own():
    async def main():
        async with w.open_archive(":memory:") as archive:

            def work(i):
                async def inside():
                    for j in range(20):
                        await archive.put(s.TOPIC, s.message(f"{i} {j}"))
                    return len((await archive.query(w.Query(limit=100))).entries)

                return asyncio.run(inside())

            counts = await asyncio.gather(*(asyncio.to_thread(work, i) for i in range(4)))
            assert max(counts) == 80, counts

    asyncio.run(main())
