"""`.well-known/smart-configuration`: what this authorization server does today, and nothing that it does not."""

from __future__ import annotations

from typing import Any

from fhir_server.auth.jose import KEY_TYPES
from fhir_server.auth.tokens import issuer, token_url
from fhir_server.storage.tenants import Tenant


def smart_configuration(tenant: Tenant) -> dict[str, Any]:
    """Return the SMART configuration of a tenant (SMART App Launch 2.2 "Conformance"), every URL absolute.

    `issuer` is left out as SMART asks of a server without OpenID Connect, `authorization_endpoint` because there is none;
    `code_challenge_methods_supported` is required of everybody and says what an authorize endpoint would take.
    """
    return {
        "jwks_uri": f"{issuer(tenant)}/oauth2/jwks",
        "token_endpoint": token_url(tenant),
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt", "client_secret_basic", "client_secret_post"],
        "token_endpoint_auth_signing_alg_values_supported": sorted(KEY_TYPES),
        "scopes_supported": ["system/*.cruds", "system/*.read", "system/*.write", "system/*.*"],
        "code_challenge_methods_supported": ["S256"],
        "capabilities": [
            "client-confidential-asymmetric",
            "client-confidential-symmetric",
            "permission-v1",
            "permission-v2",
        ],
    }
