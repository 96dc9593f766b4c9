"""A second reading of R4 search, slow and plain: the oracle that the database is compared with.

Values come from `naive_paths.py`; comparison is written from the tables of R4 search.html. Nothing of fhir_server/search is used.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from tests.search.naive_paths import branches, definition, definitions, evaluate, union, values
from tests.search.population import MEMBERS, NEAR

Resource = dict[str, Any]
PREFIXES = ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
FOLDED_NEVER = {"http://unitsofmeasure.org"}
CONTACT_SYSTEMS = {"phone", "fax", "email", "pager", "url", "sms", "other", None}
SWAPPED = {"DocumentReference-relationship"}
LEAVES = {
    "name": ("family", "given", "prefix", "suffix", "text"),
    "address": ("line", "city", "district", "state", "postalCode", "country", "text"),
}
TO_BASE = {  # what this file's tests measure in: code -> (factor, base)
    "kg": (Decimal(1000), "g"),
    "g": (Decimal(1), "g"),
    "mg": (Decimal("0.001"), "g"),
    "cm": (Decimal("0.01"), "m"),
    "m": (Decimal(1), "m"),
    "min": (Decimal(60), "s"),
    "h": (Decimal(3600), "s"),
    "s": (Decimal(1), "s"),
}


# ---- reading queries ----


def cut(text: str, separator: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def plain(text: str) -> str:
    return re.sub(r"\\([,$|\\])", r"\1", text)


def prefixed(text: str) -> tuple[str, str]:
    return (text[:2], text[2:]) if text[:2] in PREFIXES else ("eq", text)


# ---- strings, URIs, tokens, references ----


def normal(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(c for c in decomposed if unicodedata.category(c) not in ("Mn", "Mc", "Me"))
    return " ".join(bare.casefold().split())


def fields(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    leaves = (
        LEAVES["address"]
        if {"line", "city", "country", "state", "postalCode", "district"} & value.keys()
        else LEAVES["name"]
    )
    out: list[str] = []
    for leaf in leaves:
        held = value.get(leaf, [])
        out += [part for part in ([held] if isinstance(held, str) else held) if part]
    return out


def is_string(value: Any, text: str, modifier: str | None) -> bool:
    if modifier == "exact":
        return any(field == plain(text) for field in fields(value))
    if modifier == "contains":
        return any(normal(plain(text)) in normal(field) for field in fields(value))
    return any(normal(field).startswith(normal(plain(text))) for field in fields(value))


def codings(value: Any) -> list[tuple[str | None, str | None]]:
    """(system, code); system None where the element has no place for one."""
    if isinstance(value, bool):
        return [(None, str(value).lower())]
    if not isinstance(value, dict):
        return [(None, str(value))]
    if "coding" in value:
        return [(coding.get("system", ""), coding.get("code")) for coding in value["coding"]]
    if "value" in value and isinstance(value["value"], str):
        found: list[tuple[str | None, str | None]] = [(value.get("system", ""), value["value"])]
        if (value.get("system") in CONTACT_SYSTEMS and "use" in value) or value.get("system") in ("phone", "email"):
            found.append(("", value["value"]))
        return found
    if "code" in value or "system" in value:
        return [(value.get("system", ""), value.get("code"))] if "value" not in value else []
    return []


def is_token(value: Any, text: str) -> bool:
    parts = [plain(part) for part in cut(text, "|")]
    for system, code in codings(value):
        if len(parts) == 2 and system is not None and system != parts[0]:
            continue
        wanted = parts[-1]
        if len(parts) == 2 and not wanted:
            if system:
                return True
            continue
        if code is None:
            continue
        exact = len(parts) == 2 and parts[0] in FOLDED_NEVER
        if code == wanted or (not exact and code.casefold() == wanted.casefold()):
            return True
    return False


def is_of_type(value: Any, text: str) -> bool:
    if not isinstance(value, dict):
        return False
    system, code, wanted = (plain(part).casefold() for part in cut(text, "|"))
    types = [(c.get("system", ""), c.get("code", "").casefold()) for c in value.get("type", {}).get("coding", [])]
    return (system, code) in types and value.get("value", "").casefold() == wanted


def is_described(value: Any, text: str) -> bool:
    """Whether a text beside the code begins with the text."""
    if not isinstance(value, dict):
        return False
    concepts = [value, *([value["type"]] if "type" in value else [])]
    said = [
        each.get(name)
        for concept in concepts
        for each in (concept, *concept.get("coding", []))
        for name in ("text", "display")
    ]
    return any(is_string(each, text, None) for each in said if each)


def is_member(value: Any, text: str, modifier: str) -> bool:
    by_set = modifier in ("in", "not-in")
    members = MEMBERS[plain(text)] if by_set else NEAR[(modifier, plain(cut(text, "|")[1]))]
    return any((system, (code or "").casefold()) in members for system, code in codings(value))


def is_uri(value: str, text: str, modifier: str | None) -> bool:
    """A URL is below another when that, closed by a slash, is what it begins with."""
    wanted = plain(text)
    for held in (value, value.split("|")[0]):
        low, high = (held, wanted) if modifier == "below" else (wanted, held)
        if held == wanted or (modifier and f"{low.rstrip('/')}/".startswith(f"{high.rstrip('/')}/") and "://" in high):
            return True
    return False


def is_reference(value: Any, text: str, modifier: str | None, base: str) -> bool:
    if isinstance(value, str):
        return value == text or value.split("|")[0] == text
    if modifier == "identifier":
        held = value.get("identifier", {})
        parts = cut(text, "|")
        if "value" not in held or held["value"].casefold() != plain(parts[-1]).casefold():
            return False
        return len(parts) == 1 or held.get("system", "") == plain(parts[0])
    if "resourceType" in value:
        named = f"{value['resourceType']}/{value.get('id')}"
        return text in (named, value.get("id"))
    held, wanted = (re.sub(r"/_history/.*", "", t).removeprefix(f"{base}/") for t in (value.get("reference", ""), text))
    local = re.fullmatch(r"([A-Z]\w+)/([\w.\-]+)", held)
    if not local:
        return held == wanted and not held.startswith("#")
    if modifier and local[1] != modifier:
        return False
    return wanted in (held, local[2])


# ---- dates ----


def span(text: str) -> tuple[datetime, datetime]:
    """The first moment of a partial date, and the first after it."""
    match = re.fullmatch(
        r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?", text
    )
    assert match
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    start = datetime(int(year), int(month or 1), int(day or 1), tzinfo=UTC)
    if not month:
        return start, datetime(int(year) + 1, 1, 1, tzinfo=UTC)
    if not day:
        return start, start + timedelta(days=monthrange(int(year), int(month))[1])
    if not hour:
        return start, start + timedelta(days=1)
    start += timedelta(hours=int(hour), minutes=int(minute), seconds=int(second or 0))
    start += timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))
    if zone and zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        start += -offset if zone[0] == "+" else offset
    step = (
        timedelta(minutes=1)
        if not second
        else timedelta(seconds=1)
        if not fraction
        else timedelta(microseconds=10 ** (6 - len(fraction)))
    )
    return start, start + step


EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)


def moments(value: Any) -> tuple[datetime, datetime] | None:
    if isinstance(value, str):
        return span(value) if re.match(r"\d{4}(-|$)", value) else None
    if "event" in value or "repeat" in value:
        found = [span(event) for event in value.get("event", [])]
        bounds = moments(value.get("repeat", {}).get("boundsPeriod", {}))
        found += [bounds] if bounds else []
        return (min(lo for lo, _ in found), max(hi for _, hi in found)) if found else None
    if "start" not in value and "end" not in value:
        return None
    lo = span(value["start"])[0] if "start" in value else EARLIEST
    hi = span(value["end"])[1] if "end" in value else LATEST
    return (lo, hi) if lo < hi else None


def is_date(value: Any, text: str) -> bool:
    held = moments(value)
    if held is None:
        return False
    prefix, rest = prefixed(text)
    (lo, hi), (start, end) = span(rest), held
    if prefix == "ap":
        far = abs(datetime.now(UTC) - lo) / 10
        return start < hi + far and end > lo - far
    inside, above, below = lo <= start and end <= hi, end > hi, start < lo
    return {
        "eq": inside, "ne": not inside, "gt": above, "lt": below, "ge": inside or above, "le": inside or below,
        "sa": start >= hi, "eb": end <= lo,
    }[prefix]  # fmt: skip


# ---- numbers and quantities ----


def digits(text: str) -> tuple[Decimal, Decimal]:
    """The range that a number's digits mean."""
    value = Decimal(text)
    exponent = int(value.as_tuple().exponent)
    half = Decimal(5).scaleb(exponent - 2 if "e" in text.lower() else exponent - 1)
    return value - half, value + half


def ordered(prefix: str, text: str, lo: Decimal, hi: Decimal, factor: Decimal = Decimal(1)) -> bool:
    number, (first, last) = Decimal(text) * factor, (d * factor for d in digits(text))
    near = abs(number) / 10
    return {
        "eq": first <= lo and hi < last, "ne": not (first <= lo and hi < last), "gt": hi > number, "lt": lo < number,
        "ge": hi >= number, "le": lo <= number, "sa": lo > number, "eb": hi < number,
        "ap": lo <= number + near and hi >= number - near,
    }[prefix]  # fmt: skip


INFINITY = Decimal("Infinity")
HAIR = Decimal("1e-20")


def is_number(value: Any, text: str) -> bool:
    prefix, rest = prefixed(text)
    if isinstance(value, dict):
        lo, hi = value.get("low", {}).get("value", -INFINITY), value.get("high", {}).get("value", INFINITY)
        return ordered(prefix, rest, Decimal(lo), Decimal(hi))
    return ordered(prefix, rest, Decimal(value), Decimal(value))


def measured(value: Resource) -> tuple[Decimal, Decimal, Resource] | None:
    """(lowest, highest, what says the unit)."""
    if "origin" in value:
        data = [Decimal(d) for d in value.get("data", "").split() if d not in "EUL"]
        scaled = [Decimal(value["origin"]["value"]) + d * Decimal(value.get("factor", 1)) for d in data]
        return (min(scaled), max(scaled), value["origin"]) if data else None
    if "low" in value or "high" in value:
        low, high = value.get("low", {}), value.get("high", {})
        return Decimal(low.get("value", -INFINITY)), Decimal(high.get("value", INFINITY)), low or high
    if "value" not in value or isinstance(value["value"], str):
        return None
    number = Decimal(value["value"])
    lo, hi = {
        None: (number, number), "<": (-INFINITY, number - HAIR), "<=": (-INFINITY, number), ">=": (number, INFINITY),
        ">": (number + HAIR, INFINITY),
    }[value.get("comparator")]  # fmt: skip
    if "currency" in value:
        return lo, hi, {"system": "urn:iso:std:iso:4217", "code": value["currency"]}
    return lo, hi, value


def is_quantity(value: Resource, text: str) -> bool:
    held = measured(value)
    if held is None:
        return False
    lo, hi, unit = held
    parts = [plain(part) for part in cut(text, "|")]
    prefix, number = prefixed(parts[0])
    if len(parts) == 1 or not parts[2]:
        return ordered(prefix, number, lo, hi)
    if not parts[1]:
        return parts[2] in (unit.get("code"), unit.get("unit")) and ordered(prefix, number, lo, hi)
    if (
        parts[1] == unit.get("system") == "http://unitsofmeasure.org"
        and parts[2] in TO_BASE
        and unit.get("code") in TO_BASE
    ):
        (wanted, base), (factor, other) = TO_BASE[parts[2]], TO_BASE[unit["code"]]
        return base == other and ordered(prefix, number, lo * factor, hi * factor, wanted)
    return (unit.get("system"), unit.get("code")) == (parts[1], parts[2]) and ordered(prefix, number, lo, hi)


# ---- parameters ----


def accepts(kind: str, value: Any, text: str, modifier: str | None = None, base: str = "") -> bool:
    """Tell whether one value of a resource is what one value of a query asks for."""
    if kind == "token":
        if modifier in ("in", "not-in", "above", "below"):
            return is_member(value, text, modifier)
        if modifier == "text":
            return is_described(value, text)
        return is_of_type(value, text) if modifier == "of-type" else is_token(value, text)
    if kind == "string":
        return is_string(value, text, modifier)
    if kind == "uri":
        return is_uri(value, text, modifier)
    if kind == "reference":
        return is_reference(value, plain(text) if modifier != "identifier" else text, modifier, base)
    return {"date": is_date, "number": is_number, "quantity": is_quantity}[kind](value, text)


def component_values(found: Resource, resource: Resource, component: Resource, instance: Any, branch: str) -> list[Any]:
    """What a component of a composite finds in an instance."""
    expression = re.sub(r"\.as\((\w+)\)", r".ofType(\1)", component["expression"]).replace("DateTime", "dateTime")
    out: list[Any] = []
    for part in dict.fromkeys(union(expression)):
        if part.startswith("%resource."):
            out += evaluate(resource, part.replace("%resource", resource["resourceType"]))
        elif branch == resource["resourceType"]:
            # On the resource itself a component is its definition, which may hold more types than the sub-expression.
            stem = f"{branch}.{part.partition('.')[0]}"
            by_url = {each["url"]: each for each in definitions().values()}
            own = branches(branch, by_url[component["definition"]])
            out += [
                v for each in own if re.match(rf"{re.escape(stem)}(\.ofType|$)", each) for v in evaluate(resource, each)
            ]
        else:
            stem, _, cast = part.partition(".ofType(")
            held = instance.get(stem)
            if cast:
                held = instance.get(stem + cast[:-1])
            elif held is None:
                held = next((v for k, v in instance.items() if re.fullmatch(rf"{stem}[A-Z]\w+", k)), None)
            out += held if isinstance(held, list) else [] if held is None else [held]
    return out


def component_of(found: Resource) -> list[tuple[Resource, str]]:
    """The components of a composite with the kinds of their definitions."""
    by_url = {each["url"]: each for each in definitions().values()}
    parts = [(c, by_url[c["definition"]]["type"]) for c in found["component"]]
    if found["id"] in SWAPPED:
        kinds = ["token", "reference"]
        parts = [(c, kind) for (c, _), kind in zip(parts, kinds, strict=True)]
    return parts


def is_composite(resource: Resource, found: Resource, text: str, base: str) -> bool:
    asked = cut(text, "$")
    type_ = resource["resourceType"]
    for branch in branches(type_, found):
        for instance in [resource] if branch == type_ else evaluate(resource, branch):
            pairs = zip(component_of(found), asked, strict=True)
            if all(
                any(
                    accepts(kind, v, part, None, base)
                    for v in component_values(found, resource, component, instance, branch)
                )
                for (component, kind), part in pairs
            ):
                return True
    return False


def matches(resource: Resource, name: str, text: str, base: str = "") -> bool:
    """Tell whether a resource meets `name=text`."""
    stem, _, modifier = name.partition(":")
    if stem == "_id":
        return (resource["id"] in [plain(part) for part in cut(text, ",")]) is not (modifier == "not")
    found = definition(resource["resourceType"], stem)
    if found["type"] == "composite":
        return any(is_composite(resource, found, part, base) for part in cut(text, ","))
    held = values(resource, stem)
    if modifier == "missing":
        return (not [v for v in held if v != {}]) is (text == "true")
    any_of = any(accepts(found["type"], v, part, modifier or None, base) for v in held for part in cut(text, ","))
    return not any_of if modifier in ("not", "not-in") else any_of
