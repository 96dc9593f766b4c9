"""The conditions of a request: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-None-Exist`, in a header or an entry."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fhir_server.errors import BadRequest, PreconditionFailed
from fhir_server.model.primitives import date_range
from fhir_server.storage.reads import Stored

_ETAG = re.compile(r'(?:W/)?"([^"]{1,64})"')


@dataclass(frozen=True, slots=True)
class Conditions:
    """Versions are the text between the quotes of an ETag, `*` for any."""

    if_match: str | None = None
    if_none_match: str | None = None
    if_modified_since: datetime | None = None
    if_none_exist: str | None = None


NO_CONDITIONS = Conditions()


def parse_etag(text: str, name: str) -> str:
    """Return what stands between the quotes of an ETag, or `*`."""
    text = text.strip()
    if text == "*":
        return text
    matched = _ETAG.fullmatch(text)
    if not matched:
        raise BadRequest(f'{name} takes one version, written as W/"3".', "etag-malformed")
    return matched[1]


def entry_conditions(request: Mapping[str, Any]) -> Conditions:
    """Read the conditions of a Bundle.entry.request."""
    since = request.get("ifModifiedSince")
    return Conditions(
        parse_etag(request["ifMatch"], "ifMatch") if "ifMatch" in request else None,
        parse_etag(request["ifNoneMatch"], "ifNoneMatch") if "ifNoneMatch" in request else None,
        date_range(since)[0] if since else None,
        request.get("ifNoneExist"),
    )


def stale() -> PreconditionFailed:
    """Return the error for an If-Match that does not hold."""
    return PreconditionFailed("The resource is not at the version that If-Match names; read it again.", "if-match")


def check_conditions(conditions: Conditions, current: Stored | None) -> None:
    """Raise PreconditionFailed unless If-Match and If-None-Match hold for what is there now."""
    if conditions is NO_CONDITIONS:
        return
    versions = () if current is None or current.deleted else ("*", str(current.version))
    if conditions.if_match is not None and conditions.if_match not in versions:
        raise stale()
    if conditions.if_none_match in versions:
        raise PreconditionFailed("The resource is there already, which If-None-Match rules out.", "if-none-match")


def not_modified(conditions: Conditions, stored: Stored) -> bool:
    """Tell whether the reader has this version already (RFC 9110 §13.2.2: the ETag decides where both are given)."""
    if conditions.if_none_match is not None:
        return conditions.if_none_match in ("*", str(stored.version))
    since = conditions.if_modified_since
    return since is not None and stored.last_updated < since + timedelta(seconds=1)
