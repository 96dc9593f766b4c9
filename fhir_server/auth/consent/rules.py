"""A Consent read as rules (R4 consent.html): base, provisions within provisions, and what in it nobody here understands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from fhir_server.model.references import Local, parse_reference
from fhir_server.search.kinds.date import FIRST, LAST, span

Decision = Literal["permit", "deny"]
Coded = tuple[str, str]
"""System and code."""

SCOPES: Final = "http://terminology.hl7.org/CodeSystem/consentscope"
RESEARCH: Final = "research"
OTHER_SCOPES: Final = frozenset({"adr", RESEARCH, "treatment"})
"""Scopes of Consents that are about something else than who may see the record."""
BASES: Final[dict[str, Decision]] = {"OPTIN": "permit", "OPTINR": "permit", "OPTOUT": "deny", "OPTOUTE": "deny"}
_RECIPIENTS: Final = frozenset({"PRCP", "IRCP"})
_UNDERSTOOD: Final = frozenset(
    {"id", "type", "period", "actor", "action", "securityLabel", "purpose", "class", "code", "dataPeriod", "data", "provision"}
)  # fmt: skip
MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class Provision:
    """One provision; an empty tuple says nothing, `unclear` names conditions that are not understood."""

    type: Decision | None
    start: datetime = FIRST
    end: datetime = LAST
    actors: tuple[str, ...] = ()
    """Recipients as Type/id; "" is an actor that is not understood."""
    actions: tuple[Coded, ...] = ()
    labels: tuple[Coded, ...] = ()
    purposes: tuple[Coded, ...] = ()
    classes: tuple[Coded, ...] = ()
    codes: tuple[Coded, ...] = ()
    data: tuple[tuple[str, str], ...] = ()
    """Type and id of resources that are meant one by one."""
    unclear: frozenset[str] = frozenset()
    nested: tuple[Provision, ...] = ()

    @property
    def conditional(self) -> bool:
        """Tell whether it says of whom or what it speaks, beside when."""
        said = (
            self.actors,
            self.actions,
            self.labels,
            self.purposes,
            self.classes,
            self.codes,
            self.data,
            self.unclear,
        )
        return any(said)


@dataclass(frozen=True, slots=True)
class Rules:
    """One active Consent: its base, None when there is none that is understood, and the root provision."""

    base: Decision | None
    root: Provision
    understood: bool = True
    typed: bool = False
    """Whether what it says depends on the type of a resource."""
    research: bool = False
    """Whether it speaks of research alone, and of nobody's sight of the record."""


def rules_of(consent: dict[str, Any], base_url: str) -> Rules | None:
    """Return the rules of a Consent; None when it speaks neither of access to the record nor of research, or is not active."""
    elsewhere = _elsewhere(consent)
    research = RESEARCH in elsewhere
    if consent.get("status") != "active" or (elsewhere and not research):
        return None
    given = consent.get("provision", {})
    if "modifierExtension" in consent or not _shallow(given, MAX_DEPTH):
        return Rules(None, Provision(None), understood=False, research=research)
    root = _provision(given, base_url)
    base = _base(consent)
    return Rules(base, root, (base or root.type) is not None and _typed(root.nested), _by_type(root), research)


def _elsewhere(consent: dict[str, Any]) -> set[str]:
    """Return what a Consent speaks of when that is not who may see the record; nothing when it (also) is."""
    codes = {(c.get("system"), c.get("code")) for c in consent.get("scope", {}).get("coding", ())}
    return {code for _, code in codes} if all(s == SCOPES and code in OTHER_SCOPES for s, code in codes) else set()


def _base(consent: dict[str, Any]) -> Decision | None:
    found = {BASES[c["code"]] for c in consent.get("policyRule", {}).get("coding", ()) if c.get("code") in BASES}
    return "deny" if "deny" in found else "permit" if found else None


def _typed(nested: Iterable[Provision]) -> bool:
    """Tell whether every nested provision says whether it permits or denies, as R4 requires."""
    return all(each.type is not None and _typed(each.nested) for each in nested)


def _by_type(provision: Provision) -> bool:
    said = provision.classes or provision.codes or provision.data
    return bool(said) or any(_by_type(each) for each in provision.nested)


def _shallow(given: dict[str, Any], depth: int) -> bool:
    return depth > 0 and all(_shallow(each, depth - 1) for each in given.get("provision", ()))


def _provision(given: dict[str, Any], base_url: str) -> Provision:
    start, end = _period(given.get("period", {}))
    unclear = {name for name in given if name not in _UNDERSTOOD and not name.startswith("_") and name != "extension"}
    unclear |= {"dataPeriod"} & given.keys()
    actions, more = _concepts(given.get("action", ()))
    unclear |= {"action"} if more else set()
    codes, more = _concepts(given.get("code", ()))
    unclear |= {"code"} if more else set()
    data, more = _data(given.get("data", ()), base_url)
    unclear |= {"data"} if more else set()
    return Provision(
        given.get("type"), start, end, tuple(_actor(each, base_url) for each in given.get("actor", ())), actions,
        _codings(given.get("securityLabel", ())), _codings(given.get("purpose", ())), _codings(given.get("class", ())),
        codes, data, frozenset(unclear), tuple(_provision(each, base_url) for each in given.get("provision", ())),
    )  # fmt: skip


def _period(period: dict[str, Any]) -> tuple[datetime, datetime]:
    start = span(period["start"])[0] if "start" in period else FIRST
    return start, span(period["end"])[1] if "end" in period else LAST


def _codings(given: Iterable[dict[str, Any]]) -> tuple[Coded, ...]:
    return tuple((each.get("system", ""), each.get("code", "")) for each in given)


def _concepts(given: Iterable[dict[str, Any]]) -> tuple[tuple[Coded, ...], bool]:
    """Return the codings, and whether one of the concepts has none."""
    concepts = [_codings(each.get("coding", ())) for each in given]
    return tuple(coding for concept in concepts for coding in concept), any(not concept for concept in concepts)


def _actor(given: dict[str, Any], base_url: str) -> str:
    roles = {coding.get("code") for coding in given.get("role", {}).get("coding", ())}
    parsed = parse_reference(given.get("reference", {}).get("reference", ""), base_url)
    return f"{parsed.type}/{parsed.id}" if isinstance(parsed, Local) and roles & _RECIPIENTS else ""


def _data(given: Iterable[dict[str, Any]], base_url: str) -> tuple[tuple[tuple[str, str], ...], bool]:
    found, unclear = [], False
    for each in given:
        parsed = parse_reference(each.get("reference", {}).get("reference", ""), base_url)
        if isinstance(parsed, Local):
            found.append((parsed.type, parsed.id))
        unclear = unclear or not isinstance(parsed, Local) or each.get("meaning") != "instance"
    return tuple(found), unclear
