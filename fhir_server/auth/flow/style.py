"""The style of our pages as apps may take it over (SMART "context-style"): its address changes when it does."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Final

from fhir_server.auth.tokens import issuer
from fhir_server.kit import json
from fhir_server.storage.tenants import Tenant

STYLE: Final[dict[str, Any]] = {
    "color_background": "#f6f7f9",
    "color_error": "#b3261e",
    "color_highlight": "#1d5fd1",
    "color_modal_backdrop": "",
    "color_success": "#1b6e3c",
    "color_text": "#1b1f24",
    "dim_border_radius": "8px",
    "dim_font_size": "16px",
    "dim_spacing_size": "16px",
    "font_family_body": "system-ui, sans-serif",
    "font_family_heading": "system-ui, sans-serif",
}
NAME: Final = sha256(json.encode(STYLE)).hexdigest()[:12]


def url(tenant: Tenant) -> str:
    """Return where the style is read."""
    return f"{issuer(tenant)}/oauth2/style/{NAME}.json"
