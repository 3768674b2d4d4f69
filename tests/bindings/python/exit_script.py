"""Ends with sys.exit(3) while 200 queries and a put are in flight: see test_exit.py.

``exit_script.py MODE PATH``: the calls are in flight in the loop of the main thread (``main``),
in the running loop of a daemon thread (``thread``), or in a loop that nobody runs any more
(``loop``).
"""

import asyncio
import atexit
import sys
import threading

IN_FLIGHT = 200


@atexit.register
def before():
    """Registered before the library's own handler, so called after it."""
    try:
        asyncio.run(archive_of_main.stats())
    except wakustore.WakuError as error:
        print("before:", error.kind.name)
    else:
        print("before: the library went on")


import support  # noqa: E402
import wakustore  # noqa: E402

archive_of_main = None


@atexit.register
def after():
    """Registered after the library's own handler, so called before it: all still works."""
    held = asyncio.run(archive_of_main.stats()).messages
    print("after:", "in use" if held >= 100 else held)


async def begin(path):
    global archive_of_main
    archive_of_main = await wakustore.open_archive(path)
    await archive_of_main.put_many(support.numbered(100))
    tasks = [
        asyncio.ensure_future(archive_of_main.query(wakustore.Query(limit=100)))
        for _ in range(IN_FLIGHT)
    ]
    tasks.append(asyncio.ensure_future(archive_of_main.put_many(support.numbered(50))))
    await asyncio.sleep(0)
    return tasks


def quieten(loop):
    """What asyncio says of tasks that nobody awaits is not what is tested."""
    loop.set_exception_handler(lambda *_: None)


def report(tasks):
    """Buffered, for standard output is a pipe: it must come out all the same."""
    print("in flight:", sum(not t.done() for t in tasks[:IN_FLIGHT]))
    for i in range(1000):
        print("line", i)


def main():
    mode, path = sys.argv[1:]
    if mode == "main":

        async def run():
            report(await begin(path))
            sys.exit(3)

        asyncio.run(run())
    elif mode == "thread":
        begun = threading.Event()

        async def run():
            quieten(asyncio.get_running_loop())
            report(await begin(path))
            begun.set()
            # Goes on asking until the library is gone: calls are in flight throughout the exit.
            while True:
                try:
                    await archive_of_main.query(wakustore.Query(limit=100))
                except wakustore.WakuError:
                    return

        threading.Thread(target=asyncio.run, args=[run()], daemon=True).start()
        begun.wait()
        sys.exit(3)
    elif mode == "loop":
        loop = asyncio.new_event_loop()
        quieten(loop)
        tasks = loop.run_until_complete(begin(path))
        report(tasks)
        sys.exit(3)


main()
