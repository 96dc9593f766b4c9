"""What the Consents of a tenant cost whoever reads: a clinician with 200 of the patients, and a service, beside few Consents.

The application is called in this process, without a socket; `known` is how long the first answer after a Consent takes, for which
all are looked at, `first` the first answer when what was worked out has run out.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from fhir_server.auth import tokens
from fhir_server.auth.bearer import authenticate
from fhir_server.auth.consent import known
from fhir_server.cli.tenant import opened
from fhir_server.http.routes import Fhir
from fhir_server.http.services import Services
from fhir_server.interactions import commands
from fhir_server.kit import clock
from fhir_server.storage.commands import IMPORT
from fhir_server.storage.commit import commit
from fhir_server.storage.tenants import Tenant
from tests.bench.rig import Rig

Json = dict[str, Any]
PATIENTS: Final = 5_000
MINE: Final = 200
ROUNDS: Final = 60
_ACT: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_KINDS: Final[tuple[Json, ...]] = (
    {"type": "deny"},
    {"type": "permit", "provision": [{"type": "deny", "securityLabel": [{"system": _ACT, "code": "PSY"}]}]},
    {
        "type": "permit",
        "provision": [
            {
                "type": "deny",
                "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "QuestionnaireResponse"}],
            }
        ],
    },
    {
        "type": "permit",
        "provision": [
            {
                "type": "deny",
                "actor": [
                    {"role": {"coding": [{"code": "PRCP"}]}, "reference": {"reference": "Practitioner/somebody-else"}}
                ],
            }
        ],
    },
)
"""What patients say: nothing at all, no psychiatry, no questionnaires, not this practitioner."""


async def measure(rig: Rig, patients: int = PATIENTS, mine: int = MINE) -> Json:
    """Return milliseconds of a read and a search by each caller, with the Consents of `mine` patients and of all `patients`."""
    async with opened(rig.settings, "default") as tenant:
        app = Fhir(Services(rig.settings, tenant.pool, {"default": tenant}))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), timeout=600) as http:
            await _store(tenant, [{"resourceType": "Practitioner", "id": "consent-dr"}])
            await _store(tenant, [each for number in range(patients) for each in _record(number, mine)])
            await tenant.pool.execute(tenant.sql("ANALYZE {s}.resource"))
            found: Json = {"patients": patients, "of_the_clinician": mine}
            found["no_consents"] = await _all(http, tenant, mine)
            await _store(tenant, [_consent(number) for number in range(mine)])
            found[f"{mine}_consents"] = await _all(http, tenant, mine)
            await _store(tenant, [_consent(number) for number in range(mine, patients)])
            found[f"{patients}_consents"] = await _all(http, tenant, mine)
        return found


async def _store(tenant: Tenant, resources: list[Json]) -> None:
    for start in range(0, len(resources), 400):
        some = resources[start : start + 400]
        await commit(tenant, [commands.build(tenant, r, r["id"], current=None, origin=IMPORT) for r in some])


def _record(number: int, mine: int) -> list[Json]:
    name = f"consent-p{number}"
    doctor = {"generalPractitioner": [{"reference": "Practitioner/consent-dr"}]} if number < mine else {}
    observation = {
        "resourceType": "Observation", "status": "final", "code": {"coding": [{"system": "http://loinc.org", "code": "9279-1"}]},
        "subject": {"reference": f"Patient/{name}"}, "effectiveDateTime": "2031-03-01",
    }  # fmt: skip
    return [
        {"resourceType": "Patient", "id": name, **doctor},
        *({**observation, "id": f"{name}-o{n}"} for n in range(4)),
    ]


def _consent(number: int) -> Json:
    return {
        "resourceType": "Consent", "id": f"consent-c{number}", "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0"}]}],
        "patient": {"reference": f"Patient/consent-p{number}"},
        "policyRule": {"coding": [{"system": _ACT, "code": "OPTIN"}]},
        "provision": _KINDS[number % len(_KINDS)],
    }  # fmt: skip


async def _all(http: httpx.AsyncClient, tenant: Tenant, mine: int) -> Json:
    callers = {
        "clinician": await tokens.mint(tenant, "user/*.rs", user="Practitioner/consent-dr"),
        "system": await tokens.mint(tenant, "system/*.rs"),
    }
    requests = {
        "read": "Observation/consent-p1-o1",
        "search": "Observation?code=http://loinc.org|9279-1&_count=20",
        "count": "Observation?code=http://loinc.org|9279-1&_summary=count",
    }
    found: Json = {}
    for who, token in callers.items():
        headers = {"Authorization": f"Bearer {token}"}

        async def ask(path: str, headers: dict[str, str] = headers) -> None:
            answer = await http.get(f"{tenant.base}/{path}", headers=headers)
            assert answer.status_code == 200, answer.text

        found[who] = {"known_ms": await _known(tenant, ask, headers["Authorization"])}
        for name, path in requests.items():
            found[who][f"{name}_ms"] = round(statistics.median([await _timed(ask, path) for _ in range(ROUNDS)]), 2)
        found[who]["first_ms"] = await _first(tenant, ask, headers["Authorization"])
    return found


async def _timed(ask: Callable[[str], Awaitable[None]], path: str) -> float:
    began = clock.monotonic()
    await ask(path)
    return (clock.monotonic() - began) * 1000


async def _known(tenant: Tenant, ask: Callable[[str], Awaitable[None]], header: str) -> float:
    """Forget all Consents, so that they are looked for."""
    known.forget(tenant)
    (await authenticate(tenant, header)).sights.clear()
    return round(await _timed(ask, "Observation/consent-p1-o1"), 1)


async def _first(tenant: Tenant, ask: Callable[[str], Awaitable[None]], header: str) -> float:
    """Forget what was worked out of them."""
    (await known.known(tenant)).made.clear()
    (await authenticate(tenant, header)).sights.clear()
    return round(await _timed(ask, "Observation/consent-p1-o1"), 1)
