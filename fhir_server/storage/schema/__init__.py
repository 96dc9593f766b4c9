"""The tables of one tenant, as the statements that make them; `{s}` is the tenant's schema."""

from __future__ import annotations

from fhir_server.storage.schema import access, core, work

STATEMENTS: tuple[str, ...] = (*core.STATEMENTS, *work.STATEMENTS, *access.STATEMENTS)
