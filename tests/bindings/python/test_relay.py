"""Relay between two nodes of one process."""

import asyncio

import support as s
import wakustore as w

LOOPBACK = ["/ip4/127.0.0.1/tcp/0"]
WAIT = 60


def test_what_one_publishes_the_other_stores():
    async def main():
        async with w.open_archive(":memory:") as a, w.open_archive(":memory:") as b:
            options = {"listen": LOOPBACK, "cluster_id": 1, "relay": True, "sync": False}
            async with w.start_node(a, **options) as one, w.start_node(b, **options) as two:
                with s.raises(w.ErrorKind.NO_RELAY_PEERS):
                    await one.publish(s.TOPIC, s.message("to nobody"))
                changes = b.changes()
                await two.subscribe(s.TOPIC)
                await one.dial(two.addresses[0])
                while await one.relay_peers(s.TOPIC) != [two.peer_id]:
                    await asyncio.sleep(0.02)
                sent = await one.publish(s.TOPIC, s.message("to all"))
                stored = await changes.next()
                assert isinstance(stored, w.MessagesStored)
                assert [(m.hash, m.origin) for m in stored.messages] == [(sent, w.Origin.LIVE)]
                assert await a.missing([sent]) == []
                await two.unsubscribe(s.TOPIC)
                while await one.relay_peers(s.TOPIC):
                    await asyncio.sleep(0.02)
                with s.raises(w.ErrorKind.INVALID_TOPIC):
                    await two.subscribe("")

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_a_node_that_does_not_relay_says_so():
    async def main():
        async with w.open_archive(":memory:") as archive:
            async with w.start_node(archive, max_page_bytes=1 << 20) as node:
                for call in (
                    node.subscribe(s.TOPIC),
                    node.publish(s.TOPIC, s.message("to nobody")),
                ):
                    with s.raises(w.ErrorKind.UNSUPPORTED):
                        await call

    asyncio.run(asyncio.wait_for(main(), WAIT))
