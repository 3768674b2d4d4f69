#!/usr/bin/env python3
"""An archive, a node over it, and a second node that reads its history and syncs with it.

    PYTHONPATH=bindings/python/src WAKUSTORE_LIBRARY=target/release python3 examples/python/quickstart.py
"""

import asyncio
import tempfile
import time
from pathlib import Path

import wakustore

CONTENT_TOPIC = "/quickstart/1/greetings/proto"


async def main(directory: Path) -> None:
    print("wakustore", wakustore.version())
    topic = wakustore.shard_topic(1, wakustore.shard_of(CONTENT_TOPIC, 8))

    # A file that holds messages. No network so far.
    async with wakustore.open_archive(directory / "first.db") as archive:
        for text in ("good morning", "good day", "good night"):
            message = wakustore.Message(text.encode(), CONTENT_TOPIC, time.time_ns())
            result = await archive.put(topic, message)
            print(f"stored {text!r} as {result.hash.hex()[:16]}…")

        # What is wrong is an error with a kind.
        try:
            await archive.put(topic, wakustore.Message(b"", CONTENT_TOPIC, timestamp=1))
        except wakustore.WakuError as error:
            print(f"refused: {error.kind.name}: {error.message}")

        # The archive on the network, and somebody else who reads from it.
        async with wakustore.start_node(archive, listen=["/ip4/127.0.0.1/tcp/0"]) as node:
            await visit(node.addresses[0], directory)


async def visit(address: str, directory: Path) -> None:
    async with wakustore.open_archive(directory / "second.db") as archive:
        async with wakustore.start_node(archive) as node:
            peer = await node.dial(address)
            query = wakustore.Query(content_topics=[CONTENT_TOPIC], limit=2)
            async for page in node.history(peer, query):
                texts = [e.message.payload.decode() for e in page.entries if e.message]
                print("a page of the peer's history:", texts)

            # A sync compares what both hold and brings what is missing. By default it leaves out
            # the last seconds, which may still be on their way; here it shall not.
            now = time.time_ns()
            report = await node.sync(peer, start=now - 60 * 10**9, end=now)
            print(
                f"the sync found {report.missing} missing and brought {report.received} of them"
                f" in {report.duration.total_seconds() * 1000:.0f} ms"
            )
            print("messages here now:", (await archive.stats()).messages)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        asyncio.run(main(Path(scratch)))
