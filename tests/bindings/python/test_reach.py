"""How a node reaches another: QUIC, WebSocket with TLS, name servers and discovery."""

import asyncio
import subprocess

import support as s
import wakustore as w

WAIT = 60
TREE = "enrtree://AM5FCQLWIZX2QFPNJAP7VUERCCRNGRHWZG3YYHIUV7BVDQ5FDPRT2@x.test"


def test_quic_and_wss(tmp_path):
    subprocess.run([s.ROOT / "tests" / "certificate.sh", tmp_path], check=True)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    root = (tmp_path / "root.pem").read_bytes()

    async def main():
        async with w.open_archive(":memory:") as archive:
            await archive.put(s.TOPIC, s.message("held"))
            server = w.start_node(
                archive,
                listen=["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0/tls/ws"],
                wss_chain_file=chain,
                wss_key_file=key,
                identity_secp256k1=bytes([9] * 32),
            )
            client = w.start_node(archive, extra_roots=[root], name_servers=["127.0.0.1:1"])
            async with server as there, client as here, w.start_node(archive) as stranger:
                assert there.peer_id.startswith("16Uiu2")
                for address in there.addresses:
                    assert await here.dial(address) == there.peer_id
                    assert len((await here.store_query(there.peer_id)).entries) == 1
                    await here.disconnect(there.peer_id)
                with s.raises(w.ErrorKind.DIAL):
                    await stranger.dial(there.addresses[1])
                with s.raises(w.ErrorKind.DIAL):
                    await here.dial("/dns4/nobody.test/tcp/1")

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_what_cannot_be_is_told(tmp_path):
    async def main():
        async with w.open_archive(":memory:") as archive:
            for options in (
                {"discovery_trees": ["enrtree://nonsense"]},
                {"discovery_trees": [TREE], "discovery_interval": 0},
                {"name_servers": ["nonsense"]},
                {"extra_roots": [b"nonsense"]},
                {"wss_chain_file": tmp_path / "chain.pem"},
                {"identity_secp256k1": b"short"},
                {"identity_secp256k1": bytes(32), "identity_secret": bytes(32)},
            ):
                with s.raises(w.ErrorKind.INVALID_ARGUMENT):
                    await w.start_node(archive, **options)
            # Nobody answers for the tree: the node runs without.
            searching = {"discovery_trees": [TREE], "discovery_interval": 1.5}
            async with w.start_node(archive, name_servers=["127.0.0.1:1"], **searching) as node:
                assert node.peers == []

    asyncio.run(asyncio.wait_for(main(), WAIT))
