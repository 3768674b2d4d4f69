#!/usr/bin/env python3
"""Whether two archives hold the same messages, byte for byte.

    compare.py A.db B.db [AT_LEAST]

Walks both through the package and compares every field of every message. Exits with 1 where they
differ, or hold fewer than AT_LEAST (1 unless told).
"""

from __future__ import annotations

import asyncio
import sys

import wakustore
from wakustore import Entry, Query


async def read(path: str) -> dict[bytes, Entry]:
    held: dict[bytes, Entry] = {}
    async with wakustore.open_archive(path) as archive:
        async for page in archive.history(Query(limit=100)):
            held.update((entry.hash, entry) for entry in page.entries)
        stats = await archive.stats()
    if stats.messages != len(held):
        raise SystemExit(f"compare: {path} says {stats.messages} messages, its history {len(held)}")
    return held


async def compare(first: str, second: str, at_least: int) -> int:
    a, b = await read(first), await read(second)
    only_a, only_b = a.keys() - b.keys(), b.keys() - a.keys()
    differ = [h for h in a.keys() & b.keys() if a[h] != b[h]]
    print(f"compare: {len(a)} messages in {first}, {len(b)} in {second}")
    for what, hashes in [
        (f"only in {first}", only_a),
        (f"only in {second}", only_b),
        ("not the same in both", differ),
    ]:
        if hashes:
            some = ", ".join(h.hex()[:12] for h in sorted(hashes)[:5])
            print(f"compare: {len(hashes)} are {what}: {some}…")
    if only_a or only_b or differ:
        return 1
    if len(a) < at_least:
        print(f"compare: expected at least {at_least}")
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit("usage: compare.py A.db B.db [AT_LEAST]")
    sys.exit(asyncio.run(compare(sys.argv[1], sys.argv[2], int((sys.argv + ["1"])[3]))))
