"""Which types are about patients, by what R4 itself says: its compartment, its parameters, and what is about nobody."""

from __future__ import annotations

from functools import cache
from typing import Any, Final
from weakref import WeakKeyDictionary

from fhir_server.errors import Unprocessable
from fhir_server.search.kinds.token import folded
from fhir_server.search.parameters import table
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import NOTHING, Grant, Visibility, either
from profiles.registry import R4

_CAN_BE_ABOUT_ANYBODY: Final = frozenset(
    {"BiologicallyDerivedProduct", "Bundle", "DeviceMetric", "EnrollmentResponse", "Linkage", "MessageHeader",
     "Parameters", "PaymentNotice", "PaymentReconciliation", "Slot", "Subscription", "TestReport", "VerificationResult"}
)  # fmt: skip
"""What can be about a patient without an index key that says so: closed to `user/` scopes until something else opens it."""

CATALOGUED: Final = "Device"
SNOMED: Final = "http://snomed.info/sct"
SOFTWARE: Final = "706687001"

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


_catalogues: WeakKeyDictionary[Tenant, Visibility] = WeakKeyDictionary()


def catalogue(tenant: Tenant, type_: str) -> Visibility:
    """Return the Devices that are software of this server: they name no patient (`check_catalogue`), so no care leads to them."""
    if type_ != CATALOGUED:
        return NOTHING
    if tenant not in _catalogues:
        _catalogues[tenant] = (Grant(tuple(sorted(_software_keys(tenant)))),)
    return _catalogues[tenant]


def reached(tenant: Tenant, base: Grant, level: str, type_: str, letter: str) -> Visibility:
    """Return what the level of a scope gives, and beside it, to be read by whoever signed in, the software that computes."""
    return either((base,), catalogue(tenant, type_) if level == "user" and letter in "rs" else NOTHING)


def _software_keys(tenant: Tenant) -> set[int]:
    [type_], [identifier] = (table(CATALOGUED).sources[name] for name in ("type", "identifier"))
    said = tenant.key(type_.id, "sc", SNOMED, folded(SNOMED, SOFTWARE))
    return {said, tenant.key(identifier.id, "s", tenant.software)}


def check_catalogue(tenant: Tenant, resource: dict[str, Any]) -> None:
    """Raise Unprocessable when a Device is called software of this server, which everybody sees, and is somebody's at once."""
    identifiers = resource.get("identifier", ())
    if "patient" in resource and any(each.get("system") == tenant.software for each in identifiers):
        text = (
            f"An identifier of {tenant.software} is for software that computes for everybody: leave it out of a Device that is a"
            " patient's, or leave out the patient."
        )
        raise Unprocessable(text, "software-of-a-patient", "Device.patient")


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
