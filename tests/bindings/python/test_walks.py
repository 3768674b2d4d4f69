"""Questions to several store peers: fail-over, presence, contents, a cross-check, and limits."""

import asyncio

import support as s
import wakustore as w
from test_node import fill, node

GONE = "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"


def test_walks_over_several_peers():
    async def main():
        async with node() as full, node() as poor, node(listen=[]) as asking:
            hashes = await fill(full.archive, 250)
            page = await full.archive.query(w.Query(limit=100, direction=w.Direction.BACKWARD))
            last = page.entries[-1]
            await poor.archive.put_many([w.TopicMessage(last.pubsub_topic, last.message)])
            peers = [full.addresses[0], poor.addresses[0]]

            walk = asking.history_of([GONE, peers[0]], w.Query(limit=100))
            assert [e.hash async for e in walk.entries()] == hashes
            first = page.entries[0].message.timestamp
            query = w.Query(start=first, end=last.message.timestamp + 1, limit=7)
            walk = asking.history_of(peers[:1], query, span=0.01)
            assert [e.hash async for e in walk.entries()] == hashes[-100:]
            # Of whoever is connected.
            walk = asking.history_of(query=w.Query(limit=100))
            assert {e.hash async for e in walk.entries()} >= {hashes[-1]}

            nobodys = b"\x07" * 32
            assert await asking.presence(peers[0], [*hashes, nobodys]) == hashes
            assert await asking.presence(peers[1], [nobodys, *hashes]) == hashes[-1:]
            found = await asking.fetch([*hashes, nobodys], peers[::-1])
            assert {m.hash for m in found.messages} == set(hashes)
            assert found.missing == [nobodys]
            assert all(m.hash == w.message_hash(m.pubsub_topic, m.message) for m in found.messages)

            check = await asking.cross_check([GONE, *peers], w.Query(limit=100))
            assert check.hashes == hashes
            gone, whole, part = check.peers
            assert gone.failure.kind == w.ErrorKind.DIAL and gone.told == 0
            assert whole.peer == peers[0] and whole.told == 250 and not whole.omitted
            assert part.failure is None and part.told == 1 and part.omitted == hashes[:-1]
            with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                await asking.cross_check(peers[:1])
            with s.raises(w.ErrorKind.INVALID_HASH):
                await asking.fetch([b"short"])
            with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                asking.history_of(peers, query, span=1e-9)

    asyncio.run(main())


def test_a_server_that_limits_its_peers():
    async def main():
        limit = w.RateLimit(3, per=3600)
        async with node(store_rate_of_peer=limit) as serving, node(listen=[]) as asking:
            for _ in range(3):
                await asking.store_query(serving.addresses[0], w.Query())
            with s.raises(w.ErrorKind.STORE_TOO_MANY_REQUESTS):
                await asking.store_query(serving.addresses[0], w.Query())

    asyncio.run(main())
