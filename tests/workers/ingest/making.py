"""Files as vendors write them, made by us: Apple Health export, Fitbit Takeout, FIT."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

DTD = """<!DOCTYPE HealthData [
<!ELEMENT HealthData (ExportDate,Me,(Record|Workout)*)>
<!ATTLIST HealthData locale CDATA #REQUIRED>
<!ENTITY trap "boom">
]>"""
DEVICE = ("&lt;&lt;HKDevice: 0x281&gt;, name:Apple Watch, manufacturer:Apple Inc., model:Watch, hardware:Watch6,2, "
          "software:9.1&gt;")  # fmt: skip


def record(kind: str, value: str, start: str, end: str | None = None, unit: str | None = None, inside: str = "") -> str:
    said = f' unit="{unit}"' if unit else ""
    return (f'<Record type="{kind}" sourceName="Watch of A" sourceVersion="9.1" device="{DEVICE}"{said} '
            f'creationDate="2026-01-06 09:00:00 +0100" startDate="{start}" endDate="{end or start}" value="{value}">'
            f"{inside}</Record>")  # fmt: skip


def apple(records: Iterable[str]) -> bytes:
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n{DTD}\n<HealthData locale="en_US">'
        + "\n".join(records)
        + "</HealthData>"
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("apple_health_export/export_cda.xml", "<ClinicalDocument/>" * 100)
        archive.writestr("apple_health_export/export.xml", xml)
    return out.getvalue()


def fitbit(files: Mapping[str, object]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            archive.writestr(f"Takeout/Fitbit/{name}", text)
    return out.getvalue()


_TYPES = {
    "enum": (0x00, "B"),
    "uint8": (0x02, "B"),
    "uint16": (0x84, "H"),
    "uint32": (0x86, "I"),
    "uint32z": (0x8C, "I"),
}
_CRC = (0x0000, 0xCC01, 0xD801, 0x1400, 0xF001, 0x3C00, 0x2800, 0xE401, 0xA001, 0x6C00, 0x7800, 0xB401, 0x5000, 0x9C01,
        0x8801, 0x4400)  # fmt: skip
Field = tuple[int, str, int]
"""Number, base type, value."""


def crc(data: bytes) -> int:
    """The checksum of the FIT protocol, nibble by nibble."""
    found = 0
    for byte in data:
        for nibble in (byte & 0xF, byte >> 4):
            found = (found >> 4) ^ _CRC[found & 0xF] ^ _CRC[nibble]
    return found


def fit(messages: Iterable[tuple[int, list[Field]]]) -> bytes:
    """Return a FIT file of messages (global number, fields): a definition and a data message for each."""
    body = b""
    for number, fields in messages:
        shape = b"".join(struct.pack("<BBB", n, struct.calcsize(_TYPES[t][1]), _TYPES[t][0]) for n, t, _ in fields)
        body += struct.pack("<BBBHB", 0x40, 0, 0, number, len(fields)) + shape
        body += b"\x00" + b"".join(struct.pack("<" + _TYPES[t][1], value) for _, t, value in fields)
    head = struct.pack("<BBHI4s", 14, 0x20, 2132, len(body), b".FIT")
    head += struct.pack("<H", crc(head))
    return head + body + struct.pack("<H", crc(head + body))


def fit_time(text: str) -> int:
    """Return seconds since 1989-12-31, as FIT counts them."""
    return int((datetime.fromisoformat(text) - datetime(1989, 12, 31, tzinfo=UTC)).total_seconds())
