"""The child of a fork: what the parent had open is dead there, cleanly."""

import os
import signal
import subprocess
import sys

import support as s

RUNS = min(int(os.environ.get("WAKUSTORE_EXIT_RUNS", "10")), 10)

CHILD = """
import asyncio, os, sys, support, wakustore as w

async def ask(archive):
    return (await archive.stats()).messages

def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        work()
        sys.exit(0)
    status = os.waitpid(child, 0)[1]
    print("child:", os.waitstatus_to_exitcode(status))

def use_the_parents():
    try:
        asyncio.run(ask(archive))
    except w.WakuError as error:
        print(error.kind.name)
    try:
        asyncio.run(open_one())
    except w.WakuError as error:
        print(error.kind.name)

async def open_one():
    async with w.open_archive(":memory:") as one:
        await one.put(support.TOPIC, support.message("x"))
        return await ask(one)

# Loaded and not used: works in the child.
in_child(lambda: print("first use in the child:", asyncio.run(open_one())))

async def opened():
    return await w.open_archive(":memory:")

archive = asyncio.run(opened())
in_child(use_the_parents)
print("parent:", asyncio.run(ask(archive)))
w.shutdown()
# Shut down: works in the child again.
in_child(lambda: print("again in the child:", asyncio.run(open_one())))
"""


# A child that is the first to use the library exits as any process that uses it: calls are in
# flight, and the parent's loop is one that the child must not wait for.
EXITING_CHILD = """
import asyncio, atexit, glob, os, signal, sys, threading, time

@atexit.register
def last():
    # Registered before the library's own handler, so called after it: its workers are joined.
    names = [open(name).read() for name in glob.glob("/proc/self/task/*/comm")]
    print("workers at the end:", sum(name.startswith("wks-worker") for name in names))

import wakustore as w, support
from wakustore import _lifetime

async def main():
    archive = await w.open_archive(":memory:")
    await archive.put_many(support.numbered(100))
    calls = [asyncio.ensure_future(archive.query(w.Query(limit=100))) for _ in range(200)]
    await asyncio.sleep(0)
    print("in flight:", sum(not c.done() for c in calls))
    sys.exit(3)

class Elsewhere:
    def is_running(self):
        return True

def hold():
    with _lifetime._changed:
        held.set()
        over.wait()

# As where another thread of the parent has a call in flight, and holds the lock.
_lifetime._calls[object()] = Elsewhere()
held, over = threading.Event(), threading.Event()
holder = threading.Thread(target=hold)
holder.start()
held.wait()
began = time.monotonic()
child = os.fork()
if child == 0:
    signal.alarm(20)
    asyncio.run(main())
print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
holder.join()
_lifetime._calls.clear()
assert time.monotonic() - began < _lifetime._HAND_BACK_SECONDS, "the child waited for a loop"
"""

# The two surfaces of one library share a runtime: what one did in the parent, the other knows in
# the child. In each, `used` is what is used before the fork.
SURFACES = """
import asyncio, ctypes, os, signal, sys, support, wakustore as w

library = ctypes.CDLL(os.environ["WAKUSTORE_LIBRARY"])
Handle = type("Handle", (ctypes.Structure,), {"_fields_": [("id", ctypes.c_uint64)]})
library.wks_status_name.restype = ctypes.c_char_p
library.wks_archive_options_free.restype = library.wks_archive_free.restype = None

def in_c():
    options, archive, error = Handle(), Handle(), Handle()
    name = lambda status: library.wks_status_name(status).decode()
    status = library.wks_archive_options_new(ctypes.byref(options), ctypes.byref(error))
    if status:
        return name(status)
    status = library.wks_archive_open(options, ctypes.byref(archive), ctypes.byref(error))
    library.wks_archive_options_free(options)
    opened.append(archive)
    return name(status)

def in_uniffi():
    async def opening():
        opened.append(await w.open_archive(":memory:"))
    try:
        asyncio.run(opening())
    except w.WakuError as error:
        return error.kind.name
    return "opened"

def in_child(work):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        print("child:", work())
        sys.exit(0)
    print("exit:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

opened = []
surfaces = {"c": in_c, "uniffi": in_uniffi}
used = surfaces.pop(sys.argv[1])
(other,) = surfaces.values()
in_child(used)
in_child(other)
print("parent:", used())
in_child(other)
in_child(used)
print("parent:", other())
in_child(other)
"""


def _output(script, *arguments):
    here = os.path.dirname(os.path.abspath(s.__file__))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *arguments],
        cwd=here,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output = process.communicate(timeout=60)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert process.returncode == 0, output
    return output.splitlines()


def test_a_child_that_is_the_first_to_use_it_exits_in_order():
    if not hasattr(os, "fork"):
        return
    for _ in range(RUNS):
        assert _output(EXITING_CHILD) == [
            "in flight: 200",
            "workers at the end: 0",
            "child: 3",
            "workers at the end: 0",
        ]


def test_what_one_surface_did_the_other_knows_in_the_child():
    if not hasattr(os, "fork") or "WAKUSTORE_LIBRARY" not in os.environ:
        return
    names = {"c": ("WKS_OK", "WKS_ERR_FORKED"), "uniffi": ("opened", "FORKED")}
    for used, other in ("c", "uniffi"), ("uniffi", "c"):
        assert _output(SURFACES, used) == [
            f"child: {names[used][0]}",
            "exit: 0",
            f"child: {names[other][0]}",
            "exit: 0",
            f"parent: {names[used][0]}",
            f"child: {names[other][1]}",
            "exit: 0",
            f"child: {names[used][1]}",
            "exit: 0",
            f"parent: {names[other][0]}",
            f"child: {names[other][1]}",
            "exit: 0",
        ]


def test_forks():
    if not hasattr(os, "fork"):
        return
    assert _output(CHILD) == [
        "first use in the child: 1",
        "child: 0",
        "FORKED",
        "FORKED",
        "child: 0",
        "parent: 0",
        "again in the child: 1",
        "child: 0",
    ]
