"""From a value in a resource to a query that must find it."""

from __future__ import annotations

import re
from typing import Any

from tests.search.naive import EARLIEST, codings, component_of, component_values, fields, measured, moments, normal
from tests.search.naive_paths import branches, evaluate

Resource = dict[str, Any]


def safe(text: str) -> str:
    return re.sub(r"([,$|\\])", r"\\\1", text)


def asks(kind: str, value: Any) -> str | None:
    """Return a query value that finds this value; None where R4 gives no way to."""
    if kind == "token":
        pairs = [(system, code) for system, code in codings(value) if code]
        if not pairs:
            return None
        system, code = pairs[0]
        return safe(code) if system is None else f"{safe(system)}|{safe(code)}"  # type: ignore[arg-type]
    if kind == "string":
        held = fields(value) if isinstance(value, str | dict) else []
        return safe(held[0]) if held and normal(held[0]) else None
    if kind == "uri":
        return safe(value)
    if kind == "reference":
        if isinstance(value, str):
            return safe(value)
        if "resourceType" in value:
            return f"{value['resourceType']}/{value['id']}" if "id" in value else None
        text = value.get("reference")
        return None if text is None or text.startswith("#") else safe(text)
    if kind == "date":
        held = moments(value)
        if held is None:
            return None
        if isinstance(value, str):
            return value
        return f"ge{held[0].year:04d}" if held[0] > EARLIEST else f"le{held[1].year:04d}"
    if kind == "number":
        return str(value) if not isinstance(value, dict) else f"ge{value.get('low', value.get('high'))['value']}"
    held = measured(value)
    if held is None:
        return None
    number = held[0] if held[0].is_finite() else held[1]
    unit = held[2]
    prefix = "" if held[0] == held[1] else "ap"
    return f"{prefix}{number:f}" + (
        f"|{safe(unit['system'])}|{safe(unit['code'])}" if unit.get("system") and unit.get("code") else ""
    )


def composite_asks(resource: Resource, found: Resource) -> str | None:
    """Return a query value that finds the first whole instance of a composite."""
    type_ = resource["resourceType"]
    for branch in branches(type_, found):
        for instance in [resource] if branch == type_ else evaluate(resource, branch):
            parts = []
            for component, kind in component_of(found):
                held = component_values(found, resource, component, instance, branch)
                texts = [text for v in held if (text := asks(kind, v)) is not None]
                parts.append(texts[0] if texts else None)
            if all(parts):
                return "$".join(part for part in parts if part)
    return None
