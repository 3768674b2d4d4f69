#!/usr/bin/env python3
"""Runs the tests of this directory without pytest: ``run.py [word…]``, where a word picks the
tests with it in their name."""

import importlib
import inspect
import pathlib
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent


def main(words):
    sys.path.insert(0, str(HERE))
    failed = ran = 0
    for path in sorted(HERE.glob("test_*.py")):
        module = importlib.import_module(path.stem)
        for name, test in sorted(vars(module).items()):
            full = f"{path.stem}::{name}"
            if not name.startswith("test_") or not all(w in full for w in words):
                continue
            ran += 1
            began = time.monotonic()
            try:
                if "tmp_path" in inspect.signature(test).parameters:
                    with tempfile.TemporaryDirectory() as directory:
                        test(tmp_path=pathlib.Path(directory))
                else:
                    test()
            except BaseException:
                if isinstance(sys.exc_info()[1], KeyboardInterrupt):
                    raise
                failed += 1
                print(f"FAILED {full}")
                traceback.print_exc()
            else:
                print(f"ok     {full} ({time.monotonic() - began:.2f} s)", flush=True)
    print(f"{ran} tests, {failed} failed")
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
