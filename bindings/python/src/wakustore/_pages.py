"""Pages of messages, read from the library's buffer straight into the package's values.

The generated module reads each field by a call or two and makes a value of its own of each record,
which ``_convert`` would make the package's of: for a page of a hundred messages some thousands of
calls. Here the buffer is copied out once and taken apart in one loop. The layout is UniFFI's: numbers
big-endian, bytes and text behind their length (four bytes), an option behind a byte that says
whether it is there. ``tests/bindings/python/test_pages.py`` holds it to what the generated module
reads.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from dataclasses import fields
from typing import Any, Optional

from . import _generated as g
from ._types import Entry, Message, Page

__all__ = ["install"]

_LENGTH = struct.Struct(">i").unpack_from
_TIME = struct.Struct(">q").unpack_from
_NUMBER = struct.Struct(">I").unpack_from
#: A hash's length, the hash, and whether a topic follows.
_HASH = struct.Struct(">i32sB").unpack_from
#: The same, what lies between it and the length of the payload, and that; and what lies between a
#: payload and its time, the time, and what follows: zero for neither meta, version, proof nor a
#: word on whether it is ephemeral. With nothing in between, for a start.
_HEAD = struct.Struct(">i32sBi").unpack_from
_TAIL = struct.Struct(">BqI").unpack_from


class _Message:
    """A ``Message`` while it is made. What is frozen sets its fields past a guard, one by one, which
    takes most of the time that a message has: so they are set here, and then it is frozen."""

    if sys.version_info >= (3, 10):
        __slots__ = tuple(field.name for field in fields(Message))

    def __init__(
        self,
        payload: bytes,
        content_topic: str,
        timestamp: Optional[int],
        meta: Optional[bytes],
        version: Optional[int],
        rate_limit_proof: Optional[bytes],
        ephemeral: Optional[bool],
    ) -> None:
        self.payload = payload
        self.content_topic = content_topic
        self.timestamp = timestamp
        self.meta = meta
        self.version = version
        self.rate_limit_proof = rate_limit_proof
        self.ephemeral = ephemeral


class _Entry:
    """An ``Entry`` while it is made."""

    if sys.version_info >= (3, 10):
        __slots__ = tuple(field.name for field in fields(Entry))

    def __init__(self, hash: bytes, pubsub_topic: Optional[str], message: Any) -> None:
        self.hash = hash
        self.pubsub_topic = pubsub_topic
        self.message = message


def _optional_bytes(data: bytes, at: int) -> tuple[Optional[bytes], int]:
    if not data[at]:
        return None, at + 1
    (length,) = _LENGTH(data, at + 1)
    return data[at + 5 : at + 5 + length], at + 5 + length


def _others(data: bytes, at: int) -> tuple[Any, Any, Any, Any, int]:
    """What few messages have: meta, version, proof, ephemeral."""
    meta, at = _optional_bytes(data, at)
    version = None
    if data[at]:
        (version,) = _NUMBER(data, at + 1)
        at += 4
    proof, at = _optional_bytes(data, at + 1)
    ephemeral = None
    if data[at]:
        ephemeral = data[at + 1] != 0
        at += 1
    return meta, version, proof, ephemeral, at + 1


def _message(data: bytes, at: int) -> tuple[Message, int]:
    (length,) = _LENGTH(data, at)
    end = at + 4 + length
    payload = data[at + 4 : end]
    (length,) = _LENGTH(data, end)
    at = end + 4 + length
    content_topic = data[end + 4 : at].decode()
    timestamp = None
    if data[at]:
        (timestamp,) = _TIME(data, at + 1)
        at += 8
    meta, version, proof, ephemeral, at = _others(data, at + 1)
    return Message(payload, content_topic, timestamp, meta, version, proof, ephemeral), at


def _page(data: bytes, at: int) -> tuple[Page, int]:
    """The page that begins there, and where it ends."""
    # Neighbours mostly have the same topics: then one look goes from a hash to its payload (past the
    # pubsub topic, and that there is a message), and one from there to the time and past it (past
    # the content topic, and that there is a time). `head` and `tail` are made for the topics before.
    head, tail, to_payload, to_next = _HEAD, _TAIL, 42, 13
    known_pubsub: Optional[bytes] = None
    known_content: Optional[bytes] = None
    pubsub_topic = content_topic = ""
    entries: list[Any] = []
    add = entries.append
    message: Any
    entry: Any
    last = len(data)
    # Where `head` and `tail` still find all that they take.
    last_head, last_tail = last - to_payload, last - to_next
    (count,) = _LENGTH(data, at)
    at += 4
    for _ in range(count):
        between: Any = 0
        if at <= last_head:
            size, found, between, length = head(data, at)
        if between == known_pubsub:
            at += to_payload
        else:
            size, found, is_there = _HASH(data, at)
            at += 37
            begun, topic = at, None
            if is_there:
                (length,) = _LENGTH(data, at)
                topic = data[at + 4 : at + 4 + length].decode()
                at += 4 + length
            at += 1
            if topic is None or not data[at - 1]:
                message = None
                if data[at - 1]:
                    message, at = _message(data, at)
                add(Entry(found, topic, message))
                continue
            known_pubsub, pubsub_topic = data[begun - 1 : at], topic
            to_payload = 36 + len(known_pubsub) + 4
            last_head = last - to_payload
            head = struct.Struct(f">i32s{len(known_pubsub)}si").unpack_from
            (length,) = _LENGTH(data, at)
            at += 4
        if size != 32:
            raise g.InternalError(f"a hash of {size} bytes")
        end = at + length
        between = 0
        if end <= last_tail:
            between, timestamp, others = tail(data, end)
        if between == known_content:
            payload = data[at:end]
            at = end + to_next
            if others:
                meta, version, proof, ephemeral, at = _others(data, at - 4)
            else:
                meta = version = proof = ephemeral = None
            message = _Message(
                payload, content_topic, timestamp, meta, version, proof, ephemeral
            )
            message.__class__ = Message
        else:
            message, at = _message(data, at - 4)
            if message.timestamp is not None:
                (length,) = _LENGTH(data, end)
                content_topic, known_content = message.content_topic, data[end : end + 5 + length]
                to_next = len(known_content) + 12
                last_tail = last - to_next
                tail = struct.Struct(f">{len(known_content)}sqI").unpack_from
        entry = _Entry(found, pubsub_topic, message)
        entry.__class__ = Entry
        add(entry)
    cursor, at = _optional_bytes(data, at)
    if at > len(data):
        raise g.InternalError("read past end of rust buffer")
    return Page(entries, cursor), at


def _read(stream: Any) -> Page:
    data = ctypes.string_at(stream.data, stream.len)
    try:
        page, stream.offset = _page(data, stream.offset)
    except (struct.error, IndexError, UnicodeDecodeError):
        raise g.InternalError("read past end of rust buffer") from None
    return page


def install() -> None:
    """From now on the generated module gives the package's own pages."""
    converter: Any = g._UniffiFfiConverterTypePage
    converter.read = staticmethod(_read)
