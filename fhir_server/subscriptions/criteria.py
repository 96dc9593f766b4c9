"""Subscription.criteria: a search of one type (R4: the same meaning as if it were submitted to the REST API)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.errors import BadSearch
from fhir_server.search.parse import parse_query
from fhir_server.search.query import Clause
from fhir_server.storage.own import FIRST
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.refusal import Refusal
from profiles.registry import R4

RESULT_PARAMETERS = frozenset(
    {
        "_sort",
        "_count",
        "_total",
        "_summary",
        "_elements",
        "_include",
        "_revinclude",
        "_contained",
        "_type",
        "_format",
        "_pretty",
    }
)
_MOST = 4000


@dataclass(frozen=True, slots=True)
class Criteria:
    """The type and the parameters of the search that a changed resource must meet."""

    type: str
    params: tuple[tuple[str, str], ...]


def parse(tenant: Tenant, subscription: dict[str, Any]) -> Criteria:
    """Return the criteria of a Subscription; Refusal says which part of them is not understood."""
    text = subscription.get("criteria", "")
    type_, _, query = text.partition("?")
    if len(text) > _MOST or not R4.is_type(type_):
        raise Refusal(
            "criteria-invalid", "criteria is Type?parameter=value&..., with a resource type of R4 and no base URL."
        )
    try:
        params = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=100)
    except ValueError as error:
        raise Refusal("criteria-invalid", "criteria after the ? is parameter=value, joined by &.") from error
    for name, _ in params:
        if name.split(":")[0] in RESULT_PARAMETERS:
            raise Refusal(
                "criteria-not-filter", f"criteria may not say {name.split(':')[0]}: it selects, nothing is listed."
            )
    try:
        query = parse_query(type_, params, lenient=False, base=tenant.base)
    except BadSearch as error:
        raise Refusal("criteria-invalid", f"criteria: {error.text}") from error
    if not all(isinstance(each, Clause) for each in query.where):
        text = "criteria ask of the resource itself: chains, _has, _filter and _list are not served there."
        raise Refusal("criteria-not-supported", text)
    if any(isinstance(each, Clause) and each.param.id >= FIRST for each in query.where):
        text = "criteria are R4's own search parameters: one that was added may be gone when a change is to be told."
        raise Refusal("criteria-not-supported", text)
    return Criteria(type_, tuple(params))
