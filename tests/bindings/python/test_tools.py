"""The operator's tools: from Python, and as ``python -m wakustore`` on real files."""

import asyncio
import base64
import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import support as s
import wakustore as w

OTHER = "/app/2/status/proto"
WAIT = 60


def run(*arguments, code=0, stdin=None):
    """Runs a command; gives what it answers and what it says beside."""
    done = subprocess.run(
        [sys.executable, "-m", "wakustore", *map(str, arguments)],
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WAIT,
    )
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout, done.stderr


def asked(*arguments):
    """A command's answer in JSON."""
    return json.loads(run(*arguments, "--json")[0])


def filled(path, count=30):
    """An archive in a file: every third message is of another content topic."""

    async def main():
        messages = s.numbered(count)
        for i in range(0, count, 3):
            m = messages[i].message
            messages[i] = w.TopicMessage(s.TOPIC, w.Message(m.payload, OTHER, m.timestamp))
        async with w.open_archive(path) as archive:
            results = await archive.put_many(messages, origin=w.Origin.IMPORT)
        assert all(r.outcome is w.PutOutcome.STORED for r in results)
        return messages, [r.hash for r in results]

    return asyncio.run(main())


def damage(path, hash_):
    """Changes the payload of one message behind the library's back."""
    with sqlite3.connect(path) as db:
        tables = [r[0] for r in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns = [r[1] for r in db.execute(f"PRAGMA table_info({table})")]
            if {"hash", "payload"} <= set(columns):
                done = db.execute(
                    f"UPDATE {table} SET payload = ? WHERE hash = ?", (b"another", hash_)
                )
                assert done.rowcount == 1
                break
        else:
            raise AssertionError(f"no table of messages among {tables}")
    db.close()


def test_figures_by_topic(tmp_path):
    path = tmp_path / "a.db"
    messages, _ = filled(path)
    answer = asked("stats", path, "--topics")
    assert answer["messages"] == 30
    assert answer["oldest"] == messages[0].message.timestamp
    assert answer["newest"] == messages[-1].message.timestamp
    assert {t["name"]: t["messages"] for t in answer["topics"]["content"]} == {
        s.CONTENT: 20,
        OTHER: 10,
    }
    assert [t["name"] for t in answer["topics"]["pubsub"]] == [s.TOPIC]
    text, said = run("stats", path, "--topics")
    assert "messages: 30" in text and OTHER in text and not said

    async def main():
        async with w.open_archive(path, read_only=True) as archive:
            first = await archive.topic_stats(limit=1)
            second = await archive.topic_stats(after=first[0].name)
            assert [t.name for t in first + second] == sorted([s.CONTENT, OTHER])
            with s.raises(w.ErrorKind.ARCHIVE_READ_ONLY):
                await archive.take_down([bytes(32)])

    asyncio.run(main())


def test_what_only_reads_writes_nothing(tmp_path):
    path = tmp_path / "a.db"
    filled(path)
    before = path.read_bytes()
    for command in (["stats"], ["query"], ["verify"], ["backup", tmp_path / "b.db"]):
        run(command[0], path, *command[1:])
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["a.db", "b.db"]


def test_a_backup_comes_back(tmp_path):
    path, copy, again = (tmp_path / f"{n}.db" for n in "abc")
    _, hashes = filled(path)
    assert asked("backup", path, copy)["messages"] == 30
    _, said = run("backup", path, copy, code=1)
    assert "INVALID_ARGUMENT" in said
    run("backup", path, copy, "--replace")
    assert asked("restore", again, copy)["messages"] == 30
    lines = run("query", again, "--limit", 7, "--all", "--hashes-only")[0].splitlines()
    assert [bytes.fromhex(json.loads(line)["hash"]) for line in lines] == hashes
    _, said = run("restore", again, copy, code=1)
    assert "INVALID_ARGUMENT" in said
    copy.write_bytes(copy.read_bytes()[:-4096])
    _, said = run("restore", tmp_path / "d.db", copy, code=1)
    assert "ARCHIVE_CORRUPT" in said and not (tmp_path / "d.db").exists()


def test_damage_is_found_and_salvaged_around(tmp_path):
    path, new = tmp_path / "a.db", tmp_path / "new.db"
    _, hashes = filled(path)
    assert asked("verify", path) == {"messages": 30, "count": 0, "findings": []}
    damage(path, hashes[4])
    text, said = run("verify", path, code=3)
    assert "count: 1" in text
    assert f"HASH_MISMATCH {hashes[4].hex()}" in said
    text, said = run("salvage", path, new, "--json", code=3)
    report = json.loads(text)
    assert report["messages"] == 29 and report["count"] == 1
    assert report["lost"][0]["hash"] == hashes[4].hex()
    run("verify", new)

    async def main():
        told = []
        async with w.open_archive(path) as archive:
            report = await archive.verify(progress=lambda *p: told.append(p))
        assert not report.sound and report.findings[0].kind is w.FindingKind.HASH_MISMATCH
        assert told and told[-1][0] == 30

    asyncio.run(main())


def test_messages_are_taken_down(tmp_path):
    path = tmp_path / "a.db"
    messages, hashes = filled(path)
    _, said = run("delete", path, "--hash", hashes[0].hex(), code=2)
    assert "--yes" in said
    _, said = run("delete", path, "--yes", code=2)
    assert "which messages" in said
    assert asked("delete", path, "--yes", "--hash", hashes[1].hex()) == {"removed": 1}
    assert asked("delete", path, "--yes", "--content-topic", OTHER) == {"removed": 10}
    end = messages[5].message.timestamp
    assert asked("delete", path, "--yes", "--end", end) == {"removed": 2}
    assert asked("stats", path)["messages"] == 17

    async def main():
        gone = sorted([h for i, h in enumerate(hashes) if i % 3 == 0 or i in (1, 2, 4)])
        async with w.open_archive(path) as archive:
            first = await archive.tombstones(limit=5)
            assert first + await archive.tombstones(first[-1]) == gone
            with s.raises(w.ErrorKind.TAKEN_DOWN):
                await archive.put(s.TOPIC, messages[1].message, origin=w.Origin.SYNC)
            assert await archive.reinstate([hashes[1], hashes[8]]) == 1
            await archive.put(s.TOPIC, messages[1].message, origin=w.Origin.SYNC)
            with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                await archive.take_down_matching(w.Query())

    asyncio.run(main())


def test_a_query_is_lines_of_json(tmp_path):
    path = tmp_path / "a.db"
    messages, hashes = filled(path)
    text, said = run("query", path, "--limit", 2, "--backward")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["hash"] for line in lines] == [hashes[29].hex(), hashes[28].hex()]
    assert base64.b64decode(lines[0]["payload"]) == messages[29].message.payload
    assert lines[0]["timestamp"] == messages[29].message.timestamp
    assert lines[0]["pubsub_topic"] == s.TOPIC
    assert f"--cursor {hashes[28].hex()}" in said
    text, _ = run("query", path, "--limit", 1, "--backward", "--cursor", hashes[28].hex())
    assert json.loads(text)["hash"] == hashes[27].hex()
    text, _ = run("query", path, "--all", "--content-topic", OTHER, "--start", "2020-01-01")
    assert len(text.splitlines()) == 10
    assert run("query", path, "--end", "2020-01-01T00:00:00Z") == ("", "")
    text, _ = run("query", path, "--hash", hashes[3].hex())
    assert json.loads(text)["content_topic"] == OTHER


def test_to_nwaku_and_back(tmp_path):
    path, nwaku, again = (tmp_path / n for n in ("a.db", "store.sqlite3", "b.db"))
    _, hashes = filled(path)
    kept = tmp_path / "position"
    report = asked("export-nwaku", path, nwaku, "--content-topic", OTHER)
    assert (report["written"], report["duplicates"]) == (10, 0)
    report = asked("export-nwaku", path, nwaku, "--position-file", kept)
    assert (report["written"], report["duplicates"]) == (20, 10)
    assert kept.read_text()
    report = asked("export-nwaku", path, nwaku, "--position-file", kept)
    assert report["read"] == 0
    kept.unlink()
    report = asked("import-nwaku", again, nwaku, "--position-file", kept)
    assert (report["written"], report["refused"], report["rehashed"]) == (30, 0, 0)
    assert asked("import-nwaku", again, nwaku, "--position-file", kept)["read"] == 0
    assert asked("import-nwaku", again, nwaku)["duplicates"] == 30

    async def main():
        async with w.open_archive(again) as archive:
            assert await archive.missing(hashes) == []
        async with w.open_archive(":memory:") as archive:
            told = []
            first = await archive.import_nwaku(nwaku, limit=1, progress=lambda *p: told.append(p))
            rest = await archive.import_nwaku(nwaku, position=first.position)
            assert first.read + rest.read == 30 and rest.complete and told

    asyncio.run(main())


def test_what_cannot_be_is_said(tmp_path):
    path = tmp_path / "a.db"
    for command in ("stats", "query", "verify"):
        _, said = run(command, path, code=2)
        assert str(path) in said and "Traceback" not in said
    _, said = run("delete", path, "--yes", "--hash", "00" * 32, code=2)
    assert str(path) in said and not path.exists()
    path.write_bytes(b"this is no archive" * 1000)
    for command in ("stats", "query"):
        _, said = run(command, path, code=1)
        assert "ARCHIVE_CORRUPT" in said and "Traceback" not in said
    for wrong in (["query", path, "--hash", "12"], ["query", path, "--start", "then"], ["nothing"]):
        run(*wrong, code=2)
    _, said = run("stats", "postgres://nobody@127.0.0.1:1/none", code=1)
    assert "ARCHIVE_" in said and "Traceback" not in said


def test_a_key_is_unsupported_or_kept(tmp_path):
    path, key, wrong = tmp_path / "a.db", tmp_path / "key", tmp_path / "wrong"
    key.write_text("ab" * 32 + "\n")
    wrong.write_bytes(b"short")

    async def main():
        try:
            async with w.open_archive(path, key=bytes.fromhex("ab" * 32)) as archive:
                await archive.put(s.TOPIC, s.message("hidden"))
        except w.WakuError as error:
            assert error.kind is w.ErrorKind.UNSUPPORTED
            return False
        return True

    if asyncio.run(main()):
        assert asked("stats", path, "--key-file", key)["messages"] == 1
        run("stats", path, code=1)
    else:
        filled(path)
        _, said = run("stats", path, "--key-file", key, code=1)
        assert "UNSUPPORTED" in said
    _, said = run("stats", path, "--key-file", wrong, code=2)
    assert "32 bytes" in said

    async def both():
        with s.raises(w.ErrorKind.INVALID_ARGUMENT):
            await w.open_archive(path, key=bytes(32), passphrase="words")
        with s.raises(w.ErrorKind.INVALID_ARGUMENT, "32 bytes"):
            await w.open_archive(path, key=bytes(31))

    asyncio.run(both())


def test_a_work_that_is_given_up_ends(tmp_path):
    path = tmp_path / "a.db"
    filled(path)

    async def main():
        async with w.open_archive(path) as archive:
            for i in range(12):
                work = asyncio.ensure_future(
                    archive.backup(tmp_path / f"{i}.bak", progress=lambda *p: None)
                )
                await asyncio.sleep(0)
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
            # Four run at once: if those that were given up went on, none of these would find room.
            while True:
                try:
                    reports = await asyncio.gather(*(archive.verify() for _ in range(4)))
                    break
                except w.WakuError as error:
                    assert error.kind is w.ErrorKind.BUSY
                    await asyncio.sleep(0.01)
            assert all(r.sound for r in reports)

    asyncio.run(asyncio.wait_for(main(), WAIT))
