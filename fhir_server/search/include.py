"""`_include` and `_revinclude`: what is said by their values (R4 search.html#include).

Observation:subject            what the parameter refers to          (include Observation subject)
Observation:subject:Patient    ... when that is a Patient            (include Observation subject Patient)
Observation:*                  by any reference parameter            (include Observation *)
*                              of any type                           (include * *)

With `:iterate` (`:recurse` before R4) it is followed from what was included, too. What is followed is the index of references:
literal references and canonical URLs. Logical references (an identifier only) lead nowhere, those inside a resource stay there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fhir_server.errors import BadSearch, Issue
from fhir_server.search.modifiers import suggestions
from fhir_server.search.parameters import Source, remembered, served_params, table
from fhir_server.search.query import Include, Query, Unsupported, invalid, shown
from profiles.registry import R4, SearchParam

NAMES = ("_include", "_revinclude")
MAX_INCLUDES = 50
APART = frozenset({"AuditEvent"})
"""Types of which most is kept elsewhere, as the audit trail: a reverse include would pass a part for the whole."""

_ITERATE = ("iterate", "recurse")


# ---- reading ----


def control(name: str) -> Callable[[Query, str, int], str] | None:
    """Return what reads a parameter's value, None when it is no include."""
    stem, colon, modifier = name.partition(":")
    if stem not in NAMES:
        return None
    if colon and modifier not in _ITERATE:
        text = f"The modifier :{shown(modifier)} does not go with {stem}; it takes :iterate."
        raise Unsupported("search-modifier", text, "invalid")

    def take(query: Query, text: str, _: int) -> str:
        found = _read(stem, text, iterate=bool(colon))
        if found not in query.includes:
            query.includes.append(found)
        if len(query.includes) > MAX_INCLUDES:
            raise BadSearch(f"A search has {MAX_INCLUDES} includes at most.", "search-too-long", stem)
        return text

    return take


def _read(stem: str, text: str, *, iterate: bool) -> Include:
    reverse = stem == "_revinclude"
    if text == "*":
        return Include(reverse, iterate)
    parts = text.split(":")
    if "," in text:
        raise invalid(stem, "is one Type:parameter; give the parameter again for another")
    if len(parts) not in (2, 3) or not all(parts):
        raise invalid(stem, "is Type:parameter, Type:parameter:TargetType, Type:* or *")
    type_, name = parts[0], parts[1]
    _check_type(type_)
    if reverse and type_ in APART:
        raise Unsupported("search-include-not-supported", f"{type_}s are not included: search them by themselves.")
    params = _named(type_, name)
    target = parts[2] if len(parts) == 3 else None
    if target is not None:
        _check_target(params, name, target)
    return Include(reverse, iterate, type_, None if name == "*" else name, target)


def _check_type(type_: str) -> None:
    if not R4.is_type(type_):
        text = f"{shown(type_)} is no resource type.{suggestions(type_, list(R4.types))}"
        raise Unsupported("search-unknown-type", text, "not-found")


def _named(type_: str, name: str) -> list[SearchParam]:
    """Return the reference parameters that a name means."""
    followed = references(type_)
    if name == "*":
        return list(followed.values())
    if name in followed:
        return [followed[name]]
    kinds = {param.name: param.kind for param in served_params(type_)}
    if name in kinds:
        text = f"{name} of {type_} is a parameter of kind {kinds[name]}; only references can be followed."
        raise Unsupported("search-include-kind", text, "invalid")
    hint = suggestions(name, list(followed))
    raise Unsupported("search-unknown-parameter", f"{type_} has no search parameter {shown(name)}.{hint}", "not-found")


def _check_target(params: Iterable[SearchParam], name: str, target: str) -> None:
    _check_type(target)
    allowed = {each for param in params for each in param.targets or R4.types}
    if target not in allowed:
        text = f"{shown(name)} refers to {', '.join(sorted(allowed))}, not to {target}."
        raise Unsupported("search-target", text, "invalid")


# ---- the whole query ----


def settle(query: Query, *, lenient: bool) -> None:
    """Look at the includes of a query as a whole: refuse what cannot be mixed, say which add nothing."""
    if not query.includes:
        return
    if query.summary == "text":
        text = "_include and _revinclude cannot be mixed with _summary=text (R4 search.html#summary)."
        if not lenient:
            raise BadSearch(text, "search-include-summary", "_summary")
        query.issues.append(Issue("invalid", "search-include-summary", f"{text} They were left out.", None, "warning"))
        query.applied = [pair for pair in query.applied if pair[0].partition(":")[0] not in NAMES]
        query.includes = []
    query.issues += [_idle(each) for each in query.includes if not _applies(each, query)]


def _applies(include: Include, query: Query) -> bool:
    """Tell whether an include can start from what matches, or from what another brings."""
    if include.iterate or include.type is None:
        return True
    searched = [query.type] if query.type else query.types or R4.types
    if not include.reverse:
        return include.type in searched
    return any(target is None or target in searched for _, target in backward_steps(include, include.type))


def _idle(include: Include) -> Issue:
    where = "_revinclude" if include.reverse else "_include"
    name = f"{include.type}:{include.name or '*'}"
    text = f"{where}={name} adds nothing: it has to do with none of the types searched."
    if not include.reverse:
        text += " To follow what is included itself, write _include:iterate."
    return Issue("informational", "search-include-idle", text, where, "warning")


# ---- what it means ----

Step = tuple[Source, str | None]
"""Index entries to follow, and the type that they must lead to; None for any."""


@remembered
def references(type_: str) -> dict[str, SearchParam]:
    """Return the reference parameters of a type by name: what can be followed."""
    return {param.name: param for param in served_params(type_) if param.kind == "reference"}


@remembered
def _steps(type_: str, name: str | None, target: str | None) -> tuple[Step, ...]:
    found: dict[tuple[int, str | None], Step] = {}
    for param in references(type_) if name is None else (name,):
        for source in table(type_).sources[param]:
            narrowed = target or source.only
            if source.only in (None, narrowed):
                found[(source.id, narrowed)] = (source, narrowed)
    return tuple(found.values())


def forward_steps(include: Include, type_: str) -> tuple[Step, ...]:
    """Return what to follow from a resource of a type."""
    if include.reverse or include.type not in (None, type_):
        return ()
    return _steps(type_, include.name, include.target)


def sources_of(include: Include) -> tuple[str, ...]:
    """Return the types that a reverse include looks for."""
    return (include.type,) if include.type else tuple(type_ for type_ in R4.types if type_ not in APART)


def backward_steps(include: Include, type_: str) -> tuple[Step, ...]:
    """Return by what resources of a type refer, one step for each type that it may lead to."""
    return _targeted(type_, include.name, include.target)


@remembered
def _targeted(type_: str, name: str | None, target: str | None) -> tuple[Step, ...]:
    steps = _steps(type_, name, target)
    return tuple((source, each) for source, to in steps for each in ((to,) if to else source.param.targets or (None,)))


def targets_of(steps: Iterable[Step]) -> set[str]:
    """Return the types that steps may lead to."""
    return {type_ for source, target in steps for type_ in ((target,) if target else source.param.targets or R4.types)}
