"""The example instances of R4 from JSON to XML and back: what differs afterwards."""

from __future__ import annotations

from typing import Any

from fhir_server.kit import json
from fhir_server.model.xml.read import from_xml
from fhir_server.model.xml.write import to_xml


def exact(value: Any) -> Any:
    """Return the value with decimals by value and precision, and without the order of properties."""
    if isinstance(value, dict):
        return {name: exact(each) for name, each in value.items()}
    if isinstance(value, list):
        return [exact(each) for each in value]
    as_tuple = getattr(value, "as_tuple", None)
    return (type(value).__name__, as_tuple() if as_tuple else value)


def difference(text: bytes) -> str | None:
    """Return why a resource does not come back equal, compact and pretty; None when it does."""
    resource = json.decode(text)
    for pretty in (False, True):
        back = json.decode(from_xml(to_xml(json.encode(resource), pretty=pretty)))
        if exact(back) != exact(resource):
            changed = [name for name in resource.keys() | back.keys() if back.get(name) != resource.get(name)]
            return f"differs in {', '.join(sorted(changed))}"
    return None
