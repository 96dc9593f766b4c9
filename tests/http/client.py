"""A FHIR client for tests: speaks to the ASGI application in this process, as one principal of one tenant."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import httpx

from fhir_server.auth import tokens
from fhir_server.storage.tenants import Tenant


@dataclass(slots=True)
class Answer:
    """A response with its JSON read."""

    status: int
    headers: httpx.Headers
    text: str
    content: bytes = b""

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def issue(self) -> str:
        """The stable id of the first issue."""
        return str(self.json["issue"][0]["details"]["coding"][0]["code"])

    @property
    def expressions(self) -> list[str]:
        return [each for issue in self.json["issue"] for each in issue.get("expression", ["?"])]

    @property
    def id(self) -> str:
        return str(self.json["id"])


class Caller:
    """One principal."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant, token: str | None) -> None:
        self._http = http
        self.tenant = tenant
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send one request; `path` is below the base, `if_match="…"` becomes the header If-Match."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("content-type", "application/fhir+json")
        url = path if path.startswith("http") else f"{self.tenant.base}/{path}".rstrip("/")
        answer = await self._http.request(method, url, content=content, headers=self._headers | sent)
        return Answer(answer.status_code, answer.headers, answer.text, answer.content)

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.send("GET", path, **headers)

    async def post(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.send("POST", path, body, **headers)

    async def put(self, path: str, body: Any, **headers: str) -> Answer:
        return await self.send("PUT", path, body, **headers)

    async def delete(self, path: str, **headers: str) -> Answer:
        return await self.send("DELETE", path, **headers)

    async def transaction(self, *entries: dict[str, Any], kind: str = "transaction", **headers: str) -> Answer:
        bundle = {"resourceType": "Bundle", "type": kind, "entry": list(entries)}
        return await self.post("", bundle, **headers)


async def caller(
    http: httpx.AsyncClient, tenant: Tenant, scope: str | None = "system/*.cruds", patient: str | None = None
) -> Caller:
    """Return a client whose token has these scopes; None for no token."""
    token = await tokens.mint(tenant, scope, patient=patient) if scope else None
    return Caller(http, tenant, token)


def entry(method: str, url: str, resource: Any = None, full_url: str | None = None, **request: str) -> dict[str, Any]:
    """Return an entry of a batch or transaction."""
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def observation(**more: Any) -> dict[str, Any]:
    """Return a small valid Observation."""
    code = {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]}
    return {"resourceType": "Observation", "status": "final", "code": code, **more}
