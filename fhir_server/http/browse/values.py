"""A value of any data type in a few words, for cells and lists; what a type does not say is put together from its primitives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any, Final

from fhir_server.http.browse.markup import EMPTY, Html, el, join, text
from fhir_server.http.browse.visit import Visit
from profiles.registry import R4, JsonChild

Json = dict[str, Any]
_MOST: Final = 2
"""Items of an array that are shown."""
_LONGEST, _SHORT = 200, 40


def shown(visit: Visit, child: JsonChild, value: Any) -> Html:
    """Return a property's value, all items of an array up to a few."""
    items = value if isinstance(value, list) else [value]
    made = [_one(visit, child, item) for item in islice(items, _MOST) if item is not None]
    more = f" and {len(items) - _MOST} more" if len(items) > _MOST else None
    return join(
        [[el("br") if place else None, each] for place, each in enumerate(made)],
        more and el("span", more, class_="dim"),
    )


def _one(visit: Visit, child: JsonChild, value: Any) -> Html:
    if not isinstance(value, dict):
        return _primitive(visit, child.type_code, value)
    if child.type_code == "Reference":
        return _reference(visit, value)
    if child.type_code == "Period":
        return join(_time(_string(value, "start") or "…"), " to ", _time(_string(value, "end") or "…"))
    found = _say(child.type_code, value)
    return text(_cut(found)) if found else EMPTY


def _primitive(visit: Visit, type_code: str, value: Any) -> Html:
    words = "yes" if value is True else "no" if value is False else _cut(str(value))
    if type_code in ("url", "uri", "canonical"):
        return link(words, visit.own(words) or words)
    if type_code == "base64Binary":
        return el("span", f"{len(str(value)) * 3 // 4} bytes", class_="dim")
    return _time(words) if type_code in ("date", "dateTime", "instant", "time") else text(words)


def _time(words: str) -> Html:
    return el("span", words, class_="num")


def link(words: str, address: str | None) -> Html:
    """Return a link, or the words alone where the address leads nowhere that is safe."""
    if address is None or not address.startswith(("/", "http://", "https://")):
        return text(words)
    return el("a", words, href=address, rel=None if address.startswith("/") else "noreferrer noopener external")


def _reference(visit: Visit, value: Json) -> Html:
    target = value.get("reference")
    target = target if isinstance(target, str) else ""
    words = _string(value, "display") or target or _say("Identifier", value.get("identifier"))
    return link(_cut(words), visit.reference(target))


def _cut(words: str) -> str:
    return words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"


# ---- data types in words


def _say(type_code: str, value: Any) -> str:
    """Return a value of a complex type in words."""
    if not isinstance(value, dict):
        return ""
    for name in (type_code, *R4.parents(type_code)) if R4.defines(type_code) else ():
        if name in _WORDS:
            return _WORDS[name](value)
    return _anything(value)


def _string(value: Mapping[str, Any], *names: str) -> str:
    """Return the first of these properties that is there, as text."""
    return next(
        (str(value[name]) for name in names if isinstance(value.get(name), str | int | float) or _number(value, name)),
        "",
    )


def _number(value: Mapping[str, Any], name: str) -> bool:
    return value.get(name).__class__.__name__ == "Decimal"


def _each(type_code: str, items: Any) -> str:
    return ", ".join(filter(None, (_say(type_code, item) for item in items))) if isinstance(items, list) else ""


def _coding(value: Json) -> str:
    return _string(value, "display", "code")


def _concept(value: Json) -> str:
    return _string(value, "text") or _each("Coding", value.get("coding"))


def _name(value: Json) -> str:
    parts = [
        *_strings(value, "prefix"),
        *_strings(value, "given"),
        _string(value, "family"),
        *_strings(value, "suffix"),
    ]
    return _string(value, "text") or " ".join(filter(None, parts))


def _address(value: Json) -> str:
    town = " ".join(filter(None, (_string(value, "postalCode"), _string(value, "city"))))
    parts = [*_strings(value, "line"), town, _string(value, "state"), _string(value, "country")]
    return _string(value, "text") or ", ".join(filter(None, parts))


def _strings(value: Json, name: str) -> list[str]:
    found = value.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _quantity(value: Json) -> str:
    number = f"{_string(value, 'comparator')}{_string(value, 'value')}"
    return " ".join(filter(None, (number, _string(value, "unit", "code"))))


def _period(value: Json) -> str:
    return " to ".join((_string(value, "start") or "…", _string(value, "end") or "…"))


def _range(value: Json) -> str:
    return " to ".join((_say("Quantity", value.get("low")) or "…", _say("Quantity", value.get("high")) or "…"))


def _ratio(value: Json) -> str:
    return " / ".join(
        filter(None, (_say("Quantity", value.get("numerator")), _say("Quantity", value.get("denominator"))))
    )


def _timing(value: Json) -> str:
    return _say("CodeableConcept", value.get("code")) or ", ".join(_strings(value, "event")) or _anything(value)


def _anything(value: Json) -> str:
    """Return the first few primitives at the top of an object, and concepts below it: better than nothing."""
    found: list[str] = []
    for name, each in value.items():
        if name in ("id", "extension", "modifierExtension", "system"):
            continue
        if isinstance(each, dict):
            found.append(_concept(each) or _string(each, "display", "reference", "value"))
        elif not isinstance(each, list):
            found.append(str(each))
    return " · ".join(each if len(each) <= _SHORT else f"{each[:_SHORT]}…" for each in islice(filter(None, found), 4))


_WORDS: Final[dict[str, Callable[[Json], str]]] = {
    "Coding": _coding,
    "CodeableConcept": _concept,
    "HumanName": _name,
    "Address": _address,
    "ContactPoint": lambda value: _string(value, "value"),
    "Identifier": lambda value: _string(value, "value"),
    "Quantity": _quantity,
    "Money": lambda value: " ".join(filter(None, (_string(value, "value"), _string(value, "currency")))),
    "Period": _period,
    "Range": _range,
    "Ratio": _ratio,
    "Annotation": lambda value: _string(value, "text"),
    "Attachment": lambda value: _string(value, "title", "url", "contentType"),
    "SampledData": lambda value: f"samples, one every {_string(value, 'period')} ms",
    "Timing": _timing,
    "Dosage": lambda value: _string(value, "text") or _anything(value),
    "Reference": lambda value: _string(value, "display", "reference"),
}
