"""Pages are read by a loop of the package's own: it must read what the generated module reads."""

import random

import pytest

from wakustore import Entry, Message, Page, _pages
from wakustore import _generated as g


def generated(page: g.Page) -> Page:
    """As the package would make it of what the generated module read."""

    def message(m):
        return Message(
            m.payload,
            m.content_topic,
            m.timestamp,
            m.meta,
            m.version,
            m.rate_limit_proof,
            m.ephemeral,
        )

    entries = [
        Entry(e.hash, e.pubsub_topic, None if e.message is None else message(e.message))
        for e in page.entries
    ]
    return Page(entries, page.cursor)


def random_page(rng: random.Random) -> g.Page:
    topics = ["/waku/2/rs/16/0", "/waku/2/rs/16/1", "/t/1/ä€𝄞/proto", "/"]

    def maybe(value, odds=0.5):
        return value if rng.random() < odds else None

    def entry():
        kinds = rng.random()
        if kinds < 0.1:
            return g.Entry(hash=rng.randbytes(32), pubsub_topic=None, message=None)
        plain = kinds < 0.6
        message = g.Message(
            payload=rng.randbytes(rng.choice([0, 1, 100, 5000])),
            content_topic=rng.choice(topics),
            timestamp=maybe(rng.randint(-(2**63), 2**63 - 1), 1.0 if plain else 0.7),
            meta=None if plain else maybe(rng.randbytes(rng.randint(0, 64))),
            version=None if plain else maybe(rng.randint(0, 2**32 - 1)),
            rate_limit_proof=None if plain else maybe(rng.randbytes(rng.randint(0, 300))),
            ephemeral=None if plain else maybe(rng.random() < 0.5),
        )
        return g.Entry(
            hash=rng.randbytes(32), pubsub_topic=rng.choice(topics), message=maybe(message, 0.95)
        )

    return g.Page(entries=[entry() for _ in range(rng.randint(0, 12))], cursor=maybe(rng.randbytes(32)))


def test_what_is_read_is_what_the_generated_module_reads() -> None:
    for seed in range(500):
        page = random_page(random.Random(seed))
        read = g._UniffiFfiConverterTypePage.lift(g._UniffiFfiConverterTypePage.lower(page))
        assert read == generated(page), seed
        assert all(type(e) is Entry for e in read.entries)
        assert all(type(e.message) in (Message, type(None)) for e in read.entries)
        optional = g._UniffiFfiConverterOptionalTypePage
        assert optional.lift(optional.lower(page)) == read
    assert optional.lift(optional.lower(None)) is None


def test_the_values_are_frozen_and_what_is_cut_short_is_an_error() -> None:
    page = next(p for p in map(random_page, map(random.Random, range(99))) if len(p.entries) > 5)
    with g._UniffiRustBuffer.alloc_with_builder() as builder:
        g._UniffiFfiConverterTypePage.write(page, builder)
        buffer = builder.finalize()
    with buffer.consume_with_stream() as stream:
        data = stream.read(buffer.len)
    read, end = _pages._page(data, 0)
    assert end == len(data) and read == generated(page)
    with pytest.raises(AttributeError):
        read.entries[0].hash = b""

    class Stream:
        """A buffer that ends too soon."""

        offset = 0

        def __init__(self, length: int) -> None:
            self.data, self.len = data, length

    for length in range(len(data)):
        with pytest.raises(g.InternalError):
            _pages._read(Stream(length))
