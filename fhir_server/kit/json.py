"""JSON in and out: strict, with every decimal kept as it was written.

RFC 8259 leaves open what FHIR must not: duplicate keys, huge numbers, unpaired surrogates, U+0000. All are refused
here, before a recursive decoder sees the input, each with an id of its own and the place in the text.
"""

from __future__ import annotations

import json as stdlib
import re
from array import array
from collections.abc import Iterator
from decimal import Decimal
from itertools import accumulate
from typing import Any, Final

import msgspec
from msgspec import Raw

from fhir_server.errors import BadRequest

MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 64
MAX_EXPONENT: Final = 512

_OPENING = bytes.maketrans(b"[]", b"{}")
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b'[]{}"'))
_STEPS = bytes.maketrans(b"{}", b"\x01\xff")  # as signed bytes: one level down, one level up
_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_TOO_MANY_ZEROS = b"0" * (MAX_DIGITS + 1)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LONE_SURROGATE = re.compile(
    rb"(?<!\\)(?:\\\\)*(?:\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]..)"
)
_STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*+"|-?\d[\d.eE+-]*', re.DOTALL)
_OFFSET = re.compile(r"\(byte (\d+)\)")
_NAME = re.compile(r"[A-Za-z_][\w\-]{0,63}", re.ASCII)


class _Number(Exception):
    """A number beyond the limits, found by the decoder that does not know where it is."""


def _decimal(text: str) -> Decimal:
    """Read a number that has a point or an exponent, unless it is beyond the limits."""
    if len(text) > 18 or "e" in text or "E" in text:
        _check_number(text)
    return Decimal(text)


def _check_number(text: str) -> None:
    """Raise when a number has too many digits or too large an exponent."""
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa) - ("." in mantissa) - mantissa.startswith("-")
    if digits > MAX_DIGITS or len(exponent) > 8 or abs(int(exponent or "0")) > MAX_EXPONENT:
        raise _Number


_DECODER: Final = msgspec.json.Decoder(float_hook=_decimal)
_TRUSTED: Final = msgspec.json.Decoder(float_hook=Decimal)
_TEXT: Final = msgspec.json.Decoder(float_hook=str)
_MEMBERS: Final = msgspec.json.Decoder(dict[str, Raw])
_ITEMS: Final = msgspec.json.Decoder(list[Raw])
_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


def encode(value: Any) -> bytes:
    """Return compact JSON; a Decimal is written with the digits that it has."""
    return _ENCODER.encode(value)


def decode_trusted(data: bytes | Raw) -> Any:
    """Decode JSON that this server wrote, without the checks."""
    return _TRUSTED.decode(data)


def decode_text(data: bytes | Raw) -> Any:
    """Decode JSON that this server wrote; numbers with a point or an exponent become the text that they are."""
    return _TEXT.decode(data)


def decode(data: bytes) -> Any:
    """Decode JSON from outside; raises BadRequest with an id `json-…` and the place."""
    return decode_compact(data)[0]


def decode_compact(data: bytes) -> tuple[Any, bytes]:
    """Decode JSON from outside, and return it with its compact text, which the check for doubled keys makes anyway."""
    guard(data)
    return _decode_guarded(data)


def guard(data: bytes) -> None:
    """Refuse what must not reach a recursive decoder or a text column: depth, U+0000."""
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH:
        _check_depth(data)
    if b"\\u0000" in data and (match := _NUL.search(data)):
        raise _refusal("json-nul", "U+0000 is not allowed in text", match.end() - 6)


def _decode_guarded(data: bytes) -> tuple[Any, bytes]:
    """Decode a text that `guard` has seen."""
    try:
        value = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, _Number) as error:
        raise _explain(data, error) from None
    if _TOO_MANY_ZEROS in data.translate(_ZEROS):
        _check_integers(data)
    compact = _ENCODER.encode(value)
    # Every colon that was read is written again, unless a second member of the same name took the place of the first.
    if data.count(b":") != compact.count(b":"):
        _check_duplicates(data)
    return value, compact


def members(data: bytes) -> dict[str, Raw]:
    """Split a guarded JSON object into its members without decoding them."""
    try:
        value = _MEMBERS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _explain(data, error) from None
    if data.count(b":") != _ENCODER.encode(value).count(b":"):
        _check_duplicates(data)
    return value


def items(data: bytes) -> list[Raw]:
    """Split a guarded JSON array into its items without decoding them."""
    try:
        return _ITEMS.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _explain(data, error) from None


def _check_depth(data: bytes) -> None:
    """Raise when brackets outside of strings are nested too deep."""
    if b"\\" in data:
        data = data.replace(rb"\\", b"").replace(rb"\"", b"")
    # Strings without brackets vanish; where the end of one string meets the start of the next, the two only merge.
    text = data.translate(_OPENING, _ALL_BUT_BRACKETS).replace(b'""', b"")
    outside = b"".join(text.split(b'"')[::2])
    deepest = max(accumulate(array("b", outside.translate(_STEPS))), default=0)
    if deepest > MAX_DEPTH:
        raise too_deep()


def too_deep() -> BadRequest:
    """Return the refusal of JSON that is nested too deep."""
    return BadRequest(f"The JSON is nested deeper than {MAX_DEPTH} levels", id="json-depth", code="too-costly")


def _check_integers(data: bytes) -> None:
    """Raise when one of the long runs of digits is a number; they may stand in strings."""
    for match in _STRING_OR_NUMBER.finditer(data):
        if not match[0].startswith(b'"'):
            try:
                _check_number(match[0].decode())
            except _Number:
                raise _number_refused(match.start()) from None


def _number_refused(offset: int) -> BadRequest:
    """Return the refusal of a number beyond the limits."""
    text = f"A number may have {MAX_DIGITS} digits and an exponent of at most {MAX_EXPONENT}"
    return _refusal("json-number", text, offset)


def _check_duplicates(data: bytes) -> None:
    """Raise when an object has a key twice; only reached when the cheap count of colons leaves a doubt."""
    tree = stdlib.loads(data, object_pairs_hook=_Members, parse_float=str, parse_int=str)
    for path, doubled in _doubled(tree, ""):
        raise BadRequest(f"The property {doubled} stands twice in the same object", "json-duplicate-key", path or None)


class _Members(dict[str, Any]):
    """An object that remembers the first key that it was given twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.doubled: str | None = None
        if len(self) != len(pairs):
            seen: set[str] = set()
            self.doubled = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def _doubled(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield path and key of every doubled property; recursion is bounded by `guard`."""
    if isinstance(value, _Members):
        path = path or str(value.get("resourceType", ""))
        if value.doubled is not None:
            yield _step(path, value.doubled), _shown(value.doubled)
        for key, item in value.items():
            yield from _doubled(item, _step(path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _doubled(item, f"{path}[{index}]" if path else "")


def _step(path: str, key: str) -> str:
    """Return the expression of a property; a name that is none is left out."""
    return f"{path}.{key}" if path and _NAME.fullmatch(key) else path


def _shown(key: str) -> str:
    """Return a property name for a message: only what looks like one, since it comes from outside."""
    return f"'{key}'" if _NAME.fullmatch(key) else "with an unusual name"


def _explain(data: bytes, error: Exception) -> BadRequest:
    """Return the refusal for what the decoder found."""
    if isinstance(error, _Number):
        return _find_number(data)
    try:
        data.decode()
    except UnicodeDecodeError as found:
        return _refusal("json-utf8", "The text is not UTF-8", found.start)
    if match := _LONE_SURROGATE.search(data):
        return _refusal("json-surrogate", "Half of a surrogate pair stands alone", match.end() - 6)
    text = str(error)
    if "out of range" in text:
        return _find_number(data)
    if isinstance(error, msgspec.ValidationError):
        return BadRequest(
            f"Unexpected JSON: {text[0].lower()}{text[1:].replace('`', '')}", "json-type", code="structure"
        )
    found_at = _OFFSET.search(text)
    offset = int(found_at[1]) if found_at else len(data)
    if data[offset:].lstrip(b"-").startswith((b"NaN", b"Infinity")):
        return _refusal("json-number", "JSON has no NaN and no Infinity", offset)
    reason = text.removeprefix("JSON is malformed: ").split(" (byte")[0] if found_at else "it ends too early"
    return _refusal("json-syntax", f"This is not JSON: {reason}", offset)


def _find_number(data: bytes) -> BadRequest:
    """Return the refusal of the first number beyond the limits."""
    try:
        for match in _STRING_OR_NUMBER.finditer(data):
            if not match[0].startswith(b'"'):
                where = match.start()
                _check_number(match[0].decode())
    except _Number:
        return _number_refused(where)
    return _number_refused(0)


def _refusal(id_: str, text: str, offset: int) -> BadRequest:
    """Return a refusal that names the byte."""
    return BadRequest(f"{text} (at byte {offset})", id=id_, code="structure" if id_ == "json-syntax" else "invalid")
