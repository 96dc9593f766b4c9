"""People, apps and a small ward for the tests of the flow, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from fhir_server.app import application
from fhir_server.auth import clients
from fhir_server.auth.people import accounts
from fhir_server.auth.people.accounts import Account
from fhir_server.http.services import Services
from fhir_server.storage.tenants import Tenant
from tests.auth.conftest import http, quick_hashes, services, system
from tests.auth.flow.browser import Browser, Page, Pkce
from tests.http.client import Caller, observation

PASSWORD = "correct horse battery staple"
CALLBACK = "https://app.example/callback"
SCOPE = (
    "launch launch/patient launch/encounter openid fhirUser offline_access online_access"
    " patient/*.cruds user/*.cruds"
)  # fmt: skip


@pytest.fixture
async def browser(services: Services) -> AsyncIterator[Callable[[], Browser]]:
    """Make browsers, each with cookies of its own."""
    made: list[Browser] = []

    def make() -> Browser:
        made.append(Browser(application(services)))
        return made[-1]

    yield make
    for each in made:
        await each.http.aclose()


@dataclass
class Ward:
    """Two patients, of whom the doctor cares for the first; what people sign in as."""

    system: Caller
    doctor: Account
    own: Account
    mine: str
    other: str
    practitioner: str
    encounter: str


async def made(system: Caller, resource: dict[str, Any]) -> str:
    answer = await system.post(resource["resourceType"], resource)
    assert answer.status == 201, answer.text
    return answer.id


@pytest.fixture
async def ward(system: Caller, tenant: Tenant, unique: str) -> Ward:
    practitioner = await made(system, {"resourceType": "Practitioner", "name": [{"family": "Adeyemi"}]})
    of = {"generalPractitioner": [{"reference": f"Practitioner/{practitioner}"}]}
    mine = await made(
        system, {"resourceType": "Patient", "name": [{"family": f"Mine{unique}", "given": ["Ada"]}], **of}
    )
    other = await made(system, {"resourceType": "Patient", "name": [{"family": f"Other{unique}"}]})
    for patient in (mine, other):
        await made(system, observation(subject={"reference": f"Patient/{patient}"}))
    encounter = await made(
        system,
        {
            "resourceType": "Encounter",
            "status": "finished",
            "class": {"code": "AMB"},
            "subject": {"reference": f"Patient/{mine}"},
        },
    )
    doctor = await accounts.add(
        tenant, login=f"dr-{unique}", password=PASSWORD, roles=["psychiatrist"], name="Dr. Adeyemi",
        fhir_user=f"Practitioner/{practitioner}",
    )  # fmt: skip
    own = await accounts.add(
        tenant, login=f"ada-{unique}", password=PASSWORD, roles=["patient"], name="Ada", fhir_user=f"Patient/{mine}"
    )
    return Ward(system, doctor, own, mine, other, practitioner, encounter)


@dataclass
class App:
    """A registered app, as its maker would write it."""

    tenant: Tenant
    http: httpx.AsyncClient
    client_id: str
    secret: str | None = None
    pkce: Pkce = field(default_factory=Pkce)
    redirect_uri: str = CALLBACK

    @property
    def root(self) -> str:
        return self.tenant.base.removesuffix("/fhir")

    def params(self, **changes: str | None) -> dict[str, str]:
        made: dict[str, str | None] = {
            "response_type": "code", "client_id": self.client_id, "redirect_uri": self.redirect_uri, "state": "st-1 /ü+&=",
            "scope": "launch/patient patient/*.rs openid fhirUser", "aud": self.tenant.base,
            "code_challenge": self.pkce.challenge, "code_challenge_method": "S256", "nonce": "n-1",
        }  # fmt: skip
        made.update(changes)
        return {name: value for name, value in made.items() if value is not None}

    def url(self, **changes: str | None) -> str:
        return f"{self.root}/oauth2/authorize?{urlencode(self.params(**changes))}"

    async def post(self, path: str, form: dict[str, str], **headers: str) -> httpx.Response:
        auth = (self.client_id, self.secret) if self.secret else None
        return await self.http.post(
            f"{self.root}/oauth2/{path}", data=form, auth=auth or httpx.USE_CLIENT_DEFAULT, headers=headers
        )

    async def redeem(self, code: str | None, **changes: str | None) -> httpx.Response:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.redirect_uri,
            "code_verifier": self.pkce.verifier, "client_id": None if self.secret else self.client_id,
        }  # fmt: skip
        form.update(changes)
        return await self.post("token", {name: value for name, value in form.items() if value is not None})

    async def refresh(self, token: str, **more: str) -> httpx.Response:
        form = {"grant_type": "refresh_token", "refresh_token": token} | more
        return await self.post("token", form if self.secret else form | {"client_id": self.client_id})

    def caller(self, token: str) -> Caller:
        return Caller(self.http, self.tenant, token)


@pytest.fixture
async def app(tenant: Tenant, http: httpx.AsyncClient, unique: str) -> App:
    """A public app that may ask for nearly everything."""
    client_id = f"app-{unique}"
    await clients.add(
        tenant, name="Sleep <Diary>", scope=SCOPE, client_id=client_id, public=True, redirect_uris=[CALLBACK],
        launch_url="https://app.example/launch",
    )  # fmt: skip
    return App(tenant, http, client_id)


async def to_consent(browser: Browser, app: App, login: str, patient: str | None = None, **changes: str | None) -> Page:
    """Go through all pages up to the decision."""
    page = await browser.sign_in(await browser.open(app.url(**changes)), login, PASSWORD)
    if patient is not None:
        page = await browser.submit(page, page.form("patient", patient=patient))
    return page


async def granted(
    browser: Browser, app: App, login: str, patient: str | None = None, **changes: str | None
) -> dict[str, Any]:
    """Return the token response of a whole flow in which everything is allowed."""
    back = await browser.allow(await to_consent(browser, app, login, patient, **changes))
    answer = await app.redeem(back["code"])
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


__all__ = ["http", "quick_hashes", "services", "system"]
