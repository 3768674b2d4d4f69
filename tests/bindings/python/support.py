"""What the tests share, and where the package and its library are found.

The tests use plain asserts and no fixture but ``tmp_path``, so that ``run.py`` runs them on a
machine without pytest. PYTHONPATH and WAKUSTORE_LIBRARY may say where package and library are;
without them it is this tree and its latest build.
"""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def _library():
    """The latest build's directory."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    names = ("libwakustore.so", "libwakustore.dylib", "wakustore.dll")
    built = [target / p / n for p in ("release", "debug") for n in names]
    built = [b for b in built if b.exists()]
    if not built:
        raise SystemExit(f"there is no library in {target}: run cargo build")
    return max(built, key=lambda b: b.stat().st_mtime)


def _prepare():
    source = str(ROOT / "bindings" / "python" / "src")
    if source not in sys.path:
        sys.path.insert(0, source)
    os.environ.setdefault("WAKUSTORE_LIBRARY", str(_library()))
    # For the processes that tests start.
    paths = [source] + [p for p in [os.environ.get("PYTHONPATH")] if p]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)


_prepare()

import wakustore as w  # noqa: E402

TOPIC = "/waku/2/rs/1/0"
CONTENT = "/app/1/chat/proto"


def message(text, timestamp=None, **more):
    """A message with this payload, of now where no time is told."""
    payload = text if isinstance(text, bytes) else str(text).encode()
    content_topic = more.pop("content_topic", CONTENT)
    return w.Message(payload, content_topic, timestamp or time.time_ns(), **more)


def numbered(count, topic=TOPIC):
    """Messages that are a microsecond apart, the last of them of now."""
    now = time.time_ns()
    return [
        w.TopicMessage(topic, message(i, now - (count - 1 - i) * 1000)) for i in range(count)
    ]


class raises:
    """``with raises(kind) as caught:`` a WakuError of this kind; ``caught.error`` is it."""

    def __init__(self, kind, *words):
        self.kind = kind
        self.words = words
        self.error = None

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        assert error is not None, f"nothing was raised, and not {self.kind.name}"
        if not isinstance(error, w.WakuError):
            return False
        assert error.kind is self.kind, f"{error!r} is not {self.kind.name}"
        for word in self.words:
            assert word in error.message, f"{word!r} is not in {error.message!r}"
        self.error = error
        return True
