"""Hashes, shards, versions, and how values print."""

import support as s
import wakustore as w

# The specification's vectors (14/WAKU2-MESSAGE).
PAYLOAD = bytes.fromhex("010203045445535405060708")
META = bytes.fromhex("73757065722d736563726574")
VECTORS = [
    (PAYLOAD, META, "64cce733fed134e83da02b02c6f689814872b1a0ac97ea56b76095c3c72bfe05"),
    (PAYLOAD, bytes(range(64)), "7158b6498753313368b9af8f6e0a0a05104f68f972981da42a43bc53fb0c1b27"),
    (PAYLOAD, None, "a2554498b31f5bcdfcbf7fa58ad1c2d45f0254f3f8110a85588ec3cf10720fd8"),
    (b"", META, "483ea950cb63f9b9d6926b262bb36194d3f40a0463ce8446228350bd44e96de4"),
]


def test_message_hash_is_the_specifications():
    for payload, meta, expected in VECTORS:
        message = w.Message(
            payload, "/waku/2/default-content/proto", 0x175789BFA23F8400, meta=meta
        )
        assert w.message_hash("/waku/2/default-waku/proto", message).hex() == expected


def test_shards():
    assert w.shard_of("/toychat/2/huilong/proto", 8) == 3
    assert w.shard_topic(16, 32) == "/waku/2/rs/16/32"
    with s.raises(w.ErrorKind.INVALID_TOPIC, "nonsense"):
        w.shard_of("nonsense", 8)
    with s.raises(w.ErrorKind.INVALID_ARGUMENT):
        w.shard_of("/toychat/2/huilong/proto", 0)


def test_error_kinds_have_the_numbers_of_the_c_abi():
    assert w.ErrorKind.INTERNAL.value == 1
    assert w.ErrorKind.INVALID_HASH.value == 101
    assert w.ErrorKind.CURSOR_NOT_FOUND.value == 303
    assert w.ErrorKind.OTHER_CLUSTER.value == 607
    error = w.WakuError(w.ErrorKind.DIAL, "refused")
    assert (str(error), error.kind, error.message) == ("DIAL: refused", w.ErrorKind.DIAL, "refused")


def test_payloads_stay_out_of_what_is_printed():
    printed = repr(w.TopicMessage("/t", w.Message(b"secret", "/c", 1, meta=b"hidden")))
    assert "secret" not in printed and "hidden" not in printed and "6 bytes" in printed


def test_version():
    assert w.version().count(".") == 2
