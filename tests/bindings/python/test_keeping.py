"""What an archive keeps and takes in: retention, takedowns, a validator; and its changes."""

import asyncio
import subprocess
import sys
import threading
import time

import support as s
import wakustore as w

WAIT = 30


def in_memory(test, **options):
    """Runs a test over an archive in memory."""

    async def main():
        async with w.open_archive(":memory:", **options) as archive:
            await asyncio.wait_for(test(archive), WAIT)

    asyncio.run(main())


def test_the_oldest_go_and_the_changes_tell():
    async def test(archive):
        changes = archive.changes()
        messages = s.numbered(10)
        results = await archive.put_many(messages, origin=w.Origin.IMPORT)
        stored = await changes.next()
        assert isinstance(stored, w.MessagesStored)
        last = messages[-1].message
        assert [m.hash for m in stored.messages] == [r.hash for r in results]
        assert stored.messages[-1] == w.ChangedMessage(
            results[-1].hash, last.timestamp, s.TOPIC, s.CONTENT, w.Origin.IMPORT
        )
        removed = []
        async for change in changes:
            assert isinstance(change, w.MessagesRemoved)
            removed += [m.hash for m in change.messages]
            if len(removed) == 7:
                break
        assert removed == [r.hash for r in results[:7]]
        assert (await archive.stats()).messages == 3
        assert archive.floor == messages[6].message.timestamp + 1
        with s.raises(w.ErrorKind.TIMESTAMP_TOO_OLD):
            await archive.put(s.TOPIC, messages[0].message, origin=w.Origin.SYNC)
        await archive.aclose()
        assert await changes.next() is None

    in_memory(test, max_messages=3)


def test_bounds():
    async def aged(archive):
        floor, now = archive.floor, time.time_ns()
        assert now - 61 * 10**9 < floor <= now - 60 * 10**9

    async def unbounded(archive):
        assert archive.floor is None

    in_memory(aged, max_age=60, max_bytes=1 << 40)
    in_memory(unbounded)
    for bound in ("max_age", "max_messages", "max_bytes", "validator_timeout"):
        judge = {"validator": lambda *_: []} if bound == "validator_timeout" else {}
        with s.raises(w.ErrorKind.INVALID_ARGUMENT, bound):
            in_memory(unbounded, **{bound: 0}, **judge)


def test_what_is_taken_down_stays_down():
    async def test(archive):
        changes = archive.changes(capacity=5)
        hashes = [r.hash for r in await archive.put_many(s.numbered(3))]
        message = s.message("again")
        unseen = w.message_hash(s.TOPIC, message)
        assert await archive.take_down([hashes[1], unseen]) == 1
        assert [h for h in hashes if h not in await archive.missing(hashes)] == hashes
        with s.raises(w.ErrorKind.TAKEN_DOWN):
            await archive.put(s.TOPIC, message)
        assert isinstance(await changes.next(), w.MessagesStored)
        removed = await changes.next()
        assert [m.hash for m in removed.messages] == [hashes[1]]
        with s.raises(w.ErrorKind.INVALID_HASH):
            await archive.take_down([b"short"])
        # A reader that is too slow is told.
        await archive.put_many(s.numbered(5, topic="/waku/2/rs/1/1"))
        await archive.put_many(s.numbered(4, topic="/waku/2/rs/1/2"))
        assert len((await changes.next()).messages) == 5
        assert await changes.next() == w.Lagged(4)

    in_memory(test)
    with s.raises(w.ErrorKind.INVALID_ARGUMENT):
        in_memory(lambda archive: archive.changes(capacity=0).next())


def test_a_cancelled_wait_loses_no_change():
    async def test(archive):
        changes = archive.changes()
        waiting = asyncio.create_task(changes.next())
        await asyncio.sleep(0)
        waiting.cancel()
        await archive.put(s.TOPIC, s.message("x"))
        assert isinstance(await changes.next(), w.MessagesStored)
        await changes.aclose()

    in_memory(test)


def test_changes_from_a_position(tmp_path):
    async def first():
        async with w.open_archive(tmp_path / "x.db") as archive:
            begin = await archive.position()
            results = await archive.put_many(s.numbered(5))
            changes = await archive.changes_from()
            stored = await changes.next()
            assert [m.hash for m in stored.messages] == [r.hash for r in results]
            assert changes.position == await archive.position() != begin
            kept = changes.position
            await archive.put_many(s.numbered(4))
            await archive.take_down([results[0].hash])
            return results, begin, kept

    async def second(results, begin, kept):
        async with w.open_archive(tmp_path / "x.db") as archive:
            seen = []
            changes = await archive.changes_from(kept)
            for kind, count in ((w.MessagesStored, 4), (w.MessagesRemoved, 1)):
                change = await asyncio.wait_for(changes.next(), WAIT)
                assert isinstance(change, kind) and len(change.messages) == count, change
                seen.append(changes.position)
            assert kept < seen[0] < seen[1] == await archive.position()
            # Another archive on the same file is heard of too.
            async with w.open_archive(tmp_path / "x.db") as other:
                result = await other.put(s.TOPIC, s.message("from the other"))
            change = await asyncio.wait_for(changes.next(), WAIT)
            assert [m.hash for m in change.messages] == [result.hash]
            # From the beginning: what is held, without what was taken down.
            again = await archive.changes_from(begin)
            held = 0
            while held < 9:
                change = await asyncio.wait_for(again.next(), WAIT)
                held += len(change.messages) if isinstance(change, w.MessagesStored) else 0
            with s.raises(w.ErrorKind.MALFORMED):
                await archive.changes_from(b"short")
        async with w.open_archive(tmp_path / "y.db") as stranger:
            with s.raises(w.ErrorKind.POSITION_GONE):
                await stranger.changes_from(kept)

    asyncio.run(second(*asyncio.run(first())))


def test_a_reader_that_lagged_goes_on():
    async def test(archive):
        changes = archive.changes(capacity=2)
        for payload in range(6):
            await archive.put(s.TOPIC, s.message(payload))
        seen = []
        change = await changes.next()
        while not isinstance(change, w.Lagged):
            seen += [m.hash for m in change.messages]
            change = await changes.next()
        assert change.missed == 6 - len(seen) > 0
        more = await archive.changes_from(changes.position)
        while len(seen) < 6:
            seen += [m.hash for m in (await more.next()).messages]
        page = await archive.query(w.Query(limit=10))
        assert sorted(seen) == sorted(e.hash for e in page.entries)

    in_memory(test)


def kinds(results):
    return [None if r.refusal is None else r.refusal.kind for r in results]


def batch(*payloads):
    return [w.TopicMessage(s.TOPIC, s.message(p)) for p in payloads]


def test_a_validator():
    seen = []

    def judge(messages, origin):
        payloads = [m.message.payload.decode() for m in messages]
        seen.append((payloads, origin, threading.get_ident()))
        for m in messages:
            assert m.hash == w.message_hash(m.pubsub_topic, m.message)
        words = {"bad": w.Invalid("its proof is wrong"), "later": w.Unknown()}
        if "raise" in payloads:
            raise KeyError("as ordered")
        if "exit" in payloads:
            sys.exit("as ordered")
        if "short" in payloads:
            return []
        if "nonsense" in payloads:
            return [True] * len(payloads)
        return (words.get(p, w.Valid()) for p in payloads)

    async def test(archive):
        results = await archive.put_many(batch("a", "bad", "later"), origin=w.Origin.SYNC)
        assert kinds(results) == [None, w.ErrorKind.VALIDATOR_REFUSED, w.ErrorKind.BUSY]
        assert results[1].refusal.message == "its proof is wrong"
        for trouble, word in (("raise", "KeyError"), ("exit", "SystemExit"), ("nonsense", "True")):
            results = await archive.put_many(batch("b", trouble))
            assert kinds(results) == [w.ErrorKind.BUSY] * 2
            assert word in results[0].refusal.message, results[0].refusal.message
        with s.raises(w.ErrorKind.INTERNAL, "validator"):
            await archive.put_many(batch("short"))
        # From many tasks at once: each is judged, and the loop is never held up.
        puts = [archive.put_many(batch(f"m{i}", "bad")) for i in range(50)]
        for results in await asyncio.gather(*puts):
            assert kinds(results) == [None, w.ErrorKind.VALIDATOR_REFUSED]
        assert (await archive.stats()).messages == 51

    in_memory(test, validator=judge)
    assert seen[0][:2] == (["a", "bad", "later"], w.Origin.SYNC)
    assert {thread for *_, thread in seen} - {threading.get_ident()} != set()
    assert len({thread for *_, thread in seen}) == 1


def test_a_validator_that_waits_for_the_archive_is_given_up_on():
    loop_of_test = []
    answers = []

    def judge(messages, origin):
        archive, loop = loop_of_test
        if messages[0].message.payload == b"first":
            inner = asyncio.run_coroutine_threadsafe(archive.put_many(batch("inner")), loop)
            answers.append(inner.result())
        return [w.Valid() for _ in messages]

    async def test(archive):
        loop_of_test[:] = archive, asyncio.get_running_loop()
        assert kinds(await archive.put_many(batch("first"))) == [w.ErrorKind.BUSY]
        # Once it has its answer and returns, all goes on.
        while not answers or kinds(await archive.put_many(batch("then"))) != [None]:
            await asyncio.sleep(0.001)
        assert kinds(answers[0]) == [w.ErrorKind.BUSY]

    in_memory(test, validator=judge, validator_timeout=0.1)


def test_a_validator_is_let_go_of_with_its_archive():
    class Judge:
        def __call__(self, messages, origin):
            with s.raises(w.ErrorKind.WOULD_DEADLOCK):
                w.shutdown()
            return [w.Valid() for _ in messages]

    import gc
    import weakref

    judge = Judge()
    there = weakref.ref(judge)

    async def test(archive):
        assert kinds(await archive.put_many(batch("x"))) == [None]

    in_memory(test, validator=judge)
    del judge
    gc.collect()
    assert there() is None


EXIT = """
import asyncio, sys, threading
import support as s
import wakustore as w

begun = threading.Event()

def judge(messages, origin):
    begun.set()
    if messages[0].message.payload == b"stuck":
        threading.Event().wait(0.2)
    return [w.Valid() for _ in messages]

async def main():
    global archive
    archive = await w.open_archive(sys.argv[1], validator=judge)
    await archive.put(s.TOPIC, s.message("kept"))
    begun.clear()
    for payload in ("stuck", "behind"):
        asyncio.ensure_future(archive.put(s.TOPIC, s.message(payload)))
    await asyncio.to_thread(begun.wait)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    print("going")
    sys.exit(3)

asyncio.run(main())
"""


def test_an_exit_while_it_judges(tmp_path):
    here = str(s.ROOT / "tests" / "bindings" / "python")
    for i in range(5):
        path = tmp_path / f"{i}.db"
        done = subprocess.run(
            [sys.executable, "-c", EXIT, str(path)],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (3, "going\n", "")

        async def held():
            async with w.open_archive(path) as archive:
                return (await archive.stats()).messages

        # What was not called valid before the exit is not stored: the one behind.
        assert asyncio.run(held()) in (1, 2)
