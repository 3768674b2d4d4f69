"""What the peer of the tests holds: messages that are the same for everybody but for the hour.

Several sizes up to nearly the largest of the network, two shards, three content topics, with and
without meta and rate limit proof, and more on one timestamp than a deployed node can split.
"""

from __future__ import annotations

import hashlib

from wakustore import Message, TopicMessage, shard_topic

CLUSTER = 16
SHARDS = [3, 5]
TOPICS = ["/tests/1/chat/proto", "/tests/1/presence/proto", "/tests/1/files/proto"]
# From here on so many lie on one timestamp.
CROWD_START, CROWD = 50, 130
SIZES = [4, 16, 32, 300, 1000, 1500, 6000, 30_000]
# Of single messages: nothing, one byte, and nearly the most that a message may have.
SIZE_OF = {7: 0, 8: 1, 42: 140 * 1024}
SECOND = 1_000_000_000


def payload(index: int, size: int) -> bytes:
    """Bytes that repeat nowhere."""
    return hashlib.shake_128(index.to_bytes(4, "big")).digest(size)


def messages(count: int, now: int) -> list[TopicMessage]:
    """So many of the fifty minutes before `now` (Unix nanoseconds), the last a minute before."""
    first = now - 3000 * SECOND
    step = (now - 60 * SECOND - first) // (count - 1)
    result = []
    for i in range(count):
        place = CROWD_START if CROWD_START <= i < CROWD_START + CROWD else i
        message = Message(
            payload=payload(i, SIZE_OF.get(i, SIZES[i % len(SIZES)])),
            content_topic=TOPICS[1 if i % 5 == 0 else 2 if i % 7 == 0 else 0],
            timestamp=first + place * step,
            meta=payload(i, 1 + i % 64) if i % 3 == 0 else None,
            # A proof is a protobuf message of its own: field 1, two bytes.
            rate_limit_proof=bytes([0x0A, 2, i & 255, 7]) if i % 4 == 0 else None,
        )
        shard = SHARDS[1 if i % 11 == 0 else 0]
        result.append(TopicMessage(pubsub_topic=shard_topic(CLUSTER, shard), message=message))
    return result
