"""Who the demo patients are: invented names, addresses and numbers (555 telephones, example.org mail), varied on purpose."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

from workers.demo.chance import Chance, chance, digits, pick
from workers.demo.codes import DIAGNOSES, NAMING, TERMINOLOGY, Diagnosis
from workers.demo.episodes import Episode, planned

Resource = dict[str, Any]

GIVEN: Final[dict[str, tuple[str, ...]]] = {
    "female": (
        *("Amara", "Beatriz", "Chloé", "Dilnoza", "Esther", "Fatima", "Greta", "Hanako", "Ingrid", "Jasmine"),
        *("Keira", "Lucía", "Mei", "Nadia", "Oluchi", "Priya", "Rosalind", "Sofie", "Thandiwe", "Zoë"),
    ),
    "male": (
        *("Alejandro", "Björn", "Cormac", "Dmitri", "Emeka", "Farid", "Gareth", "Haruki", "Ivan", "Jamal"),
        *("Kofi", "Łukasz", "Mateo", "Noah", "Omar", "Pieter", "Rahul", "Søren", "Tomás", "Wei"),
    ),
    "other": ("Alex", "Devon", "Jules", "Kit", "Morgan", "Quinn", "Robin", "Sasha"),
}
FAMILY: Final = (
    *("Abernathy", "Brennan", "Castillo", "D'Angelo", "Eze", "Fitzgerald", "García-Ortiz", "Hughes", "Ibrahim"),
    *("Jensen", "Kowalczyk", "Lindqvist", "Mbeki", "Nakamura", "O'Sullivan", "Petrov", "Quintero", "Ramanathan"),
    *("Sørensen", "Tran", "Ueda", "van der Berg", "Whitfield", "Xu", "Yildirim", "Zieliński"),
)
STREETS: Final = (
    *("Alder Lane", "Birch Street", "Chestnut Avenue", "Dogwood Road", "Elm Court"),
    *("Ferry Street", "Garden Terrace", "Harbour View", "Juniper Way", "Linden Square"),
)
PLACES: Final = (
    ("Boston", "MA", "02118", "US", "America/New_York"),
    ("Chicago", "IL", "60614", "US", "America/Chicago"),
    ("Denver", "CO", "80206", "US", "America/Denver"),
    ("Portland", "OR", "97214", "US", "America/Los_Angeles"),
    ("Phoenix", "AZ", "85016", "US", "America/Phoenix"),
    ("New York", "NY", "10027", "US", "America/New_York"),
)
LANGUAGES: Final = (("en", "English"), ("es", "Spanish"), ("fr", "French"), ("pl", "Polish"), ("zh", "Chinese"))
RELATIONS: Final = (("PRN", "parent"), ("SPS", "spouse"), ("SIB", "sibling"), ("FRND", "unrelated friend"))


@dataclass(frozen=True, slots=True)
class Person:
    """A demo patient: identity, diagnosis, where and when they live, and the episode that is to be found."""

    seed: int
    number: int
    first: date
    days: int
    gender: str
    given: str
    family: str
    birth: date
    place: tuple[str, str, str, str, str]
    diagnosis: Diagnosis
    episode: Episode | None

    @property
    def id(self) -> str:
        """Return the logical id."""
        return f"demo-{self.number:03d}"

    @property
    def reference(self) -> Resource:
        """Return a reference to the patient."""
        return {"reference": f"Patient/{self.id}"}

    @property
    def last(self) -> date:
        """Return the last day of data."""
        return self.first + timedelta(days=self.days - 1)

    def chance(self, *purpose: str | int) -> Chance:
        """Return randomness of this person's own."""
        return chance(self.seed, self.number, *purpose)


def person(seed: int, number: int, days: int, end: date) -> Person:
    """Return the demo patient of a number; the same seed gives the same person whatever the number of patients."""
    rng = chance(seed, number, "person")
    gender = str(rng.choice(["female", "male", "other"], p=[0.52, 0.44, 0.04]))
    first = end - timedelta(days=days - 1)
    diagnosis = DIAGNOSES[number % len(DIAGNOSES)]
    age = int(rng.integers(18, 72))
    birth = date(end.year - age, 1, 1) + timedelta(days=int(rng.integers(365)))
    episode = planned(chance(seed, number, "episode"), number, diagnosis.episodes, first, days)
    place, given, family = pick(rng, PLACES), pick(rng, GIVEN[gender]), pick(rng, FAMILY)
    return Person(seed, number, first, days, gender, given, family, birth, place, diagnosis, episode)


def patient(who: Person) -> Resource:
    """Return the Patient resource."""
    rng = who.chance("patient")
    city, state, postal, country, zone = who.place
    language = LANGUAGES[0] if rng.random() < 0.8 else pick(rng, LANGUAGES)
    resource: Resource = {
        "resourceType": "Patient",
        "id": who.id,
        "identifier": _identifiers(rng),
        "active": True,
        "name": _names(rng, who),
        "telecom": _telecom(rng, who),
        "gender": who.gender,
        "birthDate": who.birth.isoformat(),
        "address": [
            {
                "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/timezone", "valueCode": zone}],
                "use": "home",
                "line": [f"{int(rng.integers(1, 999))} {pick(rng, STREETS)}"],
                "city": city,
                "state": state,
                "postalCode": postal,
                "country": country,
            }
        ],
        "maritalStatus": {
            "coding": [{"system": f"{TERMINOLOGY}/v3-MaritalStatus", "code": pick(rng, ("S", "M", "D"))}]
        },
        "communication": [
            {
                "language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language[0], "display": language[1]}]},
                "preferred": True,
            }
        ],
        "generalPractitioner": [{"reference": f"Practitioner/demo-practitioner-{who.number % 4 + 1}"}],
        "managingOrganization": {"reference": "Organization/demo-clinic"},
    }
    if rng.random() < 0.7:
        resource["contact"] = [_contact(rng, who)]
    return resource


def _identifiers(rng: Chance) -> list[Resource]:
    """Return a record number and, for most, a national number, both invented."""
    kind = {"coding": [{"system": f"{TERMINOLOGY}/v2-0203", "code": "MR", "display": "Medical record number"}]}
    out: list[Resource] = [
        {"use": "usual", "type": kind, "system": f"{NAMING}/demo-mrn", "value": f"MRN{digits(rng, 8)}"}
    ]
    if rng.random() < 0.6:
        out.append({"use": "official", "system": f"{NAMING}/demo-national-id", "value": f"9{digits(rng, 8)}"})
    return out


def _names(rng: Chance, who: Person) -> list[Resource]:
    """Return the names: an official one, for some a middle name, a maiden name or a nickname."""
    given = [who.given] + ([pick(rng, GIVEN[who.gender])] if rng.random() < 0.4 else [])
    out: list[Resource] = [{"use": "official", "family": who.family, "given": given}]
    if who.gender == "female" and rng.random() < 0.3:
        out.append({"use": "maiden", "family": pick(rng, FAMILY)})
    if rng.random() < 0.2:
        out.append({"use": "nickname", "given": [who.given[:3]]})
    return out


def _telecom(rng: Chance, who: Person) -> list[Resource]:
    """Return a mobile number, and a mail address for most."""
    out: list[Resource] = [{"system": "phone", "value": f"+1-555-{digits(rng, 3)}-{digits(rng, 4)}", "use": "mobile"}]
    if rng.random() < 0.8:
        out.append({"system": "email", "value": f"demo.patient.{who.number}@example.org", "use": "home"})
    return out


def _contact(rng: Chance, who: Person) -> Resource:
    """Return a person to call."""
    code, display = pick(rng, RELATIONS)
    gender = pick(rng, ("female", "male"))
    return {
        "relationship": [{"coding": [{"system": f"{TERMINOLOGY}/v3-RoleCode", "code": code, "display": display}]}],
        "name": {
            "family": who.family if code in {"PRN", "SIB"} else pick(rng, FAMILY),
            "given": [pick(rng, GIVEN[gender])],
        },
        "telecom": [{"system": "phone", "value": f"+1-555-{digits(rng, 3)}-{digits(rng, 4)}"}],
    }
