"""What storage refuses: each says which command of the commit was at fault, and nothing was written."""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import Conflict, Gone, Unprocessable


@dataclass
class VersionConflict(Conflict):
    """The row is not at the version that the command expected; read again and decide again."""

    position: int = 0


@dataclass
class ClaimTaken(Conflict):
    """Somebody else holds a conditional-create claim; search again and decide again."""

    position: int = 0


class Erased(Gone):
    """A version whose key was destroyed: it is told apart from nothing that the caller might not see."""


def erased(version: int) -> Erased:
    """Return the error for a version that cannot be read by anybody any more."""
    text = "The data of this resource were erased: its key was destroyed, and nobody can read it any more."
    return Erased(text, "erased", headers={"ETag": f'W/"{version}"'})


def erased_owner() -> Unprocessable:
    """Return the error for new data whose key was destroyed with what it had encrypted."""
    text = "The data of this patient, or of this resource, were erased; nothing more can be stored under the same id."
    return Unprocessable(text, "erased-owner", code="business-rule")


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
