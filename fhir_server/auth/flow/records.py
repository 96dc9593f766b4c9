"""Patients and encounters to choose from: asked as the person who signed in, by the ordinary interactions, and so audited."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

from fhir_server.auth.pages.screens import Choice
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.principals import of_person
from fhir_server.context import RequestContext
from fhir_server.storage.tenants import Tenant

SHOWN: Final = 20
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
Json = dict[str, Any]


class Ask(Protocol):
    """Performs one FHIR interaction: `GET` at a path below the base; handed in, for auth stands below the interactions."""

    async def __call__(self, ctx: RequestContext, path: str, query: str) -> Json | None:
        """Return the resource or Bundle; None when there is none that the caller may see."""


@dataclass(frozen=True, slots=True)
class Records:
    """The record as one person sees it, during one request."""

    ask: Ask
    ctx: RequestContext

    async def patients(self, name: str) -> tuple[list[Choice], bool]:
        """Return patients by name, and whether there are more."""
        query = f"_count={SHOWN + 1}&_elements=name,birthDate,gender,identifier"
        if name.strip():
            query += f"&name={quote(name.strip()[:100], safe='')}"
        found = await self._found("Patient", query)
        return [_patient(each) for each in found[:SHOWN]], len(found) > SHOWN

    async def patient(self, id_: str) -> Choice | None:
        """Return a patient whom the person may see."""
        found = await self.ask(self.ctx, f"Patient/{id_}", "") if _ID.fullmatch(id_) else None
        return _patient(found) if found else None

    async def encounters(self, patient: str) -> list[Choice]:
        """Return the encounters of a patient, the newest first."""
        found = await self._found("Encounter", f"patient=Patient/{quote(patient)}&_sort=-date&_count={SHOWN}")
        return [_encounter(each) for each in found]

    async def encounter(self, id_: str, patient: str) -> Choice | None:
        """Return an encounter that is the patient's and that the person may see."""
        if not _ID.fullmatch(id_):
            return None
        found = await self._found("Encounter", f"_id={id_}&patient=Patient/{quote(patient)}")
        return _encounter(found[0]) if found else None

    async def _found(self, type_: str, query: str) -> list[Json]:
        bundle = await self.ask(self.ctx, type_, query)
        entries = (bundle or {}).get("entry", [])
        return [each["resource"] for each in entries if each.get("search", {}).get("mode") != "outcome"]


async def as_person(ask: Ask, tenant: Tenant, account: Account, request_id: str, address: str | None) -> Records:
    """Return the record as a person sees it who may use what their roles allow."""
    return Records(ask, RequestContext(tenant, await of_person(tenant, account), request_id, tenant.base, address))


def _patient(resource: Json) -> Choice:
    born, sex = resource.get("birthDate"), resource.get("gender")
    detail = ", ".join(part for part in (f"born {born}" if born else "", sex or "") if part)
    return Choice(resource["id"], _name(resource.get("name", [])) or resource["id"], detail or resource["id"])


def _name(names: Sequence[Json]) -> str:
    chosen = next((name for name in names if name.get("use") in ("official", "usual")), names[0] if names else {})
    parts = [*chosen.get("given", []), chosen.get("family", "")]
    return str(chosen.get("text") or " ".join(part for part in parts if part))


def _encounter(resource: Json) -> Choice:
    kind = next((c.get("text") or c["coding"][0].get("display", "") for c in resource.get("type", []) if c), "")
    kind = kind or resource.get("class", {}).get("display") or resource.get("class", {}).get("code") or "visit"
    start = resource.get("period", {}).get("start", "")
    return Choice(resource["id"], kind, f"{start[:10] or 'no date'}, {resource.get('status', '')}")
