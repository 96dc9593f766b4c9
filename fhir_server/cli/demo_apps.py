"""The SMART apps of this project as clients of the demo: registered at their address under `/apps/`, anew when that has changed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from fhir_server.auth import clients, decisions
from fhir_server.cli.tenant import opened
from fhir_server.settings import Settings
from fhir_server.storage.tenants import Tenant


@dataclass(frozen=True, slots=True)
class DemoApp:
    """An app: its folder under `/apps/`, and the most that it may ask for."""

    folder: str
    client_id: str
    name: str
    scope: str
    launched: bool = True
    pages: tuple[str, ...] = ("",)
    """The pages on which it waits for its code, below its folder."""


_READS: Final = " ".join(
    f"patient/{type_}.rs"
    for type_ in (
        *("Patient", "Observation", "Encounter", "Condition", "MedicationRequest", "MedicationStatement"),
        *("QuestionnaireResponse", "RiskAssessment", "Provenance"),
    )
)
"""No `patient/Device`: R4 has Device in no patient compartment, so that it would show nothing."""
_NOTED: Final = " ".join(
    f"patient/{type_}.rs" for type_ in ("DetectedIssue", "AllergyIntolerance", "MedicationAdministration")
)
APPS: Final = (
    DemoApp(
        "twin", "clarity-twin", "Clarity twin",
        f"launch launch/patient openid fhirUser online_access {_READS} patient/DetectedIssue.rs user/Device.rs user/Library.rs",
    ),
    DemoApp(
        "notes", "clarity-notes", "Clarity notes",
        f"launch launch/patient openid fhirUser online_access {_READS} {_NOTED} patient/DocumentReference.crus",
    ),
    DemoApp(
        "list", "clarity-list", "Clarity patients",
        "launch __launch openid fhirUser online_access"
        " user/Patient.rs user/Observation.rs user/RiskAssessment.rs user/Practitioner.rs",
    ),
    DemoApp(
        "mine", "clarity-mine", "Clarity, my data",
        "launch launch/patient openid fhirUser online_access"
        " patient/Patient.rs patient/Observation.rs patient/Consent.rs patient/Provenance.rs user/Device.rs",
    ),
    DemoApp("admin", "clarity-admin", "Clarity administration", "__admin openid", launched=False),
    DemoApp(
        "ehr", "clarity-ehr", "Clarity EHR simulator",
        "__launch openid fhirUser launch launch/patient launch/encounter online_access offline_access"
        " user/*.rs user/Subscription.cu patient/*.rs",
        launched=False, pages=("", "return.html"),
    ),
)  # fmt: skip


def prepare(settings: Settings) -> None:
    """Register the apps where they are not, or where they are with another address or other scopes."""
    asyncio.run(_prepare(settings))


async def _prepare(settings: Settings) -> None:
    async with opened(settings, settings.tenants[0]) as tenant:
        for app in APPS:
            await register(tenant, app, settings.origin)


async def register(tenant: Tenant, app: DemoApp, origin: str) -> bool:
    """Register an app as a public client at this origin; False when it was so already, or was disabled."""
    base = f"{origin}/apps/{app.folder}/"
    places, launch = tuple(base + page for page in app.pages), base if app.launched else None
    found = await decisions.registered(tenant, app.client_id)
    if found and found.status == "disabled":
        return False  # an administrator has said so, and no start says otherwise
    there = found.client if found else None
    if there and (there.redirect_uris, there.launch_url) == (places, launch) and _same(there.scope, app.scope):
        return False
    if there:
        await clients.remove(tenant, app.client_id)
    await clients.add(
        tenant, name=app.name, scope=app.scope, client_id=app.client_id, public=True, redirect_uris=places,
        launch_url=launch,
    )  # fmt: skip
    return True


def _same(one: str, other: str) -> bool:
    return set(one.split()) == set(other.split())
