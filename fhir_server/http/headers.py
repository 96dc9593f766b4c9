"""The request headers that FHIR gives a meaning to, and the response headers that follow from a Result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from functools import lru_cache

from fhir_server.interactions.call import Return
from fhir_server.interactions.conditions import NO_CONDITIONS, Conditions, parse_etags

_PREFERENCE = re.compile(r"\s*([A-Za-z-]+)\s*(?:=\s*\"?([A-Za-z-]*)\"?)?\s*(?:;.*)?")
_RETURNS: dict[str, Return] = {
    "minimal": "minimal",
    "representation": "representation",
    "operationoutcome": "OperationOutcome",
}


@dataclass(frozen=True, slots=True)
class Prefer:
    """The parts of `Prefer` that FHIR uses; what is not understood is left out, as RFC 7240 wants."""

    returns: Return | None = None
    lenient: bool = False
    respond_async: bool = False


@lru_cache(maxsize=256)
def parse_prefer(text: str) -> Prefer:
    """Parse a Prefer header; what it says that FHIR does not know is ignored (RFC 7240 §2)."""
    returns: Return | None = None
    handling = ""
    respond_async = False
    for part in re.split(r"[,;]", text):
        matched = _PREFERENCE.fullmatch(part)
        name, value = (matched[1].lower(), (matched[2] or "").lower()) if matched else ("", "")
        if name == "return":
            returns = _RETURNS.get(value, returns)
        elif name == "handling":
            handling = value if value in ("strict", "lenient") else handling
        elif name == "respond-async":
            respond_async = True
    return Prefer(returns, handling == "lenient", respond_async)


def parse_conditions(headers: Mapping[str, str]) -> Conditions:
    """Read If-Match, If-None-Match, If-Modified-Since and If-None-Exist."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    since, none_exist = headers.get("if-modified-since"), headers.get("if-none-exist")
    if match is none_match is since is none_exist is None:
        return NO_CONDITIONS
    return Conditions(
        parse_etags(match, "If-Match") if match is not None else None,
        parse_etags(none_match, "If-None-Match", bare=True) if none_match is not None else None,
        _http_date(since) if since is not None else None,
        none_exist,
    )


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None  # RFC 9110 §13.1.3: a date that cannot be read is as if it were not there
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@lru_cache(maxsize=2048)
def http_date(moment: datetime) -> str:
    """Return `moment` as in `Last-Modified`, cut to whole seconds."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)
