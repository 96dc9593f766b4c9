"""What a literal reference says about the type of its target, without resolving it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhir_server.model.fhirpath.types import is_fhir
from profiles.registry import R4


def referred_type(raw: Any) -> str | None:
    """Return the type that a Reference, or the text of one, names: by `type`, else by its last path segments."""
    if type(raw) is dict:
        declared = raw.get("type")
        if declared is not None:
            return str(declared).rpartition("/")[2]
        raw = raw.get("reference")
    if type(raw) is not str:
        return None
    if "/_history/" in raw:
        raw = raw[: raw.index("/_history/")]
    name = raw.partition("?")[0] if "?" in raw else raw.rpartition("/")[0]
    name = name.rpartition("/")[2]
    return name if R4.is_type(name) else None


def refers_to(name: str) -> Callable[[Any], bool]:
    """Return the test that a Reference names a target of this type, as in `where(resolve() is Patient)`."""
    if not R4.is_type(name):
        return lambda raw: (found := referred_type(raw)) is not None and is_fhir(found, name)
    prefix, inside = f"{name}/", f"/{name}/"

    def test(raw: Any) -> bool:
        if type(raw) is dict:
            text = raw.get("reference")
            if "type" in raw:
                return referred_type(raw) == name
        else:
            text = raw
        if type(text) is not str:
            return False
        if text.startswith(prefix):
            return True
        return (inside in text or "?" in text) and referred_type(text) == name

    return test
