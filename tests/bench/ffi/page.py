"""What a page of 100 messages of 1 KiB costs in Python: from the library's buffer to the package's
values, every field of every message read, against the same page from JSON with base64.

The library's buffer is the one that a query gave; what the query itself takes is in neither figure.
Prints a JSON line.
"""

import asyncio
import base64
import ctypes
import json
import statistics
import time

import wakustore
from wakustore import _convert
from wakustore import _generated as g

COUNT, SIZE, READS = 100, 1024, 500
GOAL = 0.25


async def filled() -> wakustore.Archive:
    archive = await wakustore.open_archive(":memory:")
    base = (int(time.time()) - 600) * 1_000_000_000
    messages = [
        wakustore.TopicMessage(
            "/waku/2/rs/16/0",
            wakustore.Message(
                bytes((n * 31 + i * 7) % 256 for i in range(SIZE)),
                "/bench/1/page/proto",
                base + n * 1_000_000_000,
            ),
        )
        for n in range(COUNT)
    ]
    await archive.put_many(messages, origin=wakustore.Origin.IMPORT)
    return archive


def read(page: wakustore.Page) -> int:
    """Something of every field, so that none is left out."""
    total = 0
    for entry in page.entries:
        m = entry.message
        total += len(entry.hash) + len(entry.pubsub_topic) + len(m.payload) + len(m.content_topic)
        total += m.timestamp & 1
        for field in (m.meta, m.version, m.rate_limit_proof, m.ephemeral):
            total += field is not None
    return total


def of_json(text: str) -> int:
    total = 0
    for entry in json.loads(text):
        m = entry["message"]
        payload, found = base64.b64decode(m["payload"]), base64.b64decode(entry["hash"])
        total += len(found) + len(entry["pubsub_topic"]) + len(payload) + len(m["content_topic"])
        total += m["timestamp"] & 1
        for field in ("meta", "version", "rate_limit_proof", "ephemeral"):
            total += m[field] is not None
    return total


def as_json(page: wakustore.Page) -> str:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    return json.dumps(
        [
            {
                "hash": encoded(e.hash),
                "pubsub_topic": e.pubsub_topic,
                "message": {
                    "payload": encoded(e.message.payload),
                    "content_topic": e.message.content_topic,
                    "timestamp": e.message.timestamp,
                    "meta": None,
                    "version": None,
                    "rate_limit_proof": None,
                    "ephemeral": None,
                },
            }
            for e in page.entries
        ]
    )


class Captured:
    """Keeps a copy of the buffer that the next page comes in."""

    def __init__(self) -> None:
        self.data = b""
        self._lift = g._UniffiFfiConverterTypePage.lift
        g._UniffiFfiConverterTypePage.lift = self.lift

    def lift(self, buffer):
        self.data = ctypes.string_at(buffer.data, buffer.len)
        return self._lift(buffer)

    def done(self) -> bytes:
        g._UniffiFfiConverterTypePage.lift = self._lift
        return self.data

    def buffer(self):
        """The library's own again: whoever lifts it frees it."""
        with g._UniffiRustBuffer.alloc_with_builder() as builder:
            builder.write(self.data)
            return builder.finalize()


def timed(work, given) -> float:
    begun = time.process_time()
    work(given)
    return (time.process_time() - begun) * 1e6


async def main() -> None:
    async with await filled() as archive:
        captured = Captured()
        page = await archive.query(wakustore.Query(limit=COUNT))
        captured.done()
        text = as_json(page)
        lift = g._UniffiFfiConverterTypePage.lift
        assert read(page) == of_json(text) and len(page.entries) == COUNT
        ours, theirs = [], []
        for _ in range(READS):
            # In turn, one at a time: each begins with what the other has left of the caches.
            buffer = captured.buffer()
            ours.append(timed(lambda given: read(_convert.page_out(lift(given))), buffer))
            theirs.append(timed(of_json, text))
    value, other = statistics.median(ours), statistics.median(theirs)
    print(
        json.dumps(
            {
                "name": "ffi.page.python",
                "value": round(value, 3),
                "unit": "us",
                "versus": "JSON",
                "theirs": round(other, 3),
                "ratio": round(value / other, 4),
                "goal": f"<= {GOAL}",
                "met": value / other <= GOAL,
            }
        )
    )


asyncio.run(main())
