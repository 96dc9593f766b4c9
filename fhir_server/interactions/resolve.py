"""What a transaction's entries come down to, given what is stored now: searches and current versions, nothing written yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fhir_server.context import RequestContext
from fhir_server.errors import BadRequest, FhirError, Issue, PreconditionFailed, Unprocessable
from fhir_server.interactions.address import parse_query
from fhir_server.interactions.conditional import claim_key, find, permitted
from fhir_server.interactions.conditions import check_conditions
from fhir_server.interactions.pace import Pace, several
from fhir_server.interactions.patch import patchable, patched
from fhir_server.interactions.plan import Entry, Plan, conditional_references, normalised, overlap
from fhir_server.interactions.races import Claims
from fhir_server.interactions.results import absent
from fhir_server.interactions.update import check_visible
from fhir_server.kit import json
from fhir_server.model.references import Conditional, find_references, parse_reference
from fhir_server.storage import reads
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility

Name = tuple[str, str]

_INTERACTIONS: dict[tuple[str, bool], tuple[str, ...]] = {
    ("POST", False): ("create",),
    ("POST", True): ("create",),
    ("PUT", False): ("update",),
    ("PUT", True): ("update", "create"),
    ("PATCH", False): ("patch",),
    ("PATCH", True): ("patch",),
    ("DELETE", False): ("delete",),
    ("DELETE", True): ("delete",),
}
"""(method, conditional) -> the interactions of which one has to be allowed."""


@dataclass(slots=True)
class Step:
    """One writing entry: its target and what stands there now; `keep` finds what it wants already there."""

    entry: Entry
    action: Literal["write", "delete", "keep"]
    name: Name
    current: Stored | None = None
    claim: bytes | None = None
    fresh: bool = False
    pinned: bool = False
    """A reference inside of the transaction names the version that this makes: it makes one, whatever it changes."""

    @property
    def version(self) -> int:
        """Return the version that stands there afterwards."""
        before = self.current.version if self.current else 0
        return before + 1 if self.action == "write" else max(before, 1)


@dataclass(slots=True)
class Resolution:
    """All steps in the order of processing, and what conditional references stand for."""

    steps: list[Step]
    references: dict[str, str]

    def targets(self) -> dict[int, Name]:
        """Return where each entry's resource ends up."""
        return {step.entry.position: step.name for step in self.steps if step.action != "delete"}


class Resolver:
    """Resolves one plan; holds what the steps of that share."""

    def __init__(self, ctx: RequestContext, plan: Plan, taken: Claims) -> None:
        self._ctx = ctx
        self._taken = taken
        self._plan = plan
        self._current: dict[Name, Stored] = {}
        self._seen: dict[tuple[str, str, bool], Visibility] = {}
        self._gone: frozenset[Name] = frozenset()
        self._pending: dict[tuple[str, str], Name] = {}

    async def resolve(self) -> Resolution:
        """Return the steps; raises for preconditions that fail, with the entry as expression."""
        writing = [entry for entry in self._plan.ordered if entry.method in ("POST", "PUT", "PATCH", "DELETE")]
        await self._permissions(writing)
        await self._read_current(writing)
        deletes = [entry for entry in writing if entry.method == "DELETE"]
        steps = [step for step in await several([self._delete(entry) for entry in deletes]) if step is not None]
        self._gone = frozenset(step.name for step in steps)
        writes = [entry for entry in writing if entry.method != "DELETE"]
        searched = [entry for entry in writes if entry.conditional]
        found = await several([self._match(entry) for entry in searched])
        matches = {entry.position: match for entry, match in zip(searched, found, strict=True)}
        pace = Pace()
        for entry in writes:
            steps.append(await self._write(entry, matches.get(entry.position)))
            await pace.step()
        _refuse_overlaps(steps)
        return Resolution(steps, await self._references(steps))

    async def _permissions(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            key = (_type(entry), entry.method, entry.conditional)
            if key not in self._seen:
                self._seen[key] = await permitted(self._ctx, key[0], *_INTERACTIONS[key[1:]])

    def _visibility(self, entry: Entry) -> Visibility:
        return self._seen[(_type(entry), entry.method, entry.conditional)]

    async def _read_current(self, entries: Sequence[Entry]) -> None:
        for method in ("PUT", "PATCH", "DELETE"):
            named = [entry for entry in entries if entry.method == method and entry.address.id]
            if named:
                names = [(_type(entry), entry.address.id or "") for entry in named]
                visible = {_type(entry): self._visibility(entry) for entry in named}
                self._current.update(await reads.read_many(self._ctx.tenant, names, visible))

    async def _delete(self, entry: Entry) -> Step | None:
        if entry.conditional:
            current = await self._match(entry)
            if current is None:
                return None
        else:
            current = self._current.get((_type(entry), entry.address.id or ""))
            if current is None:
                raise absent().within(entry.where)
        _check(entry, current)
        return Step(entry, "keep" if current.deleted else "delete", (current.type, current.id), current)

    async def _match(self, entry: Entry) -> Stored | None:
        try:
            return await find(self._ctx, _type(entry), entry.criteria(), self._visibility(entry), without=self._gone)
        except FhirError as error:
            raise error.within(f"{entry.where}.request") from error

    async def _write(self, entry: Entry, match: Stored | None) -> Step:
        if entry.method == "PUT":
            return await self._put(entry, match)
        if entry.method == "PATCH":
            return self._patch(entry, match)
        name = (_type(entry), entry.id)
        if not entry.conditional:
            return Step(entry, "write", name, fresh=True)
        if match is not None:
            return Step(entry, "keep", (match.type, match.id), match)
        criteria = (_type(entry), normalised(entry.criteria()))
        if criteria in self._pending:  # an entry before it creates what this one asks for
            return Step(entry, "keep", self._pending[criteria])
        self._pending[criteria] = name
        return Step(entry, "write", name, claim=await self._claim(entry), fresh=True)

    def _patch(self, entry: Entry, match: Stored | None) -> Step:
        """Apply a patch to what is stored now; only the references that it brings along are the transaction's to rewrite."""
        assert entry.patch is not None
        current = match if entry.conditional else self._current.get((_type(entry), entry.address.id or ""))
        try:
            there = patchable(current)
        except FhirError as error:
            raise error.within(entry.where) from error
        _check(entry, there)
        try:
            entry.resource = patched(entry.patch, there)
        except FhirError as error:
            raise error.within(f"{entry.where}.resource") from error
        known = {holder["reference"] for holder, _ in find_references(json.decode_trusted(there.body))}
        entry.references = [each for each in find_references(entry.resource) if each[0]["reference"] not in known]
        return Step(entry, "write", (there.type, there.id), there)

    async def _put(self, entry: Entry, match: Stored | None) -> Step:
        assert entry.resource is not None
        name = (_type(entry), entry.id)
        given = entry.resource.get("id")
        if match is not None:
            if given not in (None, match.id):
                text = "The criteria match a resource with another id than the one that is sent."
                raise BadRequest(text, "id-mismatch", f"{entry.where}.resource.id")
            _check(entry, match)
            return Step(entry, "write", (match.type, match.id), match)
        current = self._current.get(name)
        if entry.conditional and given:
            current = await reads.read(self._ctx.tenant, *name, self._visibility(entry))
            if current is not None and not current.deleted:
                text = "The id that is sent belongs to a resource that does not meet the criteria."
                raise PreconditionFailed(text, "id-mismatch", f"{entry.where}.resource.id")
        fresh = entry.conditional and not given
        if not fresh:
            await check_visible(self._ctx, name[0], current)
        _check(entry, current)
        claim = await self._put_claim(entry, name) if entry.conditional else None
        return Step(entry, "write", name, current, claim, fresh)

    async def _put_claim(self, entry: Entry, name: Name) -> bytes:
        """Return the claim of an update that creates; an entry before it may create what it would have to change."""
        criteria = (name[0], normalised(entry.criteria()))
        if criteria in self._pending:
            issue = overlap(entry)
            raise BadRequest(issue.text, issue.id, issues=[issue])
        self._pending[criteria] = name
        return await self._claim(entry)

    async def _claim(self, entry: Entry) -> bytes:
        key = await claim_key(self._ctx, _type(entry), entry.criteria(), self._visibility(entry))
        await self._taken.unmatched(key)
        return key

    async def _references(self, steps: Sequence[Step]) -> dict[str, str]:
        wanted = conditional_references(self._plan.entries, self._ctx.base)
        if not wanted:
            return {}
        inside = _by_identifier(steps)
        texts = list(wanted)
        found = await several([self._reference(text, wanted[text][0], inside) for text in texts])
        return dict(zip(texts, found, strict=True))

    async def _reference(self, text: str, where: str, inside: dict[tuple[str, str], set[Name]]) -> str:
        parsed = parse_reference(text, self._ctx.base)
        assert isinstance(parsed, Conditional)
        criteria = parse_query(parsed.query)
        if pending := self._pending.get((parsed.type, normalised(criteria))):
            return "/".join(pending)
        try:
            visibility = await permitted(self._ctx, parsed.type, "search-type", "read")
            found = await find(self._ctx, parsed.type, criteria, visibility, without=self._gone)
        except FhirError as error:
            raise error.within(where) from error
        names = {(found.type, found.id)} if found else set()
        if len(criteria) == 1 and criteria[0][0] == "identifier":
            names |= inside.get((parsed.type, criteria[0][1]), set())
        return "/".join(_only(names, parsed.type, where))


def _only(names: set[Name], type_: str, where: str) -> Name:
    if not names:
        text = f"A conditional reference to {type_} matches nothing that is here or in this Bundle."
        raise Unprocessable(text, "reference-unresolved", where, code="not-found")
    if len(names) > 1:
        text = f"A conditional reference to {type_} matches several resources."
        raise PreconditionFailed(text, "multiple-matches", where, code="multiple-matches")
    return next(iter(names))


def _type(entry: Entry) -> str:
    assert entry.address.type
    return entry.address.type


def _check(entry: Entry, current: Stored | None) -> None:
    try:
        check_conditions(entry.conditions, current)
    except FhirError as error:
        raise error.within(f"{entry.where}.request") from error


def _refuse_overlaps(steps: Iterable[Step]) -> None:
    changed: set[Name] = set()
    issues: list[Issue] = []
    for step in steps:
        if step.action != "keep":
            if step.name in changed:
                issues.append(overlap(step.entry))
            changed.add(step.name)
    if issues:
        raise BadRequest(issues[0].text, issues[0].id, issues=issues)


def _by_identifier(steps: Iterable[Step]) -> dict[tuple[str, str], set[Name]]:
    """Return the resources that the Bundle writes by type and identifier, written as in a search."""
    found: dict[tuple[str, str], set[Name]] = {}
    for step in steps:
        given = (step.entry.resource or {}).get("identifier", []) if step.action == "write" else []
        for identifier in given if isinstance(given, list) else [given]:
            if value := identifier.get("value"):
                for text in (f"{identifier.get('system', '')}|{value}", value):
                    found.setdefault((step.name[0], text), set()).add(step.name)
    return found
