"""The ValueSet, CodeSystem and StructureDefinition resources of a tenant, found by canonical URL or id; what was read is kept read.

Of several versions the one that is named is meant, else what is active, then the latest. A version of a resource never changes, so
a process parses it once; whether the caller may see it is asked every time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from fhir_server.kit import json
from fhir_server.search.compile import sought
from fhir_server.search.parameters import table
from fhir_server.search.statement import fetch
from fhir_server.storage.reads import COLUMNS, readable
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import Visibility, visible_sql
from profiles.registry import R4
from terminology.code_system import CodeSystem, from_resource, usable

KEPT = 64
_CANDIDATES = 50
_ID = re.compile(r"ValueSet/([A-Za-z0-9\-.]{1,64})")
_PARTS = re.compile(r"\d+|\D+")

Resource = Mapping[str, Any]


class _Kept(OrderedDict[Any, Any]):
    """The results that were asked for last."""

    def remembered(self, at: Any) -> Any:
        if at in self:
            self.move_to_end(at)
        return self.get(at)

    def remember(self, at: Any, value: Any) -> Any:
        self[at] = value
        if len(self) > KEPT:
            self.popitem(last=False)
        return value


_READ = _Kept()
_SYSTEMS = _Kept()


def _newer(version: str) -> tuple[tuple[bool, int, str], ...]:
    """Return what versions are ordered by: numbers as numbers."""
    return tuple((part.isdigit(), int(part) if part.isdigit() else 0, part) for part in _PARTS.findall(version))


class Shelf:
    """Finds what is stored in one tenant."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    async def value_set(self, canonical: str, seen: Visibility) -> Resource | None:
        """Return the ValueSet of a canonical URL, or of `ValueSet/id`; None when there is none that may be seen."""
        by_id = _ID.fullmatch(canonical.removeprefix(f"{self._tenant.base}/"))
        if by_id:
            found = await self._find("ValueSet", seen, "r.fhir_id = {}", by_id[1])
        else:
            found = await self._by_url("ValueSet", canonical, seen)
        return found[0][1] if found else None

    async def structure(self, canonical: str, seen: Visibility) -> Resource | None:
        """Return the StructureDefinition of a canonical URL; None when there is none that may be seen."""
        found = await self._by_url("StructureDefinition", canonical, seen)
        return found[0][1] if found else None

    async def code_system(self, url: str, seen: Visibility | None) -> CodeSystem | None:
        """Return the code system of a URL, stored or R4's own; None when its codes are not here."""
        canonical, _, version = url.partition("|")
        stored = await self._by_url("CodeSystem", url, seen) if seen else []
        for at, resource in stored:
            if usable(resource):
                found: CodeSystem = _SYSTEMS.remembered(at) or _SYSTEMS.remember(at, from_resource(resource))
                return found
        known: CodeSystem | None = _SYSTEMS.remembered(url)
        if known is None and (own := R4.code_system(canonical)) is not None and version in ("", own["version"]):
            known = _SYSTEMS.remember(url, from_resource(own))
        return known

    async def _by_url(self, type_: str, canonical: str, seen: Visibility) -> list[tuple[Any, Resource]]:
        """Return what has a URL, the one that is meant first."""
        url, _, version = canonical.partition("|")
        (source,) = table(type_).sources["url"]
        key = self._tenant.key(source.id, "u", url)
        found = await self._find(type_, seen, f"{sought('r')} @> ARRAY[{{}}::bigint]", key)
        if version:
            return [each for each in found if each[1].get("version") == version]
        return sorted(
            found,
            key=lambda each: (each[1].get("status") == "active", _newer(each[1].get("version", ""))),
            reverse=True,
        )

    async def _find(self, type_: str, seen: Visibility, where: str, value: Any) -> list[tuple[Any, Resource]]:
        args: list[Any] = [value]
        visible = visible_sql("r", seen, args)
        said = (
            f"r.type = {R4.type_id(type_)} AND r.version > 0 AND NOT r.deleted AND {where.format('$1')} AND {visible}"
        )
        rows = await fetch(
            self._tenant,
            f"SELECT r.rid, r.version FROM {{s}}.resource r WHERE {said} ORDER BY rid LIMIT {_CANDIDATES}",
            args,
        )
        at = [(self._tenant.name, row["rid"], row["version"]) for row in rows]
        if any(_READ.remembered(each) is None for each in at):
            rows = await fetch(
                self._tenant,
                f"SELECT {COLUMNS}, r.fhir_id FROM {{s}}.resource r WHERE {said} LIMIT {_CANDIDATES}",
                args,
            )
            for row in readable(self._tenant, rows):
                _READ.remember((self._tenant.name, row.rid, row.version), json.decode_trusted(row.body))
        return [(each, found) for each in at if (found := _READ.remembered(each)) is not None]
