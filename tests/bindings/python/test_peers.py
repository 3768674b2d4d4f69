"""Which peers a node keeps: over a restart of the peer, and of the node."""

import asyncio

import support as s
import wakustore as w

LOOPBACK = "/ip4/127.0.0.1/tcp/0"
WAIT = 60
QUICK = {"redial_min": 0.1, "redial_max": 1, "offline_grace": 0.3}


async def told(events, kind):
    """Waits for an event of this kind."""
    async for event in events:
        if isinstance(event, kind):
            return event
    raise AssertionError("the node stopped")


async def until(holds):
    while not holds():
        await asyncio.sleep(0.02)


def test_a_peer_that_goes_and_comes_back_is_kept(tmp_path):
    secret = bytes(range(32))

    async def main():
        async with w.open_archive(":memory:") as a, w.open_archive(":memory:") as b:
            peer = await w.start_node(a, listen=[LOOPBACK], identity_secret=secret)
            address = peer.addresses[0]
            listen = address.split("/p2p/")[0]
            state = tmp_path / "state"
            options = {"state_file": state, "bootstrap": [address], "reserved": 3, **QUICK}
            async with w.start_node(b, **options) as node:
                events = node.events()
                await until(lambda: node.online)
                await peer.aclose()
                await told(events, w.Offline)
                assert not node.online
                peer = await w.start_node(a, listen=[listen], identity_secret=secret)
                node.network_changed()
                await told(events, w.Online)
                (known,) = await node.known_peers()
                assert (known.peer_id, known.addresses) == (peer.peer_id, [listen])
                assert known.configured and known.reached and known.connected
            # Out of the book alone, with nobody configured.
            async with w.start_node(b, state_file=state, sync_peers=1, **QUICK) as node:
                await until(lambda: node.peers == [peer.peer_id])
            (tmp_path / "state.peers").write_bytes(b"no book")
            async with w.start_node(b, state_file=state, **QUICK) as node:
                aside = await told(node.events(), w.StateSetAside)
                assert aside.path == str(tmp_path / "state.peers") and aside.why
                assert await node.known_peers() == []
            await peer.aclose()

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_a_peer_that_was_found_is_dialled():
    async def main():
        async with w.open_archive(":memory:") as a, w.open_archive(":memory:") as b:
            async with w.start_node(a, listen=[LOOPBACK]) as peer:
                async with w.start_node(b, listen=[LOOPBACK], **QUICK) as node:
                    node.learn(peer.addresses, store=True)
                    await until(lambda: node.peers == [peer.peer_id])
                    with s.raises(w.ErrorKind.ADDRESS):
                        node.learn([LOOPBACK])
                with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                    await w.start_node(b, reserved=1000)

    asyncio.run(asyncio.wait_for(main(), WAIT))
