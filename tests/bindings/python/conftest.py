"""Finds the package and the library where nothing is installed: see support.py."""

import support  # noqa: F401
