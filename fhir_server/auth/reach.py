"""Which types are about patients, by what R4 itself says: its compartment, its parameters, and what is about nobody."""

from __future__ import annotations

from functools import cache
from typing import Final

from fhir_server.search.parameters import table
from profiles.registry import R4

_CAN_BE_ABOUT_ANYBODY: Final = frozenset(
    {"BiologicallyDerivedProduct", "Bundle", "DeviceMetric", "EnrollmentResponse", "Linkage", "MessageHeader",
     "Parameters", "PaymentNotice", "PaymentReconciliation", "Slot", "Subscription", "TestReport", "VerificationResult"}
)  # fmt: skip
"""What can be about a patient without an index key that says so: closed to `user/` scopes until something else opens it."""


SUBSCRIBER: Final = "https://fhir.clarity.example/CodeSystem/subscriber"
"""System of the tag that says whose a resource is; its code is the person as `Type/id`."""

_BESIDE: Final = frozenset({"Patient", "Binary"})
"""What belongs to a patient beside the compartment's members; a Binary does by its securityContext, and else to nobody."""


@cache
def in_patient_compartment(type_: str) -> bool:
    """Tell whether resources of the type can belong to a patient."""
    return type_ in _BESIDE or bool(R4.compartment("Patient", type_))


@cache
def about_patients(type_: str) -> frozenset[int]:
    """Return the numbers under which a type outside the compartment refers to the patient whom it is about."""
    if in_patient_compartment(type_):
        return frozenset()
    params = R4.params(type_)
    names = [n for n in ("patient", "subject") if n in params and params[n].kind == "reference"]
    wanted = [n for n in names if not params[n].targets or "Patient" in params[n].targets]
    return frozenset(source.id for name in wanted for source in table(type_).sources.get(name, ()))


def owned(type_: str) -> bool:
    """Tell whether a person reaches of the type what carries the tag of their own: SUBSCRIBER and their `fhirUser`."""
    return type_ == "Subscription"


def held_back(type_: str) -> bool:
    """Tell whether nobody can say whom resources of the type are about."""
    return type_ in _CAN_BE_ABOUT_ANYBODY


@cache
def shared(type_: str) -> bool:
    """Tell whether resources of the type are about no patient: directories, definitions, terminology."""
    return not (in_patient_compartment(type_) or about_patients(type_) or held_back(type_))
