"""``python -m wakustore``: what an operator does with an archive, from a shell.

What is asked for goes to standard output, all else to standard error. It exits with 0 where all is
well, 1 where it failed, 2 for arguments that cannot be, 3 where a check found something or a salvage
lost something, 130 where it was interrupted. An archive is a file or a ``postgres://`` URL; what only
reads opens a file read-only.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import datetime, timedelta, timezone
from enum import Enum
from typing import Any, Iterator, Optional, Sequence

from . import (
    Archive,
    Direction,
    Entry,
    Finding,
    MoveReport,
    Progress,
    Query,
    Starting,
    TopicKind,
    WakuError,
    open_archive,
    restore_archive,
    salvage_archive,
    verify_archive,
    version,
)

FOUND = 3
#: Messages of one step of an import or an export; the position is kept after each.
STEP = 50_000
#: Findings and refused rows that are shown without --json.
SHOWN = 20

Arguments = argparse.Namespace


class Refused(Exception):
    """Something that the arguments ask for cannot be."""


def is_url(name: str) -> bool:
    """Whether an archive is on a server."""
    return name.startswith(("postgres://", "postgresql://"))


# What is read from the arguments.


def message_hash(text: str) -> bytes:
    """A hash, of 64 hex digits."""
    digits = text[2:] if text.startswith("0x") else text
    try:
        value = bytes.fromhex(digits)
    except ValueError:
        value = b""
    if len(value) != 32 or len(digits) != 64:
        raise argparse.ArgumentTypeError(f"{text!r} is not a hash of 64 hex digits")
    return value


def timestamp(text: str) -> int:
    """A time: Unix nanoseconds, or ISO 8601 (UTC where it names no zone)."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        # Before 3.11 a final Z is not understood.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text.endswith("Z") else text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither Unix nanoseconds nor a time as 2026-01-31T12:00:00Z"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return since // timedelta(microseconds=1) * 1000


def secret(args: Arguments, prefix: str = "") -> dict[str, Any]:
    """The key or the passphrase of the file that the arguments name, under the library's names."""
    out: dict[str, Any] = {}
    key_file = getattr(args, f"{prefix}key_file", None)
    words_file = getattr(args, f"{prefix}passphrase_file", None)
    if key_file is not None:
        with open(key_file, "rb") as file:
            key = file.read(4096)
        if len(key) != 32:
            try:
                key = bytes.fromhex(key.decode("ascii").strip())
            except ValueError:
                key = b""
        if len(key) != 32:
            raise Refused(f"{key_file} holds neither 32 bytes nor 64 hex digits")
        out[f"{prefix}key"] = key
    if words_file is not None:
        with open(words_file, encoding="utf-8") as text:
            out[f"{prefix}passphrase"] = text.read(8192).rstrip("\r\n")
    return out


def opened(args: Arguments, *, writing: bool = False, creating: bool = False) -> Starting[Archive]:
    """The archive that the arguments name."""
    if is_url(args.archive):
        return open_archive(args.archive)
    if not creating and not os.path.exists(args.archive):
        raise Refused(f"there is no {args.archive}")
    return open_archive(args.archive, read_only=not writing, **secret(args))


def query_of(args: Arguments, **more: Any) -> Query:
    """What the arguments' filter matches."""
    return Query(
        content_topics=args.content_topic,
        pubsub_topic=args.pubsub_topic,
        start=args.start,
        end=args.end,
        hashes=getattr(args, "hash", ()),
        **more,
    )


# What is shown.


def note(text: str) -> None:
    """Tells the operator something that is not the answer."""
    print(text, file=sys.stderr)


def moment_of(nanos: Optional[int]) -> str:
    """A timestamp for people."""
    if nanos is None:
        return "-"
    try:
        second = datetime(1970, 1, 1) + timedelta(seconds=nanos // 10**9)
    except OverflowError:
        return str(nanos)
    return f"{second.isoformat()}.{nanos % 10**9:09}Z"


def plain(value: Any) -> Any:
    """For JSON: enums by name, bytes in hex."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, Enum):
        return value.name
    return value.hex() if isinstance(value, bytes) else value


def show(args: Arguments, figures: dict[str, Any]) -> None:
    """Figures, one a line, or as one object of JSON."""
    if args.json:
        print(json.dumps(plain(figures)))
        return
    for name, value in figures.items():
        if not isinstance(value, (list, tuple)):
            print(f"{name.replace('_', ' ')}: {plain(value)}")


def show_findings(args: Arguments, findings: Sequence[Finding], count: int) -> None:
    """The first of what does not fit; all that is listed is in the JSON."""
    if args.json:
        return
    for finding in findings[:SHOWN]:
        name = "" if finding.hash is None else f" {finding.hash.hex()}"
        note(f"{finding.kind.name}{name}: {finding.detail}")
    if count > SHOWN:
        note(f"… and {count - min(SHOWN, len(findings))} more")


@contextlib.contextmanager
def telling(what: str) -> Iterator[Optional[Progress]]:
    """How far something is, on one line of a terminal; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    began = time.monotonic()

    def tell(done: int, total: int) -> None:
        part = f"{done:,} of {total:,} ({100 * done // total} %)" if total else f"{done:,}"
        seconds = int(time.monotonic() - began)
        print(f"\r\033[K{what}: {part}, {seconds} s", end="", file=sys.stderr, flush=True)

    try:
        yield tell
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)


# The commands.


async def stats(args: Arguments) -> int:
    """How much there is, and of which time; by topic with --topics."""
    async with opened(args) as archive:
        figures = asdict(await archive.stats())
        topics: dict[str, list[Any]] = {}
        for kind in (TopicKind.PUBSUB, TopicKind.CONTENT) if args.topics else ():
            found = topics.setdefault(kind.name.lower(), [])
            page = await archive.topic_stats(kind)
            while page:
                found += [t for t in page if t.messages]
                page = await archive.topic_stats(kind, after=page[-1].name)
    if args.json:
        if args.topics:
            figures["topics"] = {k: [asdict(t) for t in found] for k, found in topics.items()}
        show(args, figures)
        return 0
    for name in ("oldest", "newest"):
        figures[name] = moment_of(figures[name])
    show(args, figures)
    for kind_name, found in topics.items():
        print(f"\n{kind_name} topics: {len(found)}")
        for t in found:
            print(f"{t.messages:>12,} {t.bytes:>15,} {moment_of(t.newest)} {t.name}")
    return 0


async def backup(args: Arguments) -> int:
    """Copies one moment of the archive to a new file, also while it is in use."""
    async with opened(args) as archive:
        with telling("pages") as progress:
            report = await archive.backup(args.to, replace=args.replace, progress=progress)
    show(args, asdict(report))
    return 0


async def restore(args: Arguments) -> int:
    """Makes an archive of a backup, after all of it was checked."""
    with telling("pages") as progress:
        report = await restore_archive(
            args.backup, args.archive, replace=args.replace, progress=progress, **secret(args)
        )
    show(args, asdict(report))
    return 0


async def verify(args: Arguments) -> int:
    """Recomputes every hash and checks the file, also one that cannot be opened."""
    with telling("messages") as progress:
        if is_url(args.archive):
            async with opened(args) as archive:
                report = await archive.verify(progress=progress)
        elif not os.path.exists(args.archive):
            raise Refused(f"there is no {args.archive}")
        else:
            report = await verify_archive(args.archive, progress=progress, **secret(args))
    show(args, asdict(report))
    show_findings(args, report.findings, report.count)
    return 0 if report.sound else FOUND


async def salvage(args: Arguments) -> int:
    """Reads what can be read of a damaged file into a new archive."""
    with telling("messages") as progress:
        report = await salvage_archive(
            args.archive, args.to, progress=progress, **secret(args), **secret(args, "new_")
        )
    show(args, asdict(report))
    show_findings(args, report.lost, report.count)
    return FOUND if report.count else 0


def agreed(args: Arguments, what: str) -> bool:
    """Whether the operator means it."""
    if args.yes:
        return True
    if not sys.stdin.isatty():
        raise Refused("nobody can be asked here: say --yes")
    print(f"Take down {what} of {args.archive}, for good? [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def delete(args: Arguments) -> int:
    """Takes messages down: they are removed, and these never come in again."""
    filtered = args.content_topic or args.pubsub_topic is not None
    filtered = filtered or args.start is not None or args.end is not None
    if bool(args.hash) == bool(filtered):
        raise Refused("say which messages: by --hash, or by topics and times, not both")
    if not is_url(args.archive) and not os.path.exists(args.archive):
        raise Refused(f"there is no {args.archive}")
    what = f"{len(args.hash)} messages" if args.hash else "all that matches"
    if not agreed(args, what):
        note("nothing was done")
        return 1
    async with opened(args, writing=True) as archive:
        if args.hash:
            removed = await archive.take_down(args.hash)
        else:
            with telling("messages") as progress:
                removed = await archive.take_down_matching(query_of(args), progress=progress)
    show(args, {"removed": removed})
    return 0


def kept_position(path: Optional[str]) -> Optional[str]:
    """Where an earlier run was, if there was one."""
    if path is None or not os.path.exists(path):
        return None
    with open(path, encoding="utf-8") as file:
        return file.read().strip() or None


def keep_position(path: Optional[str], position: Optional[str]) -> None:
    """Whole or not at all: a power loss must not leave half of it."""
    if path is None or position is None:
        return
    part = f"{path}.part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(position)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


async def moved(args: Arguments, archive: Archive, query: Optional[Query]) -> int:
    """An import, or an export where there is a query, step by step."""
    names = ("read", "written", "duplicates", "refused", "rehashed", "unhashed", "without_proof")
    sums = dict.fromkeys(names, 0)
    refused: list[Any] = []
    position = kept_position(args.position_file)
    if position is not None:
        note("going on where an earlier run was")
    with telling("messages") as progress:
        complete = False
        while not complete:
            before = sums["read"]

            def tell(done: int, _total: int) -> None:
                if progress is not None:
                    progress(before + done, 0)

            given: dict[str, Any] = {"position": position, "limit": STEP, "progress": progress and tell}
            report: MoveReport
            if query is None:
                report = await archive.import_nwaku(args.nwaku, **given)
            else:
                report = await archive.export_nwaku(args.nwaku, query, **given)
            for name in names:
                sums[name] += getattr(report, name)
            refused += report.refused_rows[: 1000 - len(refused)]
            position, complete = report.position or position, report.complete
            keep_position(args.position_file, position)
    figures: dict[str, Any] = dict(sums)
    if query is None:
        del figures["without_proof"]
        rows = [{"row": r.row, "reason": r.refusal and r.refusal.message} for r in refused]
        figures["refused_rows"] = rows
        if not args.json:
            for row in rows[:SHOWN]:
                note(f"refused {row['row']}: {row['reason']}")
    else:
        del figures["rehashed"], figures["unhashed"]
    show(args, figures)
    return 0


async def import_nwaku(args: Arguments) -> int:
    """Imports the archive of a nwaku or go-waku."""
    if not is_url(args.nwaku) and not os.path.exists(args.nwaku):
        raise Refused(f"there is no {args.nwaku}")
    async with opened(args, writing=True, creating=True) as archive:
        return await moved(args, archive, None)


async def export_nwaku(args: Arguments) -> int:
    """Writes an archive that a nwaku goes on with."""
    async with opened(args) as archive:
        return await moved(args, archive, query_of(args))


def line_of(entry: Entry) -> str:
    """A message as a line of JSON; bytes are in base64, but for the hash."""
    out: dict[str, Any] = {"hash": entry.hash.hex()}
    m = entry.message
    if m is not None:
        out["pubsub_topic"] = entry.pubsub_topic
        out["content_topic"] = m.content_topic
        out["timestamp"] = m.timestamp
        out["payload"] = base64.b64encode(m.payload).decode()
        for name in ("meta", "rate_limit_proof"):
            value = getattr(m, name)
            if value is not None:
                out[name] = base64.b64encode(value).decode()
        for name in ("version", "ephemeral"):
            if getattr(m, name) is not None:
                out[name] = getattr(m, name)
    return json.dumps(out)


async def query(args: Arguments) -> int:
    """Messages as lines of JSON: one page, or with --all every page."""
    wanted = query_of(
        args,
        cursor=args.cursor,
        direction=Direction.BACKWARD if args.backward else Direction.FORWARD,
        limit=args.limit,
        include_data=not args.hashes_only,
    )
    async with opened(args) as archive:
        if args.all:
            async for page in archive.history(wanted):
                for entry in reversed(page.entries) if args.backward else page.entries:
                    print(line_of(entry))
            return 0
        page = await archive.query(wanted)
        for entry in reversed(page.entries) if args.backward else page.entries:
            print(line_of(entry))
        if page.cursor is not None:
            note(f"more: --cursor {page.cursor.hex()}")
    return 0


def parser() -> argparse.ArgumentParser:
    """What can be said."""
    out = argparse.ArgumentParser(
        prog="python -m wakustore", description="What an operator does with an archive."
    )
    out.add_argument("--version", action="version", version=version())
    commands = out.add_subparsers(dest="command", required=True, metavar="command")

    def command(name: str, run: Any, archive: str = "the archive: a file, or postgres://…") -> Any:
        one = commands.add_parser(name, help=run.__doc__, description=run.__doc__)
        one.set_defaults(run=run)
        one.add_argument("archive", help=archive)
        one.add_argument("--json", action="store_true", help="answer with one object of JSON")
        keys = one.add_mutually_exclusive_group()
        keys.add_argument("--key-file", help="holds the key of an encrypted archive")
        keys.add_argument("--passphrase-file", help="holds the words its key is made of")
        return one

    def filters(one: Any) -> None:
        one.add_argument("--pubsub-topic", metavar="TOPIC")
        one.add_argument("--content-topic", metavar="TOPIC", action="append", default=[],
                         help="any of these, where it is said more than once")
        one.add_argument("--start", type=timestamp, metavar="TIME",
                         help="sent then or later: Unix nanoseconds, or ISO 8601")
        one.add_argument("--end", type=timestamp, metavar="TIME", help="sent before")

    def hashes(one: Any) -> None:
        one.add_argument("--hash", type=message_hash, action="append", default=[],
                         help="of 64 hex digits; may be said more than once")

    one = command("stats", stats)
    one.add_argument("--topics", action="store_true", help="also by topic")
    one = command("backup", backup)
    one.add_argument("to", help="the file to write")
    one.add_argument("--replace", action="store_true", help="replace a file that is there")
    one = command("restore", restore, "the archive to make: a file")
    one.add_argument("backup", help="the backup")
    one.add_argument("--replace", action="store_true", help="replace an archive that is there")
    command("verify", verify)
    one = command("salvage", salvage, "the damaged file, which is only read")
    one.add_argument("to", help="the archive to make")
    keys = one.add_mutually_exclusive_group()
    keys.add_argument("--new-key-file", help="holds the key of the new archive")
    keys.add_argument("--new-passphrase-file", help="holds the words its key is made of")
    one = command("delete", delete)
    filters(one)
    hashes(one)
    one.add_argument("--yes", action="store_true", help="do not ask")
    for name, run in (("import-nwaku", import_nwaku), ("export-nwaku", export_nwaku)):
        one = command(name, run)
        one.add_argument("nwaku", help="nwaku's archive: an SQLite file, or postgres://…")
        one.add_argument("--position-file", metavar="FILE",
                         help="keeps how far it has come; said again, it goes on there")
    filters(one)
    one = command("query", query)
    filters(one)
    hashes(one)
    one.add_argument("--cursor", type=message_hash, help="go on after this message")
    one.add_argument("--backward", action="store_true", help="newest first")
    one.add_argument("--limit", type=int, default=20, help="messages of a page, 1 to 100 (20)")
    one.add_argument("--all", action="store_true", help="every page, not one")
    one.add_argument("--hashes-only", action="store_true", help="no messages")
    return out


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command and gives its exit code."""
    args = parser().parse_args(arguments)
    try:
        code: int = asyncio.run(args.run(args))
        sys.stdout.flush()
        return code
    except Refused as error:
        note(f"wakustore: {error}")
        return 2
    except WakuError as error:
        note(f"wakustore: {error}")
        return 1
    except BrokenPipeError:
        # Whoever read the answer has seen enough. What is buffered must not be tried again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        note(f"wakustore: {error}")
        return 1
    except KeyboardInterrupt:
        note("wakustore: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
