"""What storage refuses: each says which command of the commit was at fault, and nothing was written."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import Conflict


@dataclass
class VersionConflict(Conflict):
    """The row is not at the version that the command expected; read again and decide again."""

    position: int = 0


@dataclass
class ClaimTaken(Conflict):
    """Somebody else holds a conditional-create claim; search again and decide again."""

    position: int = 0


def version_conflict(position: int) -> VersionConflict:
    """Return the error for the command at `position`."""
    return VersionConflict(
        "The resource was changed by somebody else meanwhile; read it and try again.",
        "version-conflict",
        position=position,
    )


def claim_taken(position: int) -> ClaimTaken:
    """Return the error for the command at `position`."""
    return ClaimTaken(
        "A resource that meets the same criteria is being created; try again.", "claim-taken", position=position
    )
