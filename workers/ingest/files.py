"""Which file this is, and what it says: Apple Health and Fitbit archives, FIT, CSV by a mapping, JSON payloads."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from datetime import tzinfo
from typing import IO, Final

from fhir_server.errors import BadRequest
from fhir_server.kit import json
from workers.ingest import apple, fit, fitbit, payload, table
from workers.ingest.dense import fold
from workers.ingest.sample import Item, Unusable
from workers.ingest.table import Mapped, Row

ZIP: Final = b"PK\x03\x04"
XML: Final = (b"<?xml", b"<!DOCTYPE HealthData", b"<HealthData")
LARGEST_JSON: Final = 64 * 1024 * 1024


def read(
    stream: IO[bytes],
    source: str | None,
    zone: tzinfo | None = None,
    by: Mapped | None = None,
    unpacked: int | None = None,
) -> Iterator[Row]:
    """Yield what a file says, with the patient where the file names one; Unusable when it is no file that is known.

    `unpacked` is how many bytes an archive may hold, where it comes from somebody who does not wait for it.
    """
    head = stream.read(64)
    stream.seek(0)
    if by is not None:
        yield from _table(stream, by)
    elif head.startswith(ZIP):
        yield from _without_patient(fold(_archive(stream, source, zone, unpacked)))
    elif fit.is_fit(head):
        yield from _without_patient(fold(fit.read(stream, source or "fit")))
    elif head.lstrip(b"\xef\xbb\xbf \r\n").startswith(XML):
        yield from _without_patient(fold(apple.read(stream, source or "apple-health")))
    elif head.lstrip()[:1] in (b"{", b"["):
        yield from _json(stream, source, zone)
    else:
        raise Unusable(
            "file-unknown", "This is no archive, FIT, XML or JSON that is known; CSV needs a mapping.", "file"
        )


def _without_patient(items: Iterator[Item]) -> Iterator[Row]:
    return (Row(None, item) for item in items)


def _archive(stream: IO[bytes], source: str | None, zone: tzinfo | None, unpacked: int | None) -> Iterator[Item]:
    try:
        with zipfile.ZipFile(stream) as archive:
            if unpacked is not None and sum(info.file_size for info in archive.infolist()) > unpacked:
                text = f"An archive that is sent holds {unpacked} bytes at most; use ./clarity ingest for this one."
                raise Unusable("file-too-large", text, "file")
            if fitbit.is_archive(archive):
                yield from fitbit.read(archive, source or "fitbit", zone)
                return
            name = apple.named(archive)
            if name is None:
                raise Unusable("archive-unknown", "The archive is none of Apple Health or Fitbit.", "file")
            with archive.open(name) as export:
                yield from apple.read(export, source or "apple-health")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, EOFError) as error:
        raise Unusable("archive-damaged", f"The archive cannot be read ({type(error).__name__}).", "file") from error


def _table(stream: IO[bytes], by: Mapped) -> Iterator[Row]:
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
    try:
        yield from table.read(text, by)
    except (UnicodeDecodeError, csv.Error) as error:
        yield Row(None, Unusable("csv", f"The file is no CSV in UTF-8 ({type(error).__name__}).", "file"))
    finally:
        text.detach()


def _json(stream: IO[bytes], source: str | None, zone: tzinfo | None) -> Iterator[Row]:
    content = stream.read(LARGEST_JSON + 1)
    if len(content) > LARGEST_JSON:
        raise Unusable("file-too-large", f"A JSON file has {LARGEST_JSON} bytes at most.", "file")
    try:
        body = json.decode(content)
    except BadRequest as error:
        raise Unusable("json", error.text, error.expression) from error
    for each in payload.payloads(body, source or "file", zone):
        yield from (Row(each.patient, found.item) for found in payload.read(each))
