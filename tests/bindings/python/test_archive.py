"""The archive from Python: what goes in comes out, and what is wrong is named."""

import asyncio
import os
import stat
import time

import support as s
import wakustore as w


def in_memory(test, **options):
    """Runs a test over an archive in memory."""

    async def main():
        async with w.open_archive(":memory:", **options) as archive:
            await test(archive)

    asyncio.run(main())


def test_every_field_comes_back():
    async def test(archive):
        message = s.message(
            b"\x00\xff", meta=b"", version=2, rate_limit_proof=b"proof", ephemeral=False
        )
        result = await archive.put(s.TOPIC, message)
        assert result.outcome is w.PutOutcome.STORED
        assert result.hash == w.message_hash(s.TOPIC, message)
        page = await archive.query()
        assert page == w.Page([w.Entry(result.hash, s.TOPIC, message)], None)
        assert await archive.get([result.hash]) == [w.StoredMessage(result.hash, s.TOPIC, message)]
        again = await archive.put(s.TOPIC, message)
        assert again.outcome is w.PutOutcome.DUPLICATE

    in_memory(test)


def test_a_file_is_private_and_reopens(tmp_path):
    path = tmp_path / "messages.db"

    async def write():
        async with w.open_archive(path) as archive:
            await archive.put_many(s.numbered(10))
            for file in tmp_path.iterdir():
                assert stat.S_IMODE(os.stat(file).st_mode) == 0o600, file

    async def read():
        archive = await w.open_archive(path, durability=w.Durability.NORMAL, readers=1)
        async with archive:
            stats = await archive.stats()
            assert stats.messages == 10 and stats.oldest < stats.newest
            assert stats.bytes_on_disk > 0

    asyncio.run(write())
    asyncio.run(read())


def test_a_batch_tells_of_each_message():
    async def test(archive):
        good, old, ephemeral = s.message("a"), s.message("b", 5), s.message("c", ephemeral=True)
        batch = [w.TopicMessage(s.TOPIC, m) for m in (good, old, ephemeral, good)]
        results = await archive.put_many(batch)
        assert [r.outcome for r in results] == [
            w.PutOutcome.STORED,
            w.PutOutcome.REFUSED,
            w.PutOutcome.REFUSED,
            w.PutOutcome.DUPLICATE,
        ]
        assert results[1].refusal.kind is w.ErrorKind.TIMESTAMP_TOO_OLD
        assert results[2].refusal.kind is w.ErrorKind.EPHEMERAL
        assert results[0].refusal is None
        assert (await archive.put_many([])) == []

    in_memory(test)


def test_what_may_not_be_stored_raises():
    async def test(archive):
        k = w.ErrorKind
        now = time.time_ns()
        hour = 3600 * 10**9
        for message, kind in [
            (w.Message(b"x", s.CONTENT, None), k.NO_TIMESTAMP),
            (s.message("x", ephemeral=True), k.EPHEMERAL),
            (s.message("x", now - hour), k.TIMESTAMP_TOO_OLD),
            (s.message("x", now + hour), k.TIMESTAMP_IN_FUTURE),
            (s.message(bytes(150 * 1024)), k.MESSAGE_TOO_LARGE),
            (s.message("x", meta=bytes(65)), k.META_TOO_LARGE),
            (s.message("x", content_topic=""), k.INVALID_TOPIC),
            (s.message("x", content_topic="/" * 1025), k.INVALID_TOPIC),
        ]:
            with s.raises(kind):
                await archive.put(s.TOPIC, message)
        assert (await archive.stats()).messages == 0
        old = s.message("x", now - hour)
        for origin in (w.Origin.SYNC, w.Origin.RESUME, w.Origin.IMPORT):
            await archive.put(f"/waku/2/rs/1/{origin.value}", old, origin=origin)
        assert (await archive.stats()).messages == 3

    in_memory(test)


def test_the_age_check_can_be_lifted():
    async def test(archive):
        await archive.put(s.TOPIC, s.message("x", 1))
        with s.raises(w.ErrorKind.TIMESTAMP_IN_FUTURE):
            await archive.put(s.TOPIC, s.message("x", time.time_ns() + 3600 * 10**9))

    in_memory(test, check_live_age=False, clock_tolerance=1.5)


def test_queries():
    async def test(archive):
        batch = s.numbered(30)
        other = w.TopicMessage("/waku/2/rs/1/1", s.message("other", content_topic="/b/1/x/y"))
        hashes = [r.hash for r in await archive.put_many(batch + [other])]
        query = w.Query(pubsub_topic=s.TOPIC, limit=10)
        first = await archive.query(query)
        assert [e.hash for e in first.entries] == hashes[:10]
        assert first.cursor == hashes[9]
        back = await archive.query(
            w.Query(pubsub_topic=s.TOPIC, limit=10, direction=w.Direction.BACKWARD)
        )
        assert [e.hash for e in back.entries] == hashes[20:30], "in forward order all the same"
        assert back.cursor == hashes[20]
        assert (await archive.query(w.Query(["/b/1/x/y"]))).entries[0].hash == hashes[30]
        alone = await archive.query(w.Query(hashes=[hashes[3]], include_data=False))
        assert alone.entries == [w.Entry(hashes[3], None, None)]
        start, end = batch[5].message.timestamp, batch[8].message.timestamp
        span = await archive.query(w.Query(start=start, end=end))
        assert [e.hash for e in span.entries] == hashes[5:8], "start is in it, end is not"
        wanted = [bytes(32), hashes[1], bytes(31) + b"\x01"]
        assert await archive.missing(wanted) == [wanted[0], wanted[2]]

    in_memory(test)


def test_a_hundred_thousand_hashes_in_one_call():
    async def test(archive):
        held = [r.hash for r in await archive.put_many(s.numbered(100))]
        unknown = [i.to_bytes(32, "big") for i in range(1, 100_001)]
        assert await archive.missing(held + unknown) == unknown

    in_memory(test)


def test_bad_queries_are_named():
    async def test(archive):
        k = w.ErrorKind
        await archive.put(s.TOPIC, s.message("x"))
        for query, kind, word in [
            (w.Query(limit=0), k.INVALID_ARGUMENT, "limit"),
            (w.Query(limit=1_000_000), k.INVALID_ARGUMENT, "1000000"),
            (w.Query(hashes=[b"short"]), k.INVALID_HASH, "hash 0"),
            (w.Query(cursor=bytes(33)), k.INVALID_HASH, "cursor"),
            (w.Query(cursor=b"\x01" * 32), k.CURSOR_NOT_FOUND, ""),
            (w.Query(cursor=bytes(32)), k.CURSOR_NOT_FOUND, ""),
            (w.Query([""]), k.INVALID_TOPIC, "content topic"),
            (w.Query(start=2, end=1), k.INVALID_TIME_RANGE, "ends"),
            (w.Query([s.CONTENT], hashes=[bytes(32)]), k.INVALID_ARGUMENT, "hashes"),
        ]:
            with s.raises(kind, word):
                await archive.query(query)
        with s.raises(k.INVALID_HASH, "hash 1"):
            await archive.get([bytes(32), bytes(31)])
        with s.raises(k.INVALID_HASH):
            await archive.missing([b""])

    in_memory(test)


def test_values_of_the_wrong_type_never_reach_the_library():
    async def test(archive):
        for query in (w.Query(limit=-1), w.Query(limit=2**32), w.Query(start=2**63)):
            try:
                await archive.query(query)
            except ValueError:
                continue
            raise AssertionError(f"{query} was taken")
        try:
            await archive.put(s.TOPIC, w.Message("text", s.CONTENT, 1))
        except TypeError:
            pass
        else:
            raise AssertionError("a text was taken as payload")

    in_memory(test)


def test_bad_places_are_named(tmp_path):
    async def main():
        with s.raises(w.ErrorKind.ARCHIVE_OPEN, "no/such"):
            await w.open_archive(tmp_path / "no/such/directory/x.db")
        broken = tmp_path / "broken.db"
        broken.write_bytes(b"this is no archive" * 1000)
        with s.raises(w.ErrorKind.ARCHIVE_CORRUPT):
            async with w.open_archive(broken):
                pass
        assert broken.read_bytes() == b"this is no archive" * 1000
        # Not a URI: taken literally.
        os.chdir(tmp_path)
        async with w.open_archive("file:x.db?mode=memory"):
            assert (tmp_path / "file:x.db?mode=memory").exists()

    before = os.getcwd()
    try:
        asyncio.run(main())
    finally:
        os.chdir(before)


def test_a_closed_archive_says_so():
    async def main():
        archive = await w.open_archive(":memory:")
        history = archive.history()
        await archive.aclose()
        await archive.aclose()
        with s.raises(w.ErrorKind.ARCHIVE_CLOSED):
            await archive.put(s.TOPIC, s.message("x"))
        with s.raises(w.ErrorKind.ARCHIVE_CLOSED):
            await archive.query()
        with s.raises(w.ErrorKind.ARCHIVE_CLOSED):
            await history.next()

    asyncio.run(main())


def test_shutdown_and_again():
    async def main():
        archive = await w.open_archive(":memory:")
        await asyncio.to_thread(w.shutdown)
        with s.raises(w.ErrorKind.SHUTDOWN):
            await archive.stats()
        w.shutdown(timeout=1)
        async with w.open_archive(":memory:") as again:
            assert (await again.stats()).messages == 0

    asyncio.run(main())


def test_a_shutdown_ends_what_is_in_flight(tmp_path):
    async def main():
        archive = await w.open_archive(tmp_path / "x.db")
        stored = asyncio.create_task(archive.put_many(s.numbered(500)))
        asked = [asyncio.create_task(archive.query()) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.to_thread(w.shutdown)
        results = await asyncio.gather(stored, *asked, return_exceptions=True)
        allowed = {w.ErrorKind.CANCELLED, w.ErrorKind.SHUTDOWN, w.ErrorKind.ARCHIVE_CLOSED}
        for result in results:
            if isinstance(result, BaseException):
                assert isinstance(result, w.WakuError) and result.kind in allowed, repr(result)
        async with w.open_archive(tmp_path / "x.db") as again:
            assert (await again.stats()).messages in (0, 500), "all of a put or nothing"

    asyncio.run(main())
