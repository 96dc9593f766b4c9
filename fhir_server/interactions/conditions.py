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
_BARE = re.compile(r"[A-Za-z0-9.\-]{1,64}")
_ETAGS = re.compile(rf"{_ETAG.pattern}(?:\s*,\s*{_ETAG.pattern})*")


@dataclass(frozen=True, slots=True)
class Conditions:
    """Versions are the texts between the quotes of ETags, `*` for any."""

    if_match: tuple[str, ...] | None = None
    if_none_match: tuple[str, ...] | None = None
    if_modified_since: datetime | None = None
    if_none_exist: str | None = None


NO_CONDITIONS = Conditions()


def parse_etags(text: str, name: str, *, bare: bool = False) -> tuple[str, ...]:
    """Return what stands between the quotes of each ETag (RFC 9110 §13.1: one, or several with commas), or `*`.

    `bare` takes a version without quotes too, as some clients send it with a read, where it can do no harm.
    """
    text = text.strip()
    if text == "*":
        return (text,)
    if bare and _BARE.fullmatch(text):
        return (text,)
    if not _ETAGS.fullmatch(text):
        raise BadRequest(f'{name} takes a version, written as W/"3".', "etag-malformed")
    return tuple(_ETAG.findall(text))


def entry_conditions(request: Mapping[str, Any]) -> Conditions:
    """Read the conditions of a Bundle.entry.request."""
    since = request.get("ifModifiedSince")
    return Conditions(
        parse_etags(request["ifMatch"], "ifMatch") if "ifMatch" in request else None,
        parse_etags(request["ifNoneMatch"], "ifNoneMatch", bare=True) if "ifNoneMatch" in request else None,
        date_range(since)[0] if since else None,
        request.get("ifNoneExist"),
    )


def stale() -> PreconditionFailed:
    """Return the error for an If-Match that does not hold."""
    return PreconditionFailed("The resource is not at the version that If-Match names; read it again.", "if-match")


def stray_condition(conditions: Conditions, method: str) -> BadRequest | None:
    """Return the refusal of a condition that does not go with a write: passed over, it would seem to hold."""
    if method == "POST" and conditions.if_match is not None:
        return BadRequest("If-Match goes with update, patch and delete: a create meets no version.", "condition-stray")
    if method != "POST" and conditions.if_none_exist is not None:
        return BadRequest("If-None-Exist goes with create: criteria of an update stand in its url.", "condition-stray")
    return None


def refuse_stray_condition(conditions: Conditions, method: str) -> None:
    """Raise BadRequest for a condition that does not go with a write."""
    error = None if conditions is NO_CONDITIONS else stray_condition(conditions, method)
    if error is not None:
        raise error


def check_conditions(conditions: Conditions, current: Stored | None) -> None:
    """Raise PreconditionFailed unless If-Match and If-None-Match hold for what is there now."""
    if conditions is NO_CONDITIONS:
        return
    there = current if current is not None and not current.deleted else None
    if conditions.if_match is not None and not _names(conditions.if_match, there):
        raise stale()
    if conditions.if_none_match is not None and _names(conditions.if_none_match, there):
        raise PreconditionFailed("The resource is there already, which If-None-Match rules out.", "if-none-match")


def _names(versions: tuple[str, ...], stored: Stored | None) -> bool:
    """Tell whether the versions name what is there."""
    return stored is not None and not {"*", str(stored.version)}.isdisjoint(versions)


def not_modified(conditions: Conditions, stored: Stored) -> bool:
    """Tell whether the reader has this version already (RFC 9110 §13.2.2: the ETag decides where both are given)."""
    if conditions.if_none_match is not None:
        return _names(conditions.if_none_match, stored)
    since = conditions.if_modified_since
    return since is not None and stored.last_updated < since + timedelta(seconds=1)
