"""Where the shared library is, and how it is loaded.

``WAKUSTORE_LIBRARY`` names the library's file, or the directory it is in. Without it the library
lies beside this module, where the wheel (and ``make``) puts it.
"""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["find", "load"]

ENVIRONMENT = "WAKUSTORE_LIBRARY"


def _name() -> str:
    if sys.platform == "darwin":
        return "libwakustore.dylib"
    if sys.platform.startswith("win"):
        return "wakustore.dll"
    return "libwakustore.so"


def find() -> str:
    """The path of the shared library. Raises ImportError where there is none."""
    told = os.environ.get(ENVIRONMENT)
    place = told if told else os.path.dirname(os.path.abspath(__file__))
    path = os.path.join(place, _name()) if os.path.isdir(place) else place
    if os.path.isfile(path):
        return path
    told_by = f"{ENVIRONMENT} says" if told else f"{ENVIRONMENT} can say where else it is"
    raise ImportError(f"there is no wakustore library at {path} ({told_by})")


def load() -> ctypes.CDLL:
    """Loads the shared library. Raises ImportError where it cannot be loaded."""
    path = find()
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise ImportError(f"the wakustore library cannot be loaded: {error}") from error
