"""Files, folders and standard input as requests to send: bundles as they are, everything else by id."""

from __future__ import annotations

import bz2
import codecs
import gzip
import hashlib
import io
import re
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Literal, cast

import msgspec

STDIN = Path("-")
TRANSACTION = b'{"resourceType":"Bundle","type":"transaction","entry":['
Kind = Literal["line", "entry", "file"]
Found = tuple[int, bytes, str]
"""The number of a line or entry, what is there, and its `urn:` address if it has one."""
RESOURCES_A_REQUEST = 200
BYTES_A_REQUEST = 4 << 20
_NAMES = re.compile(r"\.(json|ndjson|jsonl)(\.gz|\.bz2)?$", re.IGNORECASE)
_LINES = re.compile(r"\.(ndjson|jsonl)(\.gz|\.bz2)?$", re.IGNORECASE)
# What others refer to by conditional references has to be there before them: Synthea's two files, and what sorts first.
_BEFORE_OTHERS = re.compile(r"^(0-|.*(hospital|practitioner|organi[sz]ation|location)information)", re.IGNORECASE)


class Unreadable(Exception):
    """A file that holds nothing that can be sent; the text says why."""


@dataclass(frozen=True, slots=True)
class Part:
    """One request: a Bundle as JSON, how many resources it carries, and which of the file's requests it is."""

    body: bytes
    count: int
    number: int
    entire: bool
    """It is a Bundle of the file as it was; otherwise one made here, which may be sent again as a batch."""
    position: int = 0
    """How much of the file, in its own (compressed) bytes, was read for it."""
    kind: Kind = "entry"
    numbers: tuple[int, ...] = ()
    """Where in the file each resource stands, of a Bundle made here."""
    broken: tuple[tuple[int, str], ...] = ()
    """Lines or entries before its end that hold nothing to send, and why."""


class _Head(msgspec.Struct):
    resourceType: str = ""  # noqa: N815  FHIR's name
    id: str = ""
    type: str | None = None
    entry: list[msgspec.Raw] = []


class _Entry(msgspec.Struct):
    fullUrl: str = ""  # noqa: N815  FHIR's name
    resource: msgspec.Raw = msgspec.Raw(b"")


_HEAD = msgspec.json.Decoder(_Head)


class _Identity(msgspec.Struct):
    resourceType: str = ""  # noqa: N815  FHIR's name
    id: str = ""


_IDENTITY = msgspec.json.Decoder(_Identity)
_ENTRY = msgspec.json.Decoder(_Entry)


FAILURES = (Unreadable, OSError, EOFError, zlib.error)
"""What reading a broken file may raise."""


def find(paths: list[Path]) -> list[Path]:
    """Return the files to load, in the order in which to load them; folders are searched through."""
    found: list[Path] = []
    for path in paths:
        if path == STDIN or path.is_file():
            found.append(path)
        elif path.is_dir():
            inside = [file for file in path.rglob("*") if _NAMES.search(file.name) and file.is_file()]
            if not inside:
                raise Unreadable(f"{path} holds no .json, .ndjson or .jsonl file (.gz and .bz2 of them count)")
            found += inside
        else:
            raise Unreadable(f"{path} is not there")
    return sorted(set(found), key=lambda file: (not goes_first(file), str(file)))


def goes_first(file: Path) -> bool:
    """Tell whether other files are likely to refer to this one."""
    return bool(_BEFORE_OTHERS.match(file.name))


def digest(file: Path) -> str:
    """Return what names the content of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def parts(file: Path) -> Iterator[Part]:
    """Yield the requests of a file; Unreadable when it is not FHIR JSON."""
    with _raw(file) as raw, _plain(raw) as stream:
        if _LINES.search(file.name):
            for part in _grouped(_lines(stream), "line"):
                yield replace(part, position=raw.tell() if file != STDIN else 0)
            return
        text = stream.read()
    yield from _of_text(file, text)


def _of_text(file: Path, text: bytes) -> Iterator[Part]:
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        head = _HEAD.decode(text)
    except msgspec.MsgspecError as error:
        if file == STDIN and _is_json(text.partition(b"\n")[0]):
            yield from _grouped(_lines(io.BytesIO(text)), "line")
            return
        raise Unreadable(f"not FHIR JSON: {error}" if text.strip() else "empty") from error
    if head.resourceType == "Bundle" and head.type in ("transaction", "batch"):
        yield Part(text, len(head.entry), 0, entire=True)
    elif head.resourceType == "Bundle":
        yield from _grouped(_entries(head.entry), "entry", limit=len(head.entry))
    else:
        yield from _grouped(iter([(1, text, "")]), "file")


def _is_json(line: bytes) -> bool:
    try:
        _IDENTITY.decode(line)
    except msgspec.MsgspecError:
        return False
    return True


def _raw(file: Path) -> io.BufferedReader:
    return cast("io.BufferedReader", sys.stdin.buffer) if file == STDIN else file.open("rb")


def _plain(raw: io.BufferedReader) -> IO[bytes]:
    """Unpack what is packed: the first bytes say so, also on standard input, whatever the file is called."""
    start = raw.peek(3)[:3]
    if start.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.open(raw, "rb"))
    return bz2.open(raw, "rb") if start == b"BZh" else raw


def _lines(stream: IO[bytes]) -> Iterator[Found]:
    for number, line in enumerate(stream, 1):
        if text := line.removeprefix(codecs.BOM_UTF8).strip():
            yield number, text, ""


def _entries(entries: list[msgspec.Raw]) -> Iterator[Found]:
    """Yield the resources of a Bundle, numbered as FHIRPath does; a `urn:` address is kept, others may refer to it."""
    for number, raw in enumerate(entries):
        try:
            entry = _ENTRY.decode(raw)
        except msgspec.MsgspecError:
            yield number, bytes(raw), ""  # said to be broken where resources are looked into
            continue
        if resource := bytes(entry.resource):
            yield number, resource, entry.fullUrl if entry.fullUrl.startswith("urn:") else ""


def _grouped(resources: Iterator[Found], kind: Kind, limit: int = RESOURCES_A_REQUEST) -> Iterator[Part]:
    """Put resources into transactions; one that is there already would be refused, so it starts the next."""
    made = _Made(kind)
    number = 0
    for place, resource, full_url in resources:
        try:
            url, entry = _entry(resource, full_url)
        except Unreadable as error:
            if kind == "file":
                raise
            made.broken.append((place, str(error)))
            continue
        full = limit == RESOURCES_A_REQUEST and (len(made.entries) >= limit or made.size + len(entry) > BYTES_A_REQUEST)
        if made.entries and (full or url in made.seen):
            yield made.part(number)
            number, made = number + 1, _Made(kind)
        made.add(place, url, entry)
    if made.entries or made.broken:
        yield made.part(number)


@dataclass(slots=True)
class _Made:
    """A transaction that grows."""

    kind: Kind
    entries: list[bytes] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    broken: list[tuple[int, str]] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    size: int = 0

    def add(self, place: int, url: str, entry: bytes) -> None:
        self.entries.append(entry)
        self.numbers.append(place)
        self.size += len(entry)
        if "/" in url:
            self.seen.add(url)

    def part(self, number: int) -> Part:
        body = TRANSACTION + b",".join(self.entries) + b"]}"
        return Part(
            body,
            len(self.entries),
            number,
            entire=False,
            kind=self.kind,
            numbers=tuple(self.numbers),
            broken=tuple(self.broken),
        )


def _entry(resource: bytes, full_url: str) -> tuple[str, bytes]:
    try:
        named = _IDENTITY.decode(resource)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"not FHIR JSON: {error}") from error
    if not named.resourceType.isalpha():
        raise Unreadable("no resourceType")
    url = f"{named.resourceType}/{named.id}" if named.id else named.resourceType
    request = msgspec.json.encode({"method": "PUT" if named.id else "POST", "url": url})
    address = b'"fullUrl":' + msgspec.json.encode(full_url) + b"," if full_url else b""
    return url, b"{" + address + b'"resource":' + resource + b',"request":' + request + b"}"


def as_batch(part: Part) -> bytes:
    """Return the body of a part made here as a batch, in which each resource stands for itself."""
    return part.body.replace(TRANSACTION, TRANSACTION.replace(b"transaction", b"batch"), 1)
