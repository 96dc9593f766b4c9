"""What an endpoint of the administration API is given, and what it gives back; no framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.context import Principal
from fhir_server.storage.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Task:
    """A request of somebody who may manage access; `id` is what the path names."""

    tenant: Tenant
    principal: Principal
    body: bytes = b""
    id: str = ""
    query: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """The answer; `event` is what the audit is told, nothing for a look. It never holds a login or a name."""

    status: int
    body: dict[str, Any] | None = None
    event: dict[str, str] | None = None


Endpoint = Callable[[Task], Awaitable[Done]]
