"""Scopes that name no resources: launch context, identity, refresh, and rights of our own (SMART App Launch 2.2 "Scopes").

A list of scopes is taken apart here; what stands in it as a resource scope is read by `scopes.py`, letter for letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from fhir_server.auth import labels
from fhir_server.auth.oauth_errors import printable
from fhir_server.auth.scopes import MAX_SCOPE, ScopeError, join, parse_scope
from fhir_server.context import Scope

LAUNCH: Final = frozenset({"launch", "launch/patient", "launch/encounter"})
IDENTITY: Final = frozenset({"openid", "fhirUser", "profile"})
OFFLINE: Final = "offline_access"
ONLINE: Final = "online_access"
REFRESH: Final = frozenset({OFFLINE, ONLINE})
START_LAUNCH: Final = "__launch"
"""The client may make launch handles: it is the EHR, or an app in which a person acts as the user of one."""
INTROSPECT: Final = "__introspect"
"""The client may ask what any token means."""
ADMIN: Final = "__admin"
"""The client may manage people and clients (`admin/`)."""
ALERT_RULES: Final = "__alert-rules"
"""The client may put alert rules into effect, change those in effect, and switch them off."""
OURS: Final = frozenset({START_LAUNCH, INTROSPECT, ADMIN, ALERT_RULES})
KNOWN: Final = LAUNCH | IDENTITY | REFRESH | OURS | labels.WORDS

_OTHER_LAUNCH = re.compile(r"launch/[a-z]{1,40}(\?role=[A-Za-z0-9:/._-]{1,100})?")
_RESOURCE_LIKE = re.compile(r"(patient|user|system)/", re.IGNORECASE)


def is_special(text: str) -> bool:
    """Tell whether the word is a scope of ours that names no resources."""
    return text in KNOWN or _OTHER_LAUNCH.fullmatch(text) is not None


@lru_cache(maxsize=4096)
def split(text: str) -> tuple[tuple[Scope, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the resource scopes, the special ones, and the words that mean nothing here; ScopeError for what is malformed."""
    if len(text) > MAX_SCOPE:
        raise ScopeError(f"scope has {len(text)} characters; {MAX_SCOPE} at most")
    resources, special, unknown = [], [], []
    for word in dict.fromkeys(text.split(" ")):
        if is_special(word):
            special.append(word)
        elif _RESOURCE_LIKE.match(word):
            resources.append(parse_scope(word))
        elif word:
            unknown.append(word)
    return tuple(resources), tuple(special), tuple(unknown)


def known(text: str) -> tuple[tuple[Scope, ...], tuple[str, ...]]:
    """Return resource scopes and special ones of a list in which nothing may be unknown; ScopeError names what is."""
    resources, special, unknown = split(text)
    if unknown:
        raise ScopeError(f"{printable(unknown[0])}: not a resource scope, and none of {', '.join(sorted(KNOWN))}")
    return resources, special


def written(resources: Iterable[Scope], special: Iterable[str]) -> str:
    """Return a `scope` string: special scopes first."""
    return " ".join(part for part in (" ".join(special), join(resources)) if part)
