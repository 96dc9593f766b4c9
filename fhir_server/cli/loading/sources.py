"""Files, folders and standard input as requests to send: bundles as they are, everything else by id."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, cast

import msgspec

STDIN = Path("-")
TRANSACTION = b'{"resourceType":"Bundle","type":"transaction","entry":['
Found = tuple[int, bytes, str]
"""A line (or the number of an entry), the resource there, and its `urn:` address if it has one."""
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
    """One request: a Bundle as JSON, how many resources it carries, and where in the file it stands."""

    body: bytes
    count: int
    number: int
    line: int
    entire: bool
    """It is a Bundle of the file as it was; otherwise one made here, which may be sent again as a batch."""
    position: int = 0
    """How much of the file, in its own (compressed) bytes, was read for it."""


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


def find(paths: list[Path]) -> list[Path]:
    """Return the files to load, in the order in which to load them; folders are searched through."""
    found: list[Path] = []
    for path in paths:
        if path == STDIN or path.is_file():
            found.append(path)
        elif path.is_dir():
            found += [file for file in path.rglob("*") if _NAMES.search(file.name) and file.is_file()]
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
    with _raw(file) as raw, _plain(raw, file) as stream:
        if _LINES.search(file.name):
            for part in _grouped(_lines(stream)):
                yield replace(part, position=raw.tell() if file != STDIN else 0)
            return
        text = stream.read()
    yield from _of_text(file, text)


def _of_text(file: Path, text: bytes) -> Iterator[Part]:
    try:
        head = _HEAD.decode(text)
    except msgspec.MsgspecError as error:
        if file == STDIN and text.count(b"\n") > 0:
            yield from _grouped(_lines(io.BytesIO(text)))
            return
        raise Unreadable(f"{file.name} is not FHIR JSON: {error}") from error
    if head.resourceType == "Bundle" and head.type in ("transaction", "batch"):
        yield Part(text, len(head.entry), 0, 0, entire=True)
    elif head.resourceType == "Bundle":
        yield from _grouped(_entries(head.entry), limit=len(head.entry))
    else:
        yield from _grouped(iter([(1, text, "")]))


def _raw(file: Path) -> IO[bytes]:
    return sys.stdin.buffer if file == STDIN else file.open("rb")


def _plain(raw: IO[bytes], file: Path) -> IO[bytes]:
    if file.name.endswith(".gz"):
        return cast("IO[bytes]", gzip.open(raw, "rb"))
    return bz2.open(raw, "rb") if file.name.endswith(".bz2") else raw


def _lines(stream: IO[bytes]) -> Iterator[Found]:
    for number, line in enumerate(stream, 1):
        if text := line.strip():
            yield number, text, ""


def _entries(entries: list[msgspec.Raw]) -> Iterator[Found]:
    """Yield the resources of a Bundle; a `urn:` address is kept, others in the Bundle may refer to it."""
    for number, raw in enumerate(entries, 1):
        entry = _ENTRY.decode(raw)
        if resource := bytes(entry.resource):
            yield number, resource, entry.fullUrl if entry.fullUrl.startswith("urn:") else ""


def _grouped(resources: Iterator[Found], limit: int = RESOURCES_A_REQUEST) -> Iterator[Part]:
    """Put resources into transactions; one that is there already would be refused, so it starts the next."""
    entries: list[bytes] = []
    seen: set[str] = set()
    size = number = line = 0
    for line, resource, full_url in resources:
        url, entry = _entry(resource, line, full_url)
        full = limit == RESOURCES_A_REQUEST and (len(entries) >= limit or size + len(entry) > BYTES_A_REQUEST)
        if entries and (full or url in seen):
            yield _part(entries, number, line - 1)
            number, size, entries, seen = number + 1, 0, [], set()
        entries.append(entry)
        size += len(entry)
        if "/" in url:
            seen.add(url)
    if entries:
        yield _part(entries, number, line)


def _entry(resource: bytes, line: int, full_url: str) -> tuple[str, bytes]:
    try:
        named = _IDENTITY.decode(resource)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"line {line} is not FHIR JSON: {error}") from error
    if not named.resourceType.isalpha():
        raise Unreadable(f"line {line} has no resourceType")
    url = f"{named.resourceType}/{named.id}" if named.id else named.resourceType
    request = msgspec.json.encode({"method": "PUT" if named.id else "POST", "url": url})
    address = b'"fullUrl":' + msgspec.json.encode(full_url) + b"," if full_url else b""
    return url, b"{" + address + b'"resource":' + resource + b',"request":' + request + b"}"


def _part(entries: list[bytes], number: int, line: int) -> Part:
    return Part(TRANSACTION + b",".join(entries) + b"]}", len(entries), number, line, entire=False)


def as_batch(part: Part) -> bytes:
    """Return the body of a part made here as a batch, in which each resource stands for itself."""
    return part.body.replace(TRANSACTION, TRANSACTION.replace(b"transaction", b"batch"), 1)
