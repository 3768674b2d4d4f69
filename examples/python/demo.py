#!/usr/bin/env python3
"""Three nodes on loopback, each a process of its own, and how they come to hold the same messages.

The first archives 20,000 messages of an hour. The second holds them but for a random tenth and a
gap of ten minutes. The third is empty: it reads the history from the first, page by page, and
then the second syncs with the third. At the end the files of all three are read back, and hold the
same messages, or the exit code tells that they do not.

    make demo
    python3 examples/python/demo.py [--messages N] [--seed S]

This file is the parent and, started again with --node, each of the children. They talk in lines
of JSON over the child's standard input and output; a child whose input ends, ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, AsyncIterator, Callable, Iterator, Optional

import wakustore as w

SECOND = 10**9
HOUR = 3600 * SECOND
#: How long before now the hour of messages ends: a sync leaves out what is younger than 20 s.
MARGIN = 60 * SECOND
#: How far back the nodes sync: the hour, the margin, and time for the demo itself.
WINDOW_SECONDS = 3600 + 900
#: The gap of the second node, within the hour.
GAP = (25 * 60 * SECOND, 35 * 60 * SECOND)

CLUSTER = 1
SHARDS = 8
CONTENT_TOPICS = [
    f"/{app}/1/{name}/proto"
    for app in ("chat", "market", "sensors", "games", "votes")
    for name in ("public", "updates", "archive")
]
#: What a transfer frame may hold in the network of today, envelope included.
FRAME = 150 * 1024
BATCH = 500
PATIENCE = 120.0


# --- The messages: the same for everybody who knows the seed -------------------------------------


def varint_size(n: int) -> int:
    """Bytes of an unsigned LEB128."""
    return max(1, (n.bit_length() + 6) // 7)


def largest_payload(pubsub_topic: str, content_topic: str, timestamp: int) -> int:
    """The largest payload whose transfer frame still goes over the wire."""

    def field(length: int) -> int:
        return 1 + varint_size(length) + length

    payload = FRAME
    while True:
        message = field(payload) + field(len(content_topic)) + 1 + varint_size(2 * timestamp)
        frame = field(len(pubsub_topic)) + field(message)
        if frame <= FRAME:
            return payload
        payload -= frame - FRAME


def size_of(rng: random.Random) -> int:
    """A few bytes to 150 KiB, most about 1 KiB."""
    dice = rng.random()
    if dice < 0.05:
        return rng.randint(3, 64)
    if dice < 0.98:
        return min(16_384, max(64, int(rng.gauss(1024, 300))))
    if dice < 0.998:
        return rng.randint(2_048, 32_768)
    return rng.randint(32_768, FRAME)


def messages(seed: int, count: int, base: int) -> Iterator[tuple[bool, w.TopicMessage]]:
    """The messages in the order of their time, each with whether the second node holds it."""
    rng = random.Random(seed)
    times = sorted(base + rng.randrange(HOUR) for _ in range(count))
    # Some share a timestamp: here and there a few, and once a crowd.
    for i in range(1, count):
        if rng.random() < 0.03:
            times[i] = times[i - 1]
    crowd = range(count // 4, count // 4 + min(300, count // 20))
    for i in crowd:
        times[i] = times[crowd.start]
    for i, timestamp in enumerate(times):
        content_topic = rng.choice(CONTENT_TOPICS)
        topic = w.shard_topic(CLUSTER, w.shard_of(content_topic, SHARDS))
        largest = largest_payload(topic, content_topic, timestamp)
        # One of the largest and one of the smallest, in any case.
        size = largest if i == 0 else 1 if i == 1 else min(size_of(rng), largest)
        payload = rng.getrandbits(8 * size).to_bytes(size, "big")
        lost = rng.random() < 0.1 or GAP[0] <= timestamp - base < GAP[1]
        yield not lost, w.TopicMessage(topic, w.Message(payload, content_topic, timestamp))


# --- A child: one node, told what to do ----------------------------------------------------------


class Child:
    """What a child process does at the parent's word."""

    def __init__(self, archive: w.Archive, node: w.Node) -> None:
        self.archive = archive
        self.node = node

    async def carry_out(self, do: str, **what: Any) -> None:
        """Does what the parent says, and tells it what came of it."""
        try:
            tell(done=await getattr(self, do)(**what))
        except w.WakuError as error:
            tell(error=str(error))

    async def fill(self, seed: int, count: int, base: int, all_of_them: bool) -> dict[str, Any]:
        """Archives the messages, or the second node's part of them."""
        began = time.monotonic()
        batch: list[w.TopicMessage] = []
        size = 0
        for i, (of_second, message) in enumerate(messages(seed, count, base)):
            if all_of_them or of_second:
                batch.append(message)
                size += len(message.message.payload)
            if len(batch) == BATCH or i == count - 1:
                await self.put(batch)
                batch = []
            if i % BATCH == 0:
                tell(progress=i, of=count)
        return {"bytes": size, "seconds": time.monotonic() - began}

    async def put(self, batch: list[w.TopicMessage]) -> None:
        # Of an hour ago and more: not live, but brought in.
        for result in await self.archive.put_many(batch, origin=w.Origin.IMPORT):
            if result.refusal is not None:
                raise result.refusal.error()

    async def read_history(self, peer: str, of: int) -> dict[str, Any]:
        """Reads all of a peer's history, page by page."""
        began = time.monotonic()
        read = pages = size = 0
        async for page in self.node.history(peer, w.Query(limit=100)):
            found = [
                w.TopicMessage(e.pubsub_topic, e.message)
                for e in page.entries
                if e.pubsub_topic is not None and e.message is not None
            ]
            await self.put(found)
            read += len(found)
            pages += 1
            size += sum(len(m.message.payload) for m in found)
            tell(progress=read, of=of)
        return {"read": read, "pages": pages, "bytes": size, "seconds": time.monotonic() - began}

    async def sync(self, peer: str) -> dict[str, Any]:
        """Syncs with a peer."""
        r = await self.node.sync(peer)
        return {
            "missing": r.missing,
            "surplus": r.surplus,
            "received": r.received,
            "sent": r.sent,
            "outstanding": r.outstanding,
            "rounds": (r.frames + 1) // 2,
            "reconciliation": r.reconciliation_bytes_in + r.reconciliation_bytes_out,
            "transfer": r.transfer_bytes_in + r.transfer_bytes_out,
            "seconds": r.duration.total_seconds(),
        }

    async def held(self) -> int:
        """How many messages the archive holds."""
        return (await self.archive.stats()).messages


def tell(**what: Any) -> None:
    """One line to the parent."""
    print(json.dumps(what), flush=True)


async def child(path: Path) -> None:
    """Runs a node until the parent says no more."""
    listen = ["/ip4/127.0.0.1/tcp/0"]
    async with w.open_archive(path) as archive, w.start_node(
        archive,
        listen=listen,
        cluster_id=CLUSTER,
        shards=range(SHARDS),
        sync_window=WINDOW_SECONDS,
        sync_interval=0,
        sync_on_connect=False,
    ) as node:
        tell(done=node.addresses[0])
        itself = Child(archive, node)
        line = await asyncio.to_thread(sys.stdin.readline)
        while line:
            order = asyncio.ensure_future(itself.carry_out(**json.loads(line)))
            # The parent says nothing before it has its answer; where it is gone, so is the order.
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                order.cancel()
            await asyncio.wait([order])


# --- The parent ----------------------------------------------------------------------------------


class Node:
    """A child process, as the parent sees it."""

    def __init__(self, name: str, path: Path, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.path = path
        self.process = process
        self.address = ""

    async def answer(self, on_progress: Optional[Callable[[int, int], None]] = None) -> Any:
        """What the child answers; raises where it failed, ended, or says nothing for long."""
        assert self.process.stdout is not None
        while True:
            line = await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)
            if not line:
                raise RuntimeError(f"the {self.name} node ended early")
            told = json.loads(line)
            if "error" in told:
                raise RuntimeError(f"the {self.name} node: {told['error']}")
            if "done" in told:
                return told["done"]
            if on_progress is not None:
                on_progress(told["progress"], told["of"])

    async def order(
        self, do: str, on_progress: Optional[Callable[[int, int], None]] = None, **what: Any
    ) -> Any:
        """Has the child do something and waits for the end of it."""
        assert self.process.stdin is not None
        # A child that is gone is noticed where its answer is read.
        with contextlib.suppress(ConnectionError):
            self.process.stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
            await self.process.stdin.drain()
        return await self.answer(on_progress)

    async def end(self) -> None:
        """Ends the child: asks, and after a while insists."""
        if self.process.stdin is not None:
            self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), 20)
        except asyncio.TimeoutError:
            self.process.kill()
            await self.process.wait()


@contextlib.asynccontextmanager
async def running(names: list[str], directory: Path) -> AsyncIterator[list[Node]]:
    """The child processes; however it ends, they end with it."""
    nodes: list[Node] = []
    try:
        for name in names:
            path = directory / f"{name}.db"
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                os.path.abspath(__file__),
                "--node",
                str(path),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            nodes.append(Node(name, path, process))
        for node in nodes:
            node.address = await node.answer()
        yield nodes
    finally:
        await asyncio.shield(asyncio.gather(*(node.end() for node in nodes)))
    for node in nodes:
        if node.process.returncode != 0:
            raise RuntimeError(f"the {node.name} node ended with {node.process.returncode}")


class Bar:
    """A progress bar; where there is no terminal, a line at the end."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.shown = 0.0
        self.drawn = False

    def __call__(self, done: int, of: int) -> None:
        now = time.monotonic()
        if not sys.stdout.isatty() or (now - self.shown < 0.05 and done < of):
            return
        self.shown = now
        self.drawn = True
        full = 30 * done // max(of, 1)
        bar = "#" * full + "." * (30 - full)
        print(f"\r  {self.what} [{bar}] {done:,} of {of:,} ", end="", flush=True)

    def end(self, result: str) -> None:
        """Replaces the bar by what came of it."""
        print(("\r\033[K" if self.drawn else "") + f"  {self.what}: {result}", flush=True)


async def hashes(path: Path) -> set[bytes]:
    """All that a file holds."""
    query = w.Query(limit=100, include_data=False)
    async with w.open_archive(path) as archive:
        return {e.hash async for e in archive.history(query).entries()}


def bytes_text(n: float) -> str:
    """A size for people."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:,.0f} {unit}" if unit == "B" else f"{n:,.1f} {unit}"
        n /= 1024
    return f"{n:,.1f} GiB"


def table(rows: list[tuple[str, ...]]) -> None:
    """Prints rows in columns, the first to the left and the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print(("  " + "   ".join(cells)).rstrip())


async def demo(count: int, seed: int, directory: Path) -> bool:
    """The whole of it; false where the three do not end up the same."""
    base = time.time_ns() - MARGIN - HOUR
    plan: dict[str, Any] = {"seed": seed, "count": count, "base": base}
    print(f"wakustore {w.version()}: three nodes on loopback (seed {seed})\n")

    async with running(["first", "second", "third"], directory) as (first, second, third):
        bar = Bar("archiving an hour of messages")
        filled, _ = await asyncio.gather(
            first.order("fill", bar, all_of_them=True, **plan),
            second.order("fill", all_of_them=False, **plan),
        )
        before = [await node.order("held") for node in (first, second, third)]
        bar.end(f"{before[0]:,}, {bytes_text(filled['bytes'])}, in {filled['seconds']:.1f} s")

        bar = Bar("reading history, first to third")
        read = await third.order("read_history", bar, peer=first.address, of=before[0])
        rate = read["bytes"] / max(read["seconds"], 0.001)
        bar.end(
            f"{read['read']:,} in {read['pages']:,} pages, "
            f"{read['seconds']:.1f} s ({bytes_text(rate)}/s)"
        )
        middle = [await node.order("held") for node in (first, second, third)]

        bar = Bar("syncing second and third")
        synced = await second.order("sync", peer=third.address)
        bar.end(f"{synced['received']:,} messages in {synced['seconds']:.1f} s")
        after = [await node.order("held") for node in (first, second, third)]

    print("\n  reading all three files back …", flush=True)
    sets = [await hashes(node.path) for node in (first, second, third)]

    def counts(name: str, numbers: list[int]) -> tuple[str, ...]:
        return (name, *(f"{n:,}" for n in numbers))

    print()
    table(
        [
            ("messages", "first", "second", "third"),
            counts("held at the start", before),
            counts("held after reading history", middle),
            counts("held after the sync", after),
            counts("in the file, read back", [len(s) for s in sets]),
        ]
    )
    print()
    table(
        [
            ("the sync of second and third", ""),
            ("found missing by the second", f"{synced['missing']:,}"),
            ("found missing by the third", f"{synced['surplus']:,}"),
            ("brought to the second", f"{synced['received']:,}"),
            ("rounds", f"{synced['rounds']:,}"),
            ("bytes to find what differs", bytes_text(synced["reconciliation"])),
            ("bytes of messages", bytes_text(synced["transfer"])),
            ("seconds", f"{synced['seconds']:.2f}"),
        ]
    )
    print()
    # What the seed says they must hold, and not only each what the others hold.
    wanted = {w.message_hash(m.pubsub_topic, m.message) for _, m in messages(seed, count, base)}
    same = True
    for node, held in zip((first, second, third), sets):
        if held != wanted:
            same = False
            print(
                f"  WRONG: the {node.name} node lacks {len(wanted - held):,} messages "
                f"and holds {len(held - wanted):,} that nobody sent",
                file=sys.stderr,
            )
    if synced["missing"] != before[0] - before[1] or synced["outstanding"]:
        same = False
        print(f"  WRONG: the sync did not find what was missing: {synced}", file=sys.stderr)
    if same:
        print(f"  All three files hold the same {len(wanted):,} messages.")
    return same


def main() -> int:
    """Parent or child, as the arguments say."""
    parser = argparse.ArgumentParser(description="three nodes on loopback")
    parser.add_argument("--messages", type=int, default=20_000, help="how many (20000)")
    parser.add_argument("--seed", type=int, default=1, help="which messages (1)")
    parser.add_argument("--node", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.node is not None:
        # The parent decides when a child ends; Ctrl-C reaches the whole group.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        asyncio.run(child(args.node))
        return 0
    if args.messages < 1:
        parser.error("--messages is at least 1")
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="wakustore-demo-") as directory:
            same = asyncio.run(until_told(demo(args.messages, args.seed, Path(directory))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("\n  stopped", file=sys.stderr)
        return 130
    except (RuntimeError, asyncio.TimeoutError, w.WakuError) as error:
        print(f"\n  FAILED: {error or 'a node did not answer'}", file=sys.stderr)
        return 1
    print(f"  {time.monotonic() - began:.1f} s in all")
    return 0 if same else 1


async def until_told(work: Any) -> bool:
    """Has a polite kill end it as Ctrl-C does, with everything put away."""
    task = asyncio.ensure_future(work)
    with contextlib.suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    done: bool = await task
    return done


if __name__ == "__main__":
    sys.exit(main())
