#!/usr/bin/env python3
"""The C ABI from plain ctypes, without the wakustore package: what any language with a foreign
function interface can do. See include/wakustore.h.

    WAKUSTORE_LIBRARY=target/release python3 examples/python/ctypes_quickstart.py

Handles are structs around a 64-bit number. Every call that can fail returns a status, 0 for
success, and fills an error object. What blocks has a twin that ends in _async and gives an op, to
be waited for, or announced by a queue with a file descriptor. Results belong to the library until
they are freed.
"""

import atexit
import contextlib
import ctypes as c
import os
import select
import sys
import tempfile
import time

TOPIC = b"/waku/2/rs/1/0"
CONTENT_TOPIC = b"/quickstart/1/greetings/proto"


# --- The structs of the header that are used here ------------------------------------------------


class Handle(c.Structure):
    """A handle of any kind. (The header has a type for each, so that C tells them apart.)"""

    _fields_ = [("id", c.c_uint64)]


class Bytes(c.Structure):
    """Borrowed bytes."""

    _fields_ = [("ptr", c.c_void_p), ("len", c.c_size_t)]

    def copy(self):
        return c.string_at(self.ptr, self.len) if self.len else b""


def lend(data):
    """Lends the bytes of an object, which has to outlive the call."""
    return Bytes(c.cast(c.c_char_p(data), c.c_void_p), len(data))


class Sized(c.Structure):
    """A struct that tells the library how large the caller's header has it."""

    def __init__(self, **values):
        super().__init__(c.sizeof(type(self)), **values)


class Message(Sized):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("pubsub_topic", Bytes),
        ("content_topic", Bytes),
        ("payload", Bytes),
        ("meta", Bytes),
        ("rate_limit_proof", Bytes),
        ("timestamp", c.c_int64),
        ("version", c.c_uint32),
        ("has_timestamp", c.c_uint8),
        ("has_version", c.c_uint8),
        ("has_meta", c.c_uint8),
        ("has_rate_limit_proof", c.c_uint8),
        ("has_ephemeral", c.c_uint8),
        ("ephemeral", c.c_uint8),
    ]


class Entry(Sized):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("hash", c.c_void_p),
        ("pubsub_topic", Bytes),
        ("content_topic", Bytes),
        ("payload", Bytes),
        ("meta", Bytes),
        ("rate_limit_proof", Bytes),
        ("timestamp", c.c_int64),
        ("version", c.c_uint32),
        ("has_data", c.c_uint8),
        ("has_timestamp", c.c_uint8),
        ("has_version", c.c_uint8),
        ("has_meta", c.c_uint8),
        ("has_rate_limit_proof", c.c_uint8),
        ("has_ephemeral", c.c_uint8),
        ("ephemeral", c.c_uint8),
    ]


class Completion(Sized):
    _fields_ = [("struct_size", c.c_size_t), ("op", Handle), ("user", c.c_void_p)]


class SyncOptions(Sized):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("window_start", c.c_int64),
        ("window_end", c.c_int64),
        ("has_window", c.c_uint8),
        ("direction", c.c_int32),
        ("protocol", c.c_int32),
        ("dry_run", c.c_uint8),
    ]


class SyncFigures(Sized):
    _fields_ = [
        ("struct_size", c.c_size_t),
        ("peer_id", Bytes),
        ("reason", Bytes),
        ("status", c.c_int32),
        ("initiator", c.c_uint8),
        ("window_start", c.c_int64),
        ("window_end", c.c_int64),
        *[
            (name, c.c_uint64)
            for name in (
                "duration_ns",
                "missing",
                "surplus",
                "received",
                "sent",
                "dropped",
                "unsendable",
                "outstanding",
                "frames",
                "reconciliation_bytes_out",
                "reconciliation_bytes_in",
                "transfer_bytes_out",
                "transfer_bytes_in",
                "session",
                "ranges_settled",
                "ids_compared",
                "refused",
            )
        ],
        ("protocol", c.c_int32),
        ("begun", c.c_int32),
        ("agreement", c.c_int32),
        ("has_difference", c.c_uint8),
    ]


# --- The library ---------------------------------------------------------------------------------


class WakuError(Exception):
    """A status that is not 0, with what the error object says."""

    def __init__(self, status, name, message):
        super().__init__(f"{name} ({status}): {message}")
        self.status = status


class Library:
    """``library.archive_open(…)`` calls ``wks_archive_open`` and raises where it fails."""

    def __init__(self, path):
        self._c = c.CDLL(path)
        self._c.wks_status_name.restype = c.c_char_p
        self._c.wks_version.restype = c.c_char_p
        self._c.wks_error_message.restype = c.c_char_p

    def __getattr__(self, name):
        function = getattr(self._c, f"wks_{name}")

        def call(*args):
            error = Handle()
            status = function(*args, c.byref(error))
            if status != 0:
                message = self._c.wks_error_message(error).decode()
                self._c.wks_error_free(error)
                raise WakuError(status, self._c.wks_status_name(status).decode(), message)

        return call

    def version(self):
        return self._c.wks_version().decode()

    def free(self, kind, handle):
        getattr(self._c, f"wks_{kind}_free")(handle)

    @contextlib.contextmanager
    def made(self, call, *args, kind=None):
        """``with library.made("query_new") as query``: what a call gives, freed at the end."""
        handle = Handle()
        getattr(self, call)(*args, c.byref(handle))
        try:
            yield handle
        finally:
            self.free(kind or call.rsplit("_", 1)[0], handle)


def load():
    """The library where WAKUSTORE_LIBRARY says: a file, or the directory it is in."""
    place = os.environ.get("WAKUSTORE_LIBRARY", "target/release")
    if os.path.isdir(place):
        name = "libwakustore.dylib" if sys.platform == "darwin" else "libwakustore.so"
        place = os.path.join(place, name)
    library = Library(os.path.abspath(place))
    # Before the interpreter goes, the library's threads must have gone.
    atexit.register(library.shutdown, c.c_uint64(10_000))
    return library


# --- What is done with it ------------------------------------------------------------------------


def put(library, archive, texts):
    for text in texts:
        message = Message(
            pubsub_topic=lend(TOPIC),
            content_topic=lend(CONTENT_TOPIC),
            payload=lend(text),
            timestamp=time.time_ns(),
            has_timestamp=1,
        )
        # Without a place for the outcomes a refusal is an error.
        library.archive_put(archive, c.byref(message), c.c_size_t(1), 0, None)


def read(library, page):
    """The payloads of a page; the slices are lent until the page is freed, so they are copied."""
    count = c.c_size_t()
    library.page_count(page, c.byref(count))
    payloads = []
    for i in range(count.value):
        entry = Entry()
        library.page_entry(page, c.c_size_t(i), c.byref(entry))
        payloads.append(entry.payload.copy().decode())
    return payloads


def walk(library, history):
    """All pages of a history; the null handle is the end."""
    while True:
        with library.made("history_next", history, kind="page") as page:
            if page.id == 0:
                return
            yield read(library, page)


def query_with_a_queue(library, archive, query):
    """An op, announced by a queue whose descriptor any event loop can watch."""
    with library.made("queue_new") as queue:
        descriptor = c.c_int32()
        library.queue_fd(queue, c.byref(descriptor))
        with library.made("archive_query_async", archive, query, kind="op") as op:
            library.op_set_queue(op, queue, c.c_void_p(42))
            if not select.select([descriptor.value], [], [], 10)[0]:
                raise TimeoutError("the query did not end within 10 s")
            completion, count = Completion(), c.c_size_t()
            library.queue_poll(queue, c.byref(completion), c.c_size_t(1), c.byref(count))
            assert (count.value, completion.user, completion.op.id) == (1, 42, op.id)
            with library.made("op_take_page", op, kind="page") as page:
                return read(library, page)


@contextlib.contextmanager
def opened(library, path):
    path = os.fsencode(path)
    with library.made("archive_options_new") as options:
        library.archive_options_set_path(options, lend(path))
        with library.made("archive_open", options, kind="archive") as archive:
            yield archive


@contextlib.contextmanager
def started(library, archive, listen=None):
    with library.made("node_options_new") as options:
        if listen is not None:
            library.node_options_add_listen(options, lend(listen))
        with library.made("node_start", options, archive, kind="node") as node:
            yield node
            library.node_stop(node)


def address_of(library, node):
    with library.made("node_addresses", node, kind="strings") as addresses:
        text = Bytes()
        library.strings_get(addresses, c.c_size_t(0), c.byref(text))
        return text.copy()


def main(directory):
    library = load()
    print("wakustore", library.version(), "through ctypes")
    with opened(library, os.path.join(directory, "first.db")) as archive:
        put(library, archive, [b"good morning", b"good day", b"good night"])
        with library.made("query_new") as query:
            library.query_add_content_topic(query, lend(CONTENT_TOPIC))
            print("all of them, by way of a queue:", query_with_a_queue(library, archive, query))
            try:
                library.query_set_cursor(query, lend(b"too short"))
            except WakuError as error:
                print("refused:", error)
            library.query_set_limit(query, c.c_size_t(2))
            with started(library, archive, b"/ip4/127.0.0.1/tcp/0") as node:
                visit(library, address_of(library, node), query, directory)


def visit(library, address, query, directory):
    """A second node reads the first one's history, and syncs with it."""
    with opened(library, os.path.join(directory, "second.db")) as archive:
        with started(library, archive) as node:
            with library.made("node_history", node, lend(address), query, kind="history") as pages:
                for payloads in walk(library, pages):
                    print("a page of the peer's history:", payloads)
            now = time.time_ns()
            options = SyncOptions(window_start=now - 60 * 10**9, window_end=now, has_window=1)
            with library.made(
                "node_sync", node, lend(address), c.byref(options), kind="report"
            ) as report:
                figures = SyncFigures()
                library.report_figures(report, c.byref(figures))
                print(f"the sync found {figures.missing} missing and brought {figures.received}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(scratch)
