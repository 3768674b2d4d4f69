"""The child of a fork: what the parent had open is dead there, cleanly."""

import os
import signal
import subprocess
import sys

import support as s

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


def test_forks():
    if not hasattr(os, "fork"):
        return
    here = os.path.dirname(os.path.abspath(s.__file__))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CHILD],
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
    assert output.splitlines() == [
        "first use in the child: 1",
        "child: 0",
        "FORKED",
        "FORKED",
        "child: 0",
        "parent: 0",
        "again in the child: 1",
        "child: 0",
    ], output
    assert process.returncode == 0
