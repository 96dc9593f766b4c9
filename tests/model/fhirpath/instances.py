"""A few R4 example instances of every type, decoded."""

from collections import defaultdict
from functools import cache
from typing import Any

from fhir_server.kit.json import decode_trusted
from profiles.registry import R4
from tests.r4_examples import examples


@cache
def by_type(most: int = 4) -> dict[str, list[dict[str, Any]]]:
    """Return at most so many instances of each type."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, text in examples().items():
        type_ = name.partition("-")[0]
        if R4.is_type(type_) and len(found[type_]) < most:
            resource = decode_trusted(text)
            if resource.get("resourceType") == type_:
                found[type_].append(resource)
    return found
