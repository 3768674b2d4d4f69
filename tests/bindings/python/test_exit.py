"""A process that exits with calls in flight: exit code, output, handlers, and the archive.

WAKUSTORE_EXIT_RUNS says how often (60).
"""

import asyncio
import os
import pathlib
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import support as s  # noqa: F401
import wakustore as w

HERE = pathlib.Path(__file__).resolve().parent
RUNS = int(os.environ.get("WAKUSTORE_EXIT_RUNS", "60"))
LINES = [f"line {i}" for i in range(1000)]


async def _messages(path):
    async with w.open_archive(path) as archive:
        return [e.hash async for e in archive.history(w.Query(limit=100)).entries()]


def _run(mode, path):
    command = [sys.executable, str(HERE / "exit_script.py"), mode, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def _exits(mode, tmp_path):
    paths = [tmp_path / f"{mode}-{run}.db" for run in range(RUNS)]
    # Some at once: it is faster, and harder on the order of what happens at the exit.
    with ThreadPoolExecutor(4) as pool:
        runs = list(pool.map(lambda path: _run(mode, path), paths))
    for run, (path, done) in enumerate(zip(paths, runs)):
        told = f"run {run}: {done.returncode}\n{done.stdout[-500:]}\n{done.stderr[-3000:]}"
        assert done.returncode == 3, told
        assert done.stderr == "", told
        expected = ["in flight: 200"] + LINES + ["after: in use", "before: SHUTDOWN"]
        assert done.stdout.splitlines() == expected, told
        held = asyncio.run(_messages(path))
        assert len(set(held)) == len(held) and len(held) in (100, 150), told
        database = sqlite3.connect(path)
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)], told
        database.close()


def test_exit_in_the_main_loop(tmp_path):
    _exits("main", tmp_path)


def test_exit_beside_a_loop_in_a_daemon_thread(tmp_path):
    _exits("thread", tmp_path)


def test_exit_with_a_loop_left_behind(tmp_path):
    _exits("loop", tmp_path)


def test_importing_alone_costs_nothing_at_exit():
    code = "import support, wakustore, sys; sys.exit(3)"
    done = subprocess.run([sys.executable, "-c", code], cwd=HERE, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")
