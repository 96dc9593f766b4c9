"""What a record says by whom it may be recognised: names, addresses, numbers, found in any resource by the shape of its elements."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from workers.gateway.deid import dates
from workers.gateway.deid.words import fold, words

TITLES_WORDS: Final = """
dr drs prof professor mr mrs ms miss mx sir madam md phd do rn np pa lcsw psyd msw med dipl psych herr frau fr
hr sr sra srta mme jr junior senior ii iii iv von van der den de la le du da dos del di el bin ibn mc and
the
"""
TITLES: Final = frozenset(TITLES_WORDS.split())
"""What stands around a name and is none by itself."""
PARTICLES: Final = frozenset(
    [
        "van",
        "von",
        "der",
        "den",
        "de",
        "la",
        "le",
        "du",
        "da",
        "dos",
        "del",
        "di",
        "el",
        "bin",
        "ibn",
        "mc",
        "and",
        "the",
        "st",
        "ter",
        "zu",
    ]
)
"""Small words within names, which are nobody's name alone."""
_NAMED: Final = {"Organization": "ORG", "Location": "PLACE", "HealthcareService": "ORG", "CareTeam": "ORG", "Group": "ORG",
                 "InsurancePlan": "ORG", "Endpoint": "ORG", "ResearchStudy": "ORG", "Account": "ORG"}  # fmt: skip
_PEOPLE: Final = frozenset({"Patient", "Practitioner", "PractitionerRole", "RelatedPerson", "Person"})
_NUMBERS_WORDS: Final = """
serialNumber lotNumber distinctIdentifier deviceIdentifier carrierHRF subscriberId policyNumber authEmail
"""
_NUMBERS: Final = frozenset(_NUMBERS_WORDS.split())
_GENERIC_WORDS: Final = """
hospital clinic center centre health healthcare medical medicine group practice associates services service
institute university department of the and for at in inc llc ltd gmbh psychiatry psychiatric psychology mental
behavioral behavioural outpatient inpatient community general regional memorial family care ward unit room
floor building pharmacy laboratory lab st saint
"""
_GENERIC: Final = frozenset(_GENERIC_WORDS.split())
STREETS: Final = {
    "street": "st", "avenue": "ave", "road": "rd", "boulevard": "blvd", "drive": "dr", "lane": "ln", "court": "ct", "place": "pl",
    "square": "sq", "highway": "hwy", "parkway": "pkwy", "terrace": "ter", "circle": "cir", "apartment": "apt", "suite": "ste",
    "saint": "st", "north": "n", "south": "s", "east": "e", "west": "w", "strasse": "str", "platz": "pl", "number": "no", "mount": "mt",
}  # fmt: skip
"""What is written in two ways in addresses and names of places."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, by the parts of a name, folded; `identity` is the resource, so that one person is one pseudonym."""

    kind: str
    identity: str
    given: tuple[str, ...]
    family: tuple[str, ...]

    @property
    def parts(self) -> frozenset[str]:
        """Return every part that is a name by itself."""
        own = [part for part in self.family if part not in PARTICLES] or self.family
        return frozenset(part for part in (*self.given, *own) if len(part) > 1 and part not in PARTICLES)


@dataclass(slots=True)
class Known:
    """The identifiers of a record."""

    people: list[Person] = field(default_factory=list)
    phrases: dict[tuple[str, ...], tuple[str, str]] = field(default_factory=dict)
    """Folded words in their order -> (kind, identity): addresses, cities, organisations. A single word that is also an ordinary
    one is meant only where it has a capital (`Reading`)."""
    codes: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Letters and digits without what separates them -> (kind, identity): phones, numbers, addresses of mail."""
    days: set[date] = field(default_factory=set)

    def add(self, resource: Mapping[str, Any]) -> None:
        """Take in everything that identifies somebody in a resource."""
        name = f"{resource.get('resourceType', '')}/{resource.get('id', '')}"
        _walk(self, resource, str(resource.get("resourceType", "")), name)

    def add_phrase(self, text: str, kind: str, identity: str) -> None:
        """Take in a name of a place or organisation, and what is its own in it."""
        parts = phrase(text)
        if not parts or (len(parts) == 1 and (len(parts[0]) < 3 or parts[0] in _GENERIC)):
            return
        self.phrases.setdefault(parts, (kind, identity))
        self.phrases.setdefault(tuple(word.folded for word in words(text)), (kind, identity))
        own = [at for at, part in enumerate(parts) if part not in _GENERIC and not part.isdigit()]
        if own and kind == "ORG":
            core = parts[own[0] : own[-1] + 1]
            if len(core) > 1 or len(core[0]) > 3:
                self.phrases.setdefault(core, (kind, identity))

    def add_code(self, text: str, kind: str, identity: str) -> None:
        """Take in a number or code, whatever separates its parts."""
        code = "".join(word.folded for word in words(text))
        if len(code) >= 4 or (len(code) == 3 and not code.isalpha()):
            self.codes.setdefault(code, (kind, identity))

    def add_person(self, kind: str, identity: str, given: Iterable[str], family: Iterable[str]) -> None:
        """Take in a person's name; parts written with hyphens or apostrophes are parts by themselves and as one."""
        self.people.append(Person(kind, identity, _parts(given), _parts(family)))


def phrase(text: str) -> tuple[str, ...]:
    """Return the folded words of an address or name, streets in their short form."""
    return tuple(STREETS.get(word.folded, word.folded) for word in words(text))


def _parts(texts: Iterable[str]) -> tuple[str, ...]:
    found: list[str] = []
    for text in texts:
        for piece in text.split():
            single = [word.folded for word in words(piece)]
            found += single
            if len(single) > 1:
                found.append("".join(single))
        umlauts = re.sub("[äöü]", lambda each: {"ä": "ae", "ö": "oe", "ü": "ue"}[each[0]], text.casefold())
        if umlauts != text.casefold():
            found += [fold(piece) for piece in umlauts.split()]
    return tuple(dict.fromkeys(found))


# ---- shapes ----


def _walk(known: Known, value: Any, type_: str, identity: str) -> None:
    if isinstance(value, list):
        for at, each in enumerate(value):
            _walk(known, each, type_, f"{identity}/{at}" if type_ == "contact" else identity)
    elif isinstance(value, dict):
        if "resourceType" in value:
            type_ = str(value["resourceType"])
            _named(known, value, type_, identity)
        _shaped(known, value, type_, identity)
        for key, each in value.items():
            _keyed(known, key, each, identity)
            if key == "contact":  # somebody else, in the patient's own resource
                _walk(known, each, key, f"{identity}/contact")
            else:
                _walk(known, each, type_, identity)


def _named(known: Known, resource: Mapping[str, Any], type_: str, identity: str) -> None:
    names = [resource.get("name"), *(resource.get("alias") or ())] if type_ in _NAMED else ()
    for name in names:
        if isinstance(name, str):
            known.add_phrase(name, _NAMED[type_], identity)
    for key in ("birthDate", "deceasedDateTime"):
        if isinstance(text := resource.get(key), str):
            known.days.update(found.day for found in dates.find(text[:10]) if found.day)


def _shaped(known: Known, value: Mapping[str, Any], type_: str, identity: str) -> None:
    """Tell by its elements what a value is: HumanName, Address, ContactPoint, Identifier, Reference."""
    kind = "PATIENT" if type_ == "Patient" else "PERSON"
    if isinstance(value.get("family"), str) or _texts(value, "given"):
        known.add_person(kind, identity, _texts(value, "given"), _texts(value, "family"))
        if isinstance(text := value.get("text"), str):
            _display(known, text, kind, identity)
    if _texts(value, "line") or {"city", "postalCode"} & value.keys():
        for key in ("line", "city", "district", "text"):
            for text in _texts(value, key):
                known.add_phrase(text, "PLACE", f"{identity}/{fold(text)}")
        for text in _texts(value, "postalCode"):
            known.add_code(text, "PLACE", f"{identity}/{text}")
            known.add_code(text[:5], "PLACE", f"{identity}/{text}")
    if isinstance(contact := value.get("value"), str) and isinstance(value.get("system"), str):
        _contact(known, str(value["system"]), contact, identity)
    if isinstance(value.get("display"), str) and isinstance(value.get("reference"), str):
        _referred(known, str(value["reference"]), str(value["display"]))


def _texts(value: Mapping[str, Any], key: str) -> list[str]:
    found = value.get(key)
    return [each for each in (found if isinstance(found, list) else [found]) if isinstance(each, str)]


def _contact(known: Known, system: str, text: str, identity: str) -> None:
    if system in ("phone", "fax", "sms", "pager"):
        digits = re.sub(r"\D", "", text)
        for code in _phones(digits):
            known.add_code(code, "FAX" if system == "fax" else "PHONE", f"{identity}/{digits}")
    elif system == "email":
        known.add_code(text, "EMAIL", f"{identity}/{text}")
    elif system == "url":
        known.add_code(text.split("://")[-1].rstrip("/"), "URL", f"{identity}/{text}")
    else:
        known.add_code(text, "ID", f"{identity}/{text}")


def _phones(digits: str) -> Iterator[str]:
    """Yield the ways to say a number: with and without its country and its first zero, and without its area."""
    yield digits
    for start in ("001", "1", "00", "0", "49", "44"):
        if digits.startswith(start) and len(digits) - len(start) >= 7:
            yield digits[len(start) :]
    if len(digits) in (10, 11):
        yield digits[-7:]


def _keyed(known: Known, key: str, value: Any, identity: str) -> None:
    if isinstance(value, str) and key in _NUMBERS:
        known.add_code(value, "ID", f"{identity}/{value}")
    if key in ("identifier", "masterIdentifier"):
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict) and isinstance(text := each.get("value"), str):
                known.add_code(text.removeprefix("urn:uuid:").removeprefix("urn:oid:"), "ID", f"{identity}/{text}")


def _referred(known: Known, reference: str, display: str) -> None:
    type_, _, id_ = reference.partition("/")
    if type_ in _PEOPLE:
        _display(known, display, "PATIENT" if type_ == "Patient" else "PERSON", f"{type_}/{id_}")
    elif type_ in _NAMED:
        known.add_phrase(display, _NAMED[type_], reference)


def _display(known: Known, text: str, kind: str, identity: str) -> None:
    """Take in a name that is written as one text: what is no title is a name, the last of it the family's."""
    before, _, after = text.partition(",")
    ordered = f"{after} {before}" if after and fold(after.strip()).strip(".") not in TITLES else text
    pieces = [piece for piece in ordered.replace(",", " ").split() if fold(piece).strip(".") not in TITLES]
    pieces = [piece for piece in pieces if re.search(r"[^\W\d_]", piece)]
    known.add_person(kind, identity, pieces[:-1], pieces[-1:])
