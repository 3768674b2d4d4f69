"""Calls into the library, and its orderly end when the interpreter exits.

The library's threads call into Python to wake an event loop. An interpreter that finalizes under
such a call takes the process down, so at exit the library is shut down first, its threads are
joined, and what is still waited for is handed back (with ``ErrorKind.SHUTDOWN`` or
``CANCELLED``) to whatever loop runs in a daemon thread. From then on no call reaches the library.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import time
from datetime import timedelta
from typing import Awaitable, Callable, Iterator, Optional, TypeVar, Union

from . import _convert
from . import _generated as g
from ._types import ErrorKind, WakuError

__all__ = ["call", "seconds", "shutdown", "translated"]

T = TypeVar("T")

#: How long the exit waits, after the library has stopped, for loops in daemon threads.
_HAND_BACK_SECONDS = 5.0

_changed = threading.Condition()
_calls: dict[object, asyncio.AbstractEventLoop] = {}
_exiting = False


def _check() -> None:
    if _exiting:
        raise WakuError(ErrorKind.SHUTDOWN, "the interpreter is exiting")


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Around a synchronous call into the generated module."""
    _check()
    try:
        yield
    except (g.WakuError, g.InternalError) as error:
        raise _convert.error(error) from None


async def call(start: Callable[[], Awaitable[T]]) -> T:
    """Awaits an asynchronous call into the generated module."""
    token = object()
    with _changed:
        _check()
        _calls[token] = asyncio.get_running_loop()
    try:
        return await start()
    except (g.WakuError, g.InternalError) as error:
        raise _convert.error(error) from None
    finally:
        with _changed:
            # Not there in the child of a fork, where the call began in the parent.
            _calls.pop(token, None)
            if _exiting:
                _changed.notify_all()


def seconds(value: Union[float, timedelta, None]) -> Optional[timedelta]:
    """A duration that may be given in seconds."""
    if value is None or isinstance(value, timedelta):
        return value
    return timedelta(seconds=value)


def shutdown(timeout: Union[float, timedelta, None] = None) -> None:
    """Ends everything that runs in the library, in this process.

    Stops the nodes, cancels what is in flight, commits and closes the archives and joins the
    threads. Blocks until that is done (10 seconds for what has to end, unless told otherwise;
    archives are always committed). Objects made before it raise ``ErrorKind.SHUTDOWN`` from then
    on; new ones may be made. It is called at exit by itself.
    """
    with translated():
        g.shutdown(timeout=seconds(timeout))


def _handed_back() -> bool:
    return not any(loop.is_running() for loop in _calls.values())


def _at_exit() -> None:
    global _exiting
    with _changed:
        _exiting = True
    # In the child of a fork this leaves alone what is the parent's.
    g.shutdown_at_exit()
    deadline = time.monotonic() + _HAND_BACK_SECONDS
    with _changed:
        while not _handed_back() and time.monotonic() < deadline:
            # A loop that stops tells nobody: look again now and then.
            _changed.wait(0.05)


def _in_child() -> None:
    """A thread of the parent may have held the lock, and the loops of the calls run there."""
    global _changed
    _changed = threading.Condition()
    _calls.clear()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
