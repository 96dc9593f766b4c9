"""What to say when nothing was found and a neighbouring parameter would find something: `code` and `combo-code`.

R4 gives Observation parameters that look at the resource itself, and `combo-` ones that look into its components too; who asks
for blood pressure by the code of its systolic part finds nothing by the first. Only what the caller may see is looked for.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.errors import Issue
from fhir_server.search.parameters import served_params
from fhir_server.search.query import Clause, Condition, Query

_WIDER = "combo-"


def widened(query: Query) -> Query | None:
    """Return the query by the wider parameters; None when there is none for any of its own."""
    wider = [_wider(part, query.base) for part in query.where]
    return None if wider == query.where else replace(query, where=wider, sort=[], issues=[])


def _wider(part: Condition, type_: str) -> Condition:
    if not isinstance(part, Clause) or part.modifier is not None:
        return part
    name = _WIDER + part.param.name
    param = next((param for param in served_params(type_) if param.name == name), part.param)
    return replace(part, param=param)


def advice(query: Query, other: Query) -> Issue:
    """Return what to say when the wider query finds something."""
    pairs = {
        asked.param.name: wide.param.name
        for asked, wide in zip(query.where, other.where, strict=True)
        if isinstance(asked, Clause) and isinstance(wide, Clause) and asked != wide
    }
    names = " and ".join(f"{wide} in place of {name}" for name, wide in pairs.items())
    text = f"Nothing matches, but something would by {names}: those look into components too."
    return Issue("informational", "search-hint-combo", text, next(iter(pairs)), "information")
