"""A node seen from outside: its metrics, its health, and the log."""

import asyncio
import logging
import subprocess
import sys
import threading
import time

import support as s
import wakustore as w

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
WAIT = 60


async def until(holds):
    while not holds():
        await asyncio.sleep(0.01)


def test_metrics_and_health_tell_what_was_done():
    async def main():
        async with w.open_archive(":memory:") as a, w.open_archive(":memory:") as b:
            began = time.time_ns() - 10**9
            await b.put_many(s.numbered(30), origin=w.Origin.IMPORT)
            options = {"listen": LOOPBACK, "sync_margin": 0, "sync_on_connect": False}
            async with w.start_node(a, **options) as one, w.start_node(b, **options) as two:
                before = await one.health()
                assert before.running and before.last_sync is None and before.behind is None
                assert before.archive is w.ArchiveState.WRITABLE and before.archive_failure is None
                report = await one.sync(two.addresses[0], start=began, end=time.time_ns())
                assert report.received == 30
                health = await one.health()
                assert health.last_sync.peer_id == two.peer_id
                assert health.last_sync.received == 30 and health.last_sync.outstanding == 0
                assert health.last_sync.agreement is w.Agreement.STRONG
                assert health.messages == 30 and health.peers == 1 and health.gaps == 0
                assert health.behind.total_seconds() < WAIT
                assert health.queues.archive_puts == 0
                text = await one.metrics()
                assert text.endswith("\n# EOF\n")
                assert '\nwaku_archive_messages{type="stored"} 30.0\n' in text
                assert "\nreconciliation_differences_sum 30.0\n" in text
                assert "\nlibp2p_peers 1.0\n" in text
            alone = await a.metrics()
            assert '\nwakustore_archive_stored_total{origin="sync"} 30\n' in alone
            assert "libp2p_peers" not in alone

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_the_log_goes_to_logging():
    records = []

    class Keep(logging.Handler):
        def emit(self, record):
            records.append((record, threading.current_thread() is threading.main_thread()))

    logger = logging.getLogger("test_the_log")
    logger.addHandler(Keep())
    logger.setLevel(logging.INFO)
    logger.propagate = False

    async def main():
        async with w.open_archive(":memory:") as archive:
            began = time.time()
            w.log_to(logger, "trace")
            async with w.start_node(archive, listen=LOOPBACK):
                await until(lambda: any("started" in r.getMessage() for r, _ in records))
            w.log_to(None)
            # One more may be under way.
            await asyncio.sleep(0.2)
            count = len(records)
            async with w.start_node(archive, listen=LOOPBACK):
                pass
            assert len(records) == count
            for record, on_main in records:
                assert record.name.startswith("test_the_log.wakustore.")
                # The logger's own level holds, whatever the filter lets pass.
                assert record.levelno >= logging.INFO and not on_main
                assert began - 1 < record.created < time.time() + 1

    try:
        asyncio.run(asyncio.wait_for(main(), WAIT))
    finally:
        w.log_to(None)


def test_the_log_goes_to_a_function_and_its_failures_end_there():
    lines = []

    def take(line):
        lines.append(line)
        raise RuntimeError("on purpose")

    async def main():
        async with w.open_archive(":memory:") as archive:
            w.log_to(take, "wakustore::node=debug")
            async with w.start_node(archive, listen=LOOPBACK):
                await until(lambda: any("listening" in line.message for line in lines))

    try:
        asyncio.run(asyncio.wait_for(main(), WAIT))
    finally:
        w.log_to(None)
    assert {type(line.level) for line in lines} == {w.LogLevel}
    assert all(line.target.startswith("wakustore::node") for line in lines)
    assert all(line.dropped == 0 for line in lines)
    with s.raises(w.ErrorKind.INVALID_ARGUMENT, "loud"):
        w.log_to(take, "loud")


#: Exits while its log function, which takes its time, has more to take than it can.
EXIT = """
import asyncio, sys, time
import support
import wakustore as w

def take(line):
    taken.append(line)
    time.sleep(0.005)

taken = []
w.log_to(take, "trace,libp2p=trace")

async def main():
    archive = await w.open_archive(":memory:")
    node = await w.start_node(archive, listen=["/ip4/127.0.0.1/tcp/0"])
    while len(taken) < 2:
        await asyncio.sleep(0.001)
    sys.exit(3)

asyncio.run(main())
"""


def test_a_process_that_logs_exits_as_it_should():
    for run in range(5):
        command = [sys.executable, "-c", EXIT]
        here = s.ROOT / "tests" / "bindings" / "python"
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stdout, done.stderr) == (3, "", ""), f"run {run}: {done}"
