"""`.well-known/smart-configuration` and `openid-configuration`: what this authorization server does, and nothing else."""

from __future__ import annotations

from typing import Any, Final

from fhir_server.auth.jose import KEY_TYPES
from fhir_server.auth.keys import IDENTITY_ALGORITHM
from fhir_server.auth.token import GRANTS
from fhir_server.auth.tokens import issuer, token_url
from fhir_server.storage.tenants import Tenant

CAPABILITIES: Final = (
    "launch-ehr", "launch-standalone", "authorize-post", "client-public", "client-confidential-symmetric",
    "client-confidential-asymmetric", "sso-openid-connect", "context-banner", "context-style", "context-ehr-patient",
    "context-ehr-encounter", "context-standalone-patient", "context-standalone-encounter", "permission-offline",
    "permission-online", "permission-patient", "permission-user", "permission-v1", "permission-v2",
)  # fmt: skip
SCOPES: Final = (
    "openid", "fhirUser", "profile", "launch", "launch/patient", "launch/encounter", "offline_access", "online_access",
    "patient/*.cruds", "patient/*.read", "patient/*.write", "patient/*.*",
    "user/*.cruds", "user/*.read", "user/*.write", "user/*.*",
    "system/*.cruds", "system/*.read", "system/*.write", "system/*.*",
)  # fmt: skip


def _common(tenant: Tenant) -> dict[str, Any]:
    base = f"{issuer(tenant)}/oauth2"
    return {
        "issuer": issuer(tenant),
        "jwks_uri": f"{base}/jwks",
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": token_url(tenant),
        "introspection_endpoint": f"{base}/introspect",
        "revocation_endpoint": f"{base}/revoke",
        "registration_endpoint": f"{base}/register",
        "grant_types_supported": list(GRANTS),
        "response_types_supported": ["code"],
        "scopes_supported": list(SCOPES),
        "token_endpoint_auth_methods_supported": [
            "private_key_jwt",
            "client_secret_basic",
            "client_secret_post",
            "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": sorted(KEY_TYPES),
        "code_challenge_methods_supported": ["S256"],
    }


def smart_configuration(tenant: Tenant) -> dict[str, Any]:
    """Return the SMART configuration of a tenant (SMART App Launch 2.2 "Conformance"), every URL absolute."""
    return _common(tenant) | {
        "management_endpoint": f"{issuer(tenant)}/oauth2/apps",
        "capabilities": list(CAPABILITIES),
    }


def openid_configuration(tenant: Tenant) -> dict[str, Any]:
    """Return the OpenID Connect configuration (Discovery 1.0 §3), with RFC 9207's `iss` in answers."""
    return _common(tenant) | {
        "response_modes_supported": ["query"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [IDENTITY_ALGORITHM],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "fhirUser", "profile"],
        "authorization_response_iss_parameter_supported": True,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }
