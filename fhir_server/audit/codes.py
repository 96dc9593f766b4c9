"""What can be audited, as numbers in the table and as the codes of AuditEvent (IHE BALP 1.1.4, R4 `auditevent.html`).

Numbers are appended to, never changed: years of rows hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

REST: Final = ("http://terminology.hl7.org/CodeSystem/audit-event-type", "rest", "RESTful Operation")
INTERACTION: Final = "http://hl7.org/fhir/restful-interaction"
DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"
USER_AUTHENTICATION: Final = (DCM, "110114", "User Authentication")

Coding = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of event; `client` and `server` are the DICOM roles that BALP gives the two sides."""

    number: int
    name: str
    action: str
    client: Coding
    server: Coding
    type: Coding = REST
    subtype: Coding | None = None
    person: Coding = ("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP", "information recipient")
    """What a person is in it: the one who is told, as BALP has it; of a login, a human user, as R4's own example has it."""

    @property
    def code(self) -> Coding:
        """The subtype as a coding."""
        return self.subtype or (INTERACTION, self.name, self.name)


_SOURCE: Final = (DCM, "110153", "Source Role ID")
_DESTINATION: Final = (DCM, "110152", "Destination Role ID")
_APPLICATION: Final = (DCM, "110150", "Application")
_CUSTODIAN: Final = ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian", "Custodian")
_TOKEN: Final = (DCM, "110122", "Login")
_HUMAN: Final = ("http://terminology.hl7.org/CodeSystem/extra-security-role-type", "humanuser", "human user")
_EXPORT: Final = (DCM, "110106", "Export")
_DISCLOSE: Final = (
    "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle",
    "disclose",
    "Disclose/Transmit Record Lifecycle Event",
)

_READING = (_DESTINATION, _SOURCE)
_SENDING = (_SOURCE, _DESTINATION)

KINDS: Final = (
    Kind(1, "read", "R", *_READING),
    Kind(2, "vread", "R", *_READING),
    Kind(3, "search-type", "E", *_SENDING),
    Kind(4, "search-system", "E", *_SENDING),
    Kind(5, "create", "C", *_SENDING),
    Kind(6, "update", "U", *_SENDING),
    Kind(7, "patch", "U", *_SENDING),
    Kind(8, "delete", "D", _APPLICATION, _CUSTODIAN),
    Kind(9, "history-instance", "R", *_READING),
    Kind(10, "history-type", "R", *_READING),
    Kind(11, "history-system", "R", *_READING),
    Kind(12, "transaction", "E", *_SENDING),
    Kind(13, "batch", "E", *_SENDING),
    Kind(14, "operation", "E", *_SENDING),
    Kind(15, "capabilities", "R", *_READING),
    Kind(16, "token", "E", _APPLICATION, _DESTINATION, USER_AUTHENTICATION, _TOKEN, _HUMAN),
    Kind(17, "notification", "R", *_READING, _EXPORT, _DISCLOSE),
    Kind(20, "disclosure", "R", *_READING, _EXPORT, _DISCLOSE),
)

BY_NAME: Final = {kind.name: kind for kind in KINDS}
BY_NUMBER: Final = {kind.number: kind for kind in KINDS}

OTHER: Final = BY_NAME["operation"]
"""What an interaction without a code of its own is recorded as."""


def outcome(status: int) -> str:
    """Return the AuditEvent.outcome of an HTTP status: 0 success, 4 refused, 8 failed."""
    return "0" if status < 400 else "4" if status < 500 else "8"


OUTCOMES: Final = {"0": (0, 399), "4": (400, 499), "8": (500, 999)}
"""The statuses of an outcome; 12 (the system became unavailable) is never recorded by the system itself."""
