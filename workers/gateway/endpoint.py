"""Where the models are: an OpenAI-compatible API, by the settings, and whether it is on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from fhir_server.settings import Settings
from workers.gateway.errors import NotConfigured

OPENAI = "https://api.openai.com/v1"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One API; `key` never appears in a text of ours."""

    base_url: str
    key: str
    models: Mapping[str, str]
    timeout: float
    tries: int

    @property
    def host(self) -> str:
        """Return the host, for the log and the audit trail."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def is_here(self) -> bool:
        """Tell whether what is sent stays on this machine: a loopback address, or localhost."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def model(self, role: str) -> str:
        """Return the model of a role; NotConfigured when there is none for it and no default."""
        found = self.models.get(role) or self.models.get(DEFAULT)
        if found is None:
            raise NotConfigured(f"MENTALLAMA_MODEL_MAPPINGS names no model for {role}, and no {DEFAULT}.", "unmapped")
        return found


def endpoint_of(settings: Settings) -> Endpoint:
    """Return the endpoint that is set; NotConfigured when neither a key nor a base URL is."""
    key = settings.openai_api_key.get_secret_value() if settings.openai_api_key else ""
    if not key and not settings.openai_base_url:
        raise NotConfigured("No language model is configured: set OPENAI_API_KEY or OPENAI_BASE_URL.", "unset")
    base = (settings.openai_base_url or OPENAI).rstrip("/")
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NotConfigured("OPENAI_BASE_URL must be an http or https URL such as http://127.0.0.1:8001/v1.")
    found = Endpoint(
        base,
        key or "none",
        settings.mentallama_model_mappings or {},
        settings.openai_timeout_seconds,
        settings.openai_tries,
    )
    if parts.scheme == "http" and not found.is_here:
        raise NotConfigured(
            "OPENAI_BASE_URL is plain http to another machine: use https, patients' texts travel there."
        )
    if not settings.phi_sanitization_enabled and not found.is_here:
        raise NotConfigured(
            "PHI_SANITIZATION_ENABLED is off: nothing is sent to a model on another machine without it."
        )
    return found
