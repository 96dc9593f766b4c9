"""Roles as a table of named rights: what a person may do at most, whatever an app asks for.

A right on data is `Type.letters`, as in a scope without its level; a right on the server has a name. A person holds the union of
the rights of all roles; `patient/` and `user/` scopes are cut to it when they are granted, and again while their tokens live.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Final

from fhir_server.auth.scopes import parse_scope
from fhir_server.context import Scope

SEE_CLINICAL: Final = frozenset({"__see/R", "__see/mental"})
"""Clearance of everybody who treats; what else a role may see is named beside it (`auth/labels.py`)."""
SEE_ALL: Final = SEE_CLINICAL | {
    "__see/V", "__see/SUD", "__see/HIV", "__see/sexual", "__see/violence", "__see/genetic", "__see/PSYTHPN"
}  # fmt: skip
LAUNCH: Final = "launch-apps"
"""May open apps from here, with a patient chosen (EHR launch)."""
MANAGE: Final = "manage-access"
"""May manage people, clients and registrations."""
DECIDE_ALERTS: Final = "decide-alerts"
"""May decide which alert rules are in effect, for everybody."""
LENT: Final = {"__launch": LAUNCH, "__admin": MANAGE, "__alert-rules": DECIDE_ALERTS}
"""Scopes for the server itself that an app may have of a person, and the right that the person needs."""
AGGREGATE: Final = "$aggregate"
"""May ask for figures over everybody, small ones suppressed; stands among `unlimited`, where no type has its name."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a role may do; `unlimited` are the types that it reaches beyond whom the person cares for."""

    text: str
    rights: tuple[str, ...] = ()
    named: frozenset[str] = frozenset()
    unlimited: frozenset[str] = frozenset()


_NOTES: Final = (
    "Observation", "Condition", "Encounter", "CarePlan", "CareTeam", "Goal", "Procedure", "Communication", "DocumentReference",
    "QuestionnaireResponse", "ServiceRequest", "Task", "Appointment", "Composition", "AllergyIntolerance",
)  # fmt: skip

ROLES: Final[dict[str, Role]] = {
    "psychiatrist": Role(
        "treats patients and prescribes",
        ("*.cruds",),
        SEE_ALL | {LAUNCH, DECIDE_ALERTS, "__declassify", "__break-glass"},
    ),
    "clinician": Role(
        "treats patients: reads all, documents, deletes nothing",
        ("*.rs", "Subscription.cud", *(f"{type_}.cu" for type_ in _NOTES)),
        SEE_CLINICAL | {LAUNCH, "__break-glass"},
    ),
    "patient": Role(
        "sees their own record and adds what they observe themselves",
        ("*.rs", "Observation.c", "QuestionnaireResponse.cu", "Communication.c", "Goal.cu", "Device.c"),
        SEE_CLINICAL,
    ),
    "device": Role("delivers measurements", ("Observation.c", "Device.cr")),
    "auditor": Role("reads the audit trail of everybody", ("AuditEvent.rs",), unlimited=frozenset({"AuditEvent"})),
    "administrator": Role(
        "manages people, clients, the directory and alert rules; sees no record",
        (
            "Practitioner.cruds",
            "PractitionerRole.cruds",
            "Organization.cruds",
            "Location.cruds",
            "HealthcareService.cruds",
            "PlanDefinition.cruds",
        ),
        frozenset({MANAGE, DECIDE_ALERTS}),
    ),
    "researcher": Role(
        "sees studies, what is not about anybody, and figures over everybody",
        ("ResearchStudy.rs", "ResearchSubject.rs", "Questionnaire.rs", "ValueSet.rs", "CodeSystem.rs", "Measure.rs"),
        unlimited=frozenset({AGGREGATE}),
    ),
}


@cache
def rights(roles: frozenset[str]) -> tuple[Scope, ...]:
    """Return what the roles allow on data, as scopes of both levels that a person's apps can have."""
    words = {right for name in roles for right in ROLES[name].rights}
    return tuple(parse_scope(f"{level}/{word}") for level in ("patient", "user") for word in sorted(words))


def named(roles: Iterable[str]) -> frozenset[str]:
    """Return the named rights of the roles."""
    return frozenset().union(*(ROLES[name].named for name in roles))


def may_lend(word: str, roles: Iterable[str]) -> bool:
    """Tell whether a person of these roles may lend an app a special scope; most are anybody's to lend."""
    return word not in LENT or LENT[word] in named(roles)


def unlimited(roles: Iterable[str]) -> frozenset[str]:
    """Return the types that the roles reach beyond whom the person cares for."""
    return frozenset().union(*(ROLES[name].unlimited for name in roles))
