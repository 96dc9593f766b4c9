"""`GET [base]/metadata`: the CapabilityStatement as bytes, made once a tenant and process (R4 `http.html#capabilities`)."""

from __future__ import annotations

from functools import lru_cache

from fhir_server.errors import NotSupported
from fhir_server.http.openapi import openapi
from fhir_server.http.services import Services
from fhir_server.interactions.address import Params
from fhir_server.interactions.call import Result
from fhir_server.interactions.capabilities import Served, capability_statement
from fhir_server.kit import clock, json
from fhir_server.operations.registry import OPERATIONS
from fhir_server.search.parameters import used
from fhir_server.storage.own import OwnParams
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions.topics import store

_started = clock.now()


@lru_cache(maxsize=256)
def _statement(base: str, served: Served, _: OwnParams) -> bytes:
    """Return the statement; made anew when the tenant's own search parameters are others."""
    definitions = [operation.definition for operation in OPERATIONS]
    return json.encode(capability_statement(base, token_url(base), definitions, served, _started))


@lru_cache(maxsize=256)
def _openapi(base: str, served: Served) -> bytes:
    definitions = [operation.definition for operation in OPERATIONS]
    statement = capability_statement(base, token_url(base), definitions, served, _started)
    return json.encode(openapi(base, token_url(base), statement, definitions))


def token_url(base: str) -> str:
    """Return where tokens are got for a base."""
    return base.removesuffix("/fhir") + "/oauth2/token"


def openapi_body(services: Services, base: str) -> bytes:
    """Return `/openapi.json`."""
    return _openapi(base, _served(services))


def _served(services: Services, own: tuple[str, ...] = ()) -> Served:
    return Served(services.limits, services.settings.canonical_base, (*store.shipped(), *own))


def metadata(services: Services, tenant: Tenant, params: Params) -> Result:
    """Return the CapabilityStatement; `mode` can only be `full`."""
    if any(name == "mode" and value != "full" for name, value in params):
        raise NotSupported("Only mode=full is served.", "metadata-mode")
    return Result(200, _statement(tenant.base, _served(services, tenant.topics), used()))
