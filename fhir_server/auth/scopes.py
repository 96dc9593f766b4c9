"""The grammar of SMART resource scopes, v1 and v2 (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").

A token is taken whole or refused with the reason: a parser that ignores a tail turns a filtered scope into an
unfiltered one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, cast

from fhir_server.auth.filters import check_value
from fhir_server.auth.oauth_errors import printable
from fhir_server.context import Scope, ScopeLevel
from profiles.registry import R4, SearchParam

LETTERS: Final = "cruds"
V1: Final = {"read": "rs", "write": "cud", "*": "cruds"}
FILTER_KINDS: Final = ("token", "reference", "uri")
MAX_TOKEN: Final = 512
MAX_SCOPE: Final = 4096
MAX_ALTERNATIVES: Final = 64
NOT_FILTERS: Final = ("_id", "_query")
"""Parameters of a kind that could filter, but that are answered without an index key."""

INTERACTIONS: Final = {
    "read": "r",
    "vread": "r",
    "history-instance": "r",
    "search": "s",
    "search-type": "s",
    "search-system": "s",
    "history-type": "s",
    "history-system": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
"""The letter that allows an interaction."""

_TOKEN = re.compile(r"(patient|user|system)/([A-Za-z]+|\*)\.([A-Za-z*]+)(\?.*)?")
_V2 = re.compile(r"c?r?u?d?s?")
_NAME = re.compile(r"_?[a-z][a-z-]*")
_VALUE = re.compile(r"[!#$'()*+\-./0-9:;<>@A-Z\[\]^_`a-z{|}~]+")


class ScopeError(ValueError):
    """A scope that is refused; the text is a sentence for who asked."""


def _letters(text: str, rights: str) -> str:
    if rights in V1:
        return V1[rights]
    if rights and _V2.fullmatch(rights):
        return rights
    if set(rights) <= set(LETTERS):
        in_order = "".join(letter for letter in LETTERS if letter in rights)
        raise ScopeError(f"{text}: letters stand once each, in the order of 'cruds'; write .{in_order}")
    raise ScopeError(f"{text}: after the dot stand letters of 'cruds' (v2), or read, write or * (v1)")


def _filter_param(text: str, type_: str, name: str) -> SearchParam:
    if not _NAME.fullmatch(name):
        raise ScopeError(f"{text}: modifiers, chains and _has are not taken in scopes; use name=value")
    params = R4.params("Resource" if type_ == "*" else type_)
    param = params.get(name)
    if param is None:
        raise ScopeError(f"{text}: {name} is not a search parameter of {'every type' if type_ == '*' else type_}")
    if param.kind not in FILTER_KINDS or name in NOT_FILTERS:
        raise ScopeError(f"{text}: {name} cannot filter a scope; use a parameter of kind token, reference or uri")
    return param


def _filter(text: str, type_: str, part: str) -> tuple[str, tuple[str, ...]]:
    name, equals, value = part.partition("=")
    if not equals:
        raise ScopeError(f"{text}: a filter is written name=value")
    param = _filter_param(text, type_, name)
    values = tuple(value.split(","))
    if not all(_VALUE.fullmatch(each) for each in values):
        raise ScopeError(
            f"{text}: a value of {name} is empty or holds a character that scopes cannot carry, such as % or ="
        )
    if len(values) > MAX_ALTERNATIVES:
        raise ScopeError(f"{text}: {MAX_ALTERNATIVES} alternatives at most")
    try:
        for each in values:
            check_value(param, each)
    except ValueError as error:
        raise ScopeError(f"{text}: a value of {name} {error}") from error
    return name, values


def _filters(text: str, type_: str, query: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Parse `?a=b,c&d=e`: commas are OR, ampersands AND, as in a search."""
    filters = tuple(_filter(text, type_, part) for part in query[1:].split("&"))
    alternatives = 1
    for _, values in filters:
        alternatives *= len(values)
    if alternatives > MAX_ALTERNATIVES:
        raise ScopeError(f"{text}: its filters combine to {alternatives} alternatives, {MAX_ALTERNATIVES} at most")
    return filters


def parse_scope(text: str) -> Scope:
    """Parse one resource scope; ScopeError says what is wrong with it."""
    shown = printable(text)
    if len(text) > MAX_TOKEN:
        raise ScopeError(f"{shown}...: a scope has {MAX_TOKEN} characters at most")
    match = _TOKEN.fullmatch(text)
    if match is None:
        raise ScopeError(f"{shown}: not a resource scope; write level/Type.letters, such as system/Observation.rs")
    level, type_, rights, query = match.groups()
    if type_ != "*" and not R4.is_type(type_):
        raise ScopeError(f"{shown}: {type_} is not a resource type of R4")
    letters = _letters(shown, rights)
    if query is None:
        return Scope(cast("ScopeLevel", level), type_, letters, (), text)
    if rights in V1:
        raise ScopeError(f"{shown}: filters go with v2 letters; write .{letters} instead of .{rights}")
    return Scope(cast("ScopeLevel", level), type_, letters, _filters(shown, type_, query), text)


def parse_scopes(text: str) -> tuple[Scope, ...]:
    """Parse a space-separated list of resource scopes, each once; ScopeError names the first that is refused."""
    if len(text) > MAX_SCOPE:
        raise ScopeError(f"scope has {len(text)} characters; {MAX_SCOPE} at most")
    return tuple(parse_scope(token) for token in dict.fromkeys(text.split(" ")) if token)


def join(scopes: Iterable[Scope]) -> str:
    """Return the `scope` string of a token response."""
    return " ".join(scope.text for scope in scopes)


def _written(scope: Scope) -> Scope:
    """Return the scope with its text in v2 form."""
    query = "&".join(f"{name}={','.join(values)}" for name, values in scope.filters)
    text = f"{scope.level}/{scope.type}.{scope.letters}{'?' + query if query else ''}"
    return Scope(scope.level, scope.type, scope.letters, scope.filters, text)


def intersection(asked: Scope, allowed: Scope) -> Scope | None:
    """Return what both give, or None; the asked text is kept when nothing of it is lost."""
    if asked.level != allowed.level or (asked.type != allowed.type and "*" not in (asked.type, allowed.type)):
        return None
    letters = "".join(letter for letter in asked.letters if letter in allowed.letters)
    if not letters:
        return None
    type_ = allowed.type if asked.type == "*" else asked.type
    filters = asked.filters + tuple(each for each in allowed.filters if each not in asked.filters)
    if (type_, letters, filters) == (asked.type, asked.letters, asked.filters):
        return asked
    return _written(Scope(asked.level, type_, letters, filters))


def covers(wide: Scope, narrow: Scope) -> bool:
    """Tell whether `wide` gives everything that `narrow` gives, as far as their writing shows."""
    return (
        wide.level == narrow.level
        and wide.type in ("*", narrow.type)
        and set(narrow.letters) <= set(wide.letters)
        and set(wide.filters) <= set(narrow.filters)
    )


def _merged(scopes: Iterable[Scope]) -> list[Scope]:
    """Return the scopes with the letters of those put together that differ in nothing else."""
    letters: dict[tuple[ScopeLevel, str, tuple[tuple[str, tuple[str, ...]], ...]], str] = {}
    for scope in scopes:
        key = (scope.level, scope.type, scope.filters)
        letters[key] = letters.get(key, "") + scope.letters
    return [
        Scope(level, type_, "".join(c for c in LETTERS if c in got), filters)
        for (level, type_, filters), got in letters.items()
    ]


def _widest(scopes: Iterable[Scope]) -> list[Scope]:
    """Return the scopes without those that another one covers."""
    kept: list[Scope] = []
    for scope in scopes:
        if not any(covers(each, scope) for each in kept):
            kept = [each for each in kept if not covers(scope, each)] + [scope]
    return kept


def narrow(asked: Iterable[Scope], allowed: Iterable[Scope]) -> tuple[tuple[Scope, ...], dict[str, str]]:
    """Return what of `asked` lies within `allowed`, and for each asked text that lost something, what became of it."""
    allowed = _merged(allowed)
    granted: dict[str, Scope] = {}
    lost: dict[str, str] = {}
    for scope in asked:
        parts = _widest(part for each in allowed if (part := intersection(scope, each)) is not None)
        granted.update((part.text, part) for part in parts)
        if not parts:
            lost[scope.text] = "refused: the client is not registered for it"
        elif not any(covers(part, scope) for part in parts):
            lost[scope.text] = f"narrowed to what the client is registered for: {join(parts)}"
    return tuple(granted.values()), lost
