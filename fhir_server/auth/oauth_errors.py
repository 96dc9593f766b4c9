"""What the token endpoint refuses, as RFC 6749 §5.2 has it, with a description that says what to do."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any, Final, Literal

MEDIA_TYPE: Final = "application/x-www-form-urlencoded"

Code = Literal[
    "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
    "temporarily_unavailable",
]  # fmt: skip


@dataclass
class OAuthError(Exception):
    """A refusal; `client_id` is who it was, or claimed to be, for the audit."""

    error: Code
    description: str
    status: int = 400
    client_id: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """Return the JSON object of the answer."""
        return {"error": self.error, "error_description": printable(self.description, 2000)}


def is_plain(text: str, most: int) -> bool:
    """Tell whether people may be shown a text: no line, no direction and no sign that could make it look like another's."""
    return 0 < len(text) <= most and not any(unicodedata.category(c)[0] in "CZ" and c != " " for c in text)


def printable(text: str, limit: int = 80) -> str:
    """Return what an error_description may repeat: printable ASCII without quote and backslash, cut short."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text[:limit])
