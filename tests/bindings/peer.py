#!/usr/bin/env python3
"""The other process: a node that holds the messages of messages.py.

    peer.py DIR COUNT [--ws] [--syncs N] [--expected FILE]

Opens DIR/peer.db, puts COUNT messages, listens on a free port of 127.0.0.1 (over WebSocket with
--ws) and prints its address, one line. Runs until its standard input ends; then, with --syncs,
until it has seen N syncs end, and stops in order. --expected writes what it holds, in forward
order, as read_history.mjs wants it. What it sees goes to standard error.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path

import wakustore
from messages import CLUSTER, SHARDS, messages
from wakustore import NodeEvents, Origin, PutOutcome, SyncFinished, TopicMessage

# How long the syncs may go on after the input has ended.
SYNC_SECONDS = 60


def note(text: str) -> None:
    print(f"peer: {text}", file=sys.stderr, flush=True)


async def stdin_ended() -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


async def watch(events: NodeEvents, syncs: int) -> None:
    """Returns once so many syncs have ended."""
    while syncs > 0:
        event = await events.next()
        if event is None:
            raise RuntimeError(f"the node stopped, and {syncs} syncs are still to come")
        # A dry run brings nothing.
        if isinstance(event, SyncFinished) and event.report.difference is None:
            syncs -= 1
            note(f"{event.report}")


async def run(args: argparse.Namespace) -> None:
    async with wakustore.open_archive(str(args.dir / "peer.db")) as archive:
        put = messages(args.count, time.time_ns())
        results = await archive.put_many(put, origin=Origin.IMPORT)
        refused = [r for r in results if r.outcome != PutOutcome.STORED]
        if refused or len(results) != args.count:
            raise RuntimeError(f"not all was stored: {refused}")
        if args.expected:
            held = [(m.message.timestamp, r.hash, m) for m, r in zip(put, results, strict=True)]
            held.sort(key=lambda entry: entry[:2])
            args.expected.write_text(json.dumps([expected(h, m) for _, h, m in held]))

        listen = "/ip4/127.0.0.1/tcp/0" + ("/ws" if args.ws else "")
        # It begins no sync by itself.
        async with wakustore.start_node(
            archive,
            listen=[listen],
            cluster_id=CLUSTER,
            shards=SHARDS,
            sync_interval=0,
            sync_on_connect=False,
        ) as node:
            watching = asyncio.create_task(watch(node.events(), args.syncs))
            print(node.addresses[0], flush=True)
            await stdin_ended()
            await asyncio.wait_for(watching, SYNC_SECONDS)
        note(f"stopped with {(await archive.stats()).messages} messages")


def expected(hash: bytes, m: TopicMessage) -> dict[str, str | None]:
    message = m.message
    return {
        "hash": hash.hex(),
        "pubsub_topic": m.pubsub_topic,
        "content_topic": message.content_topic,
        "timestamp": str(message.timestamp),
        "payload": message.payload.hex(),
        "meta": None if message.meta is None else message.meta.hex(),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dir", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("--ws", action="store_true")
    parser.add_argument("--syncs", type=int, default=0)
    parser.add_argument("--expected", type=Path)
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
