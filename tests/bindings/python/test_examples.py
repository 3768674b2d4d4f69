"""The examples: they run, the demo notices what is wrong, and leaves nothing behind."""

import asyncio
import contextlib
import ctypes
import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import support as s

EXAMPLES = s.ROOT / "examples" / "python"
DEMO = [sys.executable, str(EXAMPLES / "demo.py")]


def _run(command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def test_quickstart():
    done = _run([sys.executable, str(EXAMPLES / "quickstart.py")])
    assert done.returncode == 0, done.stderr
    assert "brought 3 of them" in done.stdout and "messages here now: 3" in done.stdout
    assert done.stderr == ""


def test_the_c_abi_from_ctypes():
    done = _run([sys.executable, str(EXAMPLES / "ctypes_quickstart.py")])
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "all of them, by way of a queue: ['good morning', 'good day', 'good night']" in done.stdout
    assert "refused: WKS_ERR_INVALID_HASH (101)" in done.stdout
    assert "the sync found 3 missing and brought 3" in done.stdout


def _layout():
    """The structs of the C ABI by name: their sizes, and their fields with offset and size."""
    structs = {}
    for line in (s.ROOT / "include" / "wakustore.abi").read_text().splitlines():
        words = line.split()
        if words[:1] == ["struct"]:
            fields = {}
            structs[words[1]] = (int(words[3]), fields)
        elif words[1:2] == ["at"]:
            fields[words[0]] = (int(words[2]), int(words[4]))
    return structs


def _of_ctypes(kind):
    """The same of a struct of ctypes."""
    fields = {name: getattr(kind, name) for name, *_ in kind._fields_}
    places = {name: (field.offset, field.size) for name, field in fields.items()}
    return ctypes.sizeof(kind), places


def test_the_structs_of_ctypes_are_those_of_the_header():
    """An old struct would go on to work, without what was added to the library since."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        import ctypes_quickstart as example
    finally:
        sys.path.remove(str(EXAMPLES))
    layout = _layout()
    checked = set()
    for name, kind in vars(example).items():
        if not (isinstance(kind, type) and issubclass(kind, ctypes.Structure)):
            continue
        if kind is example.Sized:
            continue
        known = "archive" if name == "Handle" else re.sub("(?<!^)([A-Z])", r"_\1", name).lower()
        assert _of_ctypes(kind) == layout[f"wks_{known}"], name
        checked.add(name)
    assert {"Handle", "Bytes", "Message", "Entry", "SyncOptions", "SyncFigures"} <= checked


def test_readme(tmp_path):
    """The README's program, as it stands there, against a node in another process."""
    text = (s.ROOT / "README.md").read_text()
    program = text.split("```python\n", 1)[1].split("```", 1)[0]
    peer = subprocess.Popen(
        [sys.executable, str(s.ROOT / "tests/bindings/peer.py"), str(tmp_path), "150"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = peer.stdout.readline().strip()
        done = _run([sys.executable, "-c", program, address], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert [line.split()[3] for line in lines[:-1]] == ["100", "50"], lines
        assert int(lines[-1].split()[0]) > 0, lines
        peer.communicate(timeout=60)
        assert peer.returncode == 0
    finally:
        peer.kill()
        peer.wait()


def test_demo(tmp_path):
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = _run([*DEMO, "--messages", "600", "--seed", "7"], env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "All three files hold the same 600 messages." in done.stdout
    rows = {line[:28].strip(): line[28:].split() for line in done.stdout.splitlines()}
    first, second, third = rows["held at the start"]
    assert first == "600" and third == "0" and 0 < int(second) < 600
    assert rows["in the file, read back"] == ["600"] * 3
    assert list(tmp_path.iterdir()) == []


def test_the_demo_notices_a_difference(tmp_path):
    sys.path.insert(0, str(EXAMPLES))
    import demo

    hashes = demo.hashes

    async def one_less(path):
        held = await hashes(path)
        if path.name == "second.db":
            held.pop()
        return held

    told, wrong = io.StringIO(), io.StringIO()
    demo.hashes = one_less
    try:
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(wrong):
            same = asyncio.run(demo.demo(50, 1, tmp_path))
    finally:
        demo.hashes = hashes
        sys.path.remove(str(EXAMPLES))
    assert same is False
    assert "second node lacks 1 messages" in wrong.getvalue(), wrong.getvalue()
    assert "hold the same" not in told.getvalue()


def _begin(tmp_path):
    """A demo that is in the middle of its work, in a process group of its own."""
    process = subprocess.Popen(
        [*DEMO, "--messages", "50000"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("*/*.db"))) < 3:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return process


def _ended(process, tmp_path):
    """Waits for its end and looks for what it left behind."""
    try:
        told = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    assert list(tmp_path.iterdir()) == [], "the temporary directory was left behind"
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return told
    os.killpg(process.pid, signal.SIGKILL)
    raise AssertionError("a child was left behind")


def test_a_stopped_demo_leaves_nothing(tmp_path):
    for how in (signal.SIGINT, signal.SIGTERM):
        process = _begin(tmp_path)
        if how == signal.SIGINT:
            # As the terminal does it: to all of the group.
            os.killpg(process.pid, how)
        else:
            process.send_signal(how)
        _, errors = _ended(process, tmp_path)
        assert process.returncode == 130, errors
        assert errors.split() == ["stopped"], errors


def test_a_demo_whose_node_dies_fails(tmp_path):
    children = pathlib.Path("/proc/self/task")
    if not children.exists():
        return
    process = _begin(tmp_path)
    ids = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(ids) == 3
    os.kill(int(ids[0]), signal.SIGKILL)
    _, errors = _ended(process, tmp_path)
    assert process.returncode == 1 and "first node ended early" in errors, errors
