"""A patient's record, made up: the resources, and every identifier in them with the forms in which people write it."""

from __future__ import annotations

import random
import string
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from workers.gateway.corpus.people import CITIES, FAMILY, GIVEN, ORGS, PARTICLES, STATES, STREETS

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
GERMAN = [
    "Januar",
    "Februar",
    "März",
    "April",
    "Mai",
    "Juni",
    "Juli",
    "August",
    "September",
    "Oktober",
    "November",
    "Dezember",
]


@dataclass(frozen=True)
class Someone:
    """A person by name; `middle` may be empty."""

    given: str
    middle: str
    family: str

    @property
    def resource(self) -> dict[str, Any]:
        """Return the HumanName."""
        return {"family": self.family, "given": [part for part in (self.given, self.middle) if part]}


@dataclass(frozen=True)
class Record:
    """The identifiers that the record holds, and its resources."""

    patient: Someone
    contact: Someone
    doctor: Someone
    born: date
    street: str
    city: str
    state: tuple[str, str]
    zip: str
    phone: str
    fax: str
    email: str
    mrn: str
    member: str
    serial: str
    org: str
    resources: tuple[dict[str, Any], ...]


def somebody(chance: random.Random) -> Someone:
    """Make up a person."""
    family = chance.choice(PARTICLES) + chance.choice(FAMILY)
    return Someone(chance.choice(GIVEN), chance.choice([*GIVEN, "", ""]), family)


def digits(chance: random.Random, count: int) -> str:
    """Return digits, the first of them not 0."""
    return chance.choice("123456789") + "".join(chance.choices(string.digits, k=count - 1))


def phone(chance: random.Random) -> str:
    """Return the ten digits of a number."""
    return chance.choice("2345678") + digits(chance, 2) + chance.choice("23456789") + digits(chance, 6)


def record(chance: random.Random) -> Record:
    """Make up a record."""
    patient, contact, doctor = (somebody(chance) for _ in range(3))
    born = date(1930, 1, 1) + timedelta(days=chance.randrange(27_000))
    street = f"{chance.randrange(2, 9900)} {chance.choice(STREETS)}"
    city, state, zip_ = chance.choice(CITIES), chance.choice(STATES), digits(chance, 5)
    number, fax = phone(chance), phone(chance)
    email = (
        f"{plain(patient.given).lower()}.{plain(patient.family).lower()}@{chance.choice(['mail', 'post'])}.example.org"
    )
    email = email.replace(" ", "").replace("'", "")
    mrn, member, serial = (
        f"MR{digits(chance, 7)}",
        f"H{digits(chance, 9)}",
        f"AX-{digits(chance, 4)}-{digits(chance, 3)}Q",
    )
    org = chance.choice(ORGS)
    resources = (
        {
            "resourceType": "Patient", "id": "p", "name": [patient.resource], "birthDate": born.isoformat(),
            "telecom": [{"system": "phone", "value": f"+1 {number[:3]} {number[3:6]} {number[6:]}"}, {"system": "email", "value": email},
                        {"system": "fax", "value": fax}],
            "address": [{"line": [street], "city": city, "state": state[0], "postalCode": zip_}],
            "identifier": [{"system": "urn:mrn", "value": mrn}], "contact": [{"name": contact.resource}],
        },
        {"resourceType": "Practitioner", "id": "d", "name": [doctor.resource]},
        {"resourceType": "Organization", "id": "o", "name": org},
        {"resourceType": "Coverage", "id": "c", "subscriberId": member},
        {"resourceType": "Device", "id": "w", "serialNumber": serial},
    )  # fmt: skip
    return Record(
        patient, contact, doctor, born, street, city, state, zip_, number, fax, email, mrn, member, serial, org, resources
    )  # fmt: skip


# ---- forms ----


def plain(text: str) -> str:
    """Return text without diacritics, as somebody types it who has no such keys."""
    text = text.replace("ø", "o").replace("Ø", "O").replace("ł", "l").replace("Ł", "L").replace("ß", "ss")
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def typo(chance: random.Random, text: str) -> str:
    """Return text with one slip of the fingers in a word of five letters or more, never in its first letter."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha()]
    if not long:
        return text
    at = chance.choice(long)
    word = words[at]
    place = chance.randrange(1, len(word) - 1)
    kind = chance.randrange(4)
    if kind == 0:
        word = word[:place] + word[place + 1 :]
    elif kind == 1:
        word = word[:place] + chance.choice(string.ascii_lowercase) + word[place:]
    elif kind == 2:
        word = word[:place] + chance.choice(string.ascii_lowercase) + word[place + 1 :]
    else:
        word = word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    return " ".join([*words[:at], word, *words[at + 1 :]])


def name(chance: random.Random, who: Someone) -> str:
    """Return one way to write a person's name."""
    full = " ".join(part for part in (who.given, who.middle, who.family) if part)
    short = f"{who.given} {who.family}"
    ways = [
        full, short, short, who.family, who.given, f"{who.family}, {who.given}", f"{who.given[0]}. {who.family}", short.upper(),
        short.lower(), plain(short), plain(who.family), f"{who.family.upper()}, {who.given.upper()}", f"{who.given}-{who.family}",
        short.replace("-", " "), short.replace("-", "").replace("'", ""), typo(chance, short), typo(chance, who.family),
        f"{who.given[0]}.{who.family.split(' ')[-1][0]}.", f"{who.given} {who.family[0]}.", short.replace("'", "\u2019"),
    ]  # fmt: skip
    return chance.choice(ways)


def written(chance: random.Random, day: date) -> str:
    """Return one way to write a day."""
    month, short, number = MONTHS[day.month - 1], MONTHS[day.month - 1][:3], day.day
    nth = f"{number}{'th' if 10 < number < 20 else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
    return chance.choice([
        day.isoformat(), day.strftime("%m/%d/%Y"), day.strftime("%m/%d/%y"), f"{day.month}/{number}/{day.year}", day.strftime("%d.%m.%Y"),
        f"{number}.{day.month}.{day.year}", f"{month} {number}, {day.year}", f"{month} {nth}, {day.year}", f"{number} {month} {day.year}",
        f"{nth} of {month}, {day.year}", f"{short} {number}, {day.year}", f"{number}-{short}-{day.year}", day.strftime("%Y/%m/%d"),
        day.strftime("%Y%m%d"), day.strftime("%d-%m-%Y"), f"{month.upper()} {number} {day.year}", f"{short}. {number}, {day.year}",
        f"{number}. {GERMAN[day.month - 1]} {day.year}", day.strftime("%m-%d-%Y"), f"{number}{short.lower()}{day.year}",
    ])  # fmt: skip


def called(chance: random.Random, number: str) -> str:
    """Return one way to write a telephone number."""
    a, b, c = number[:3], number[3:6], number[6:]
    return chance.choice(
        [
            f"({a}) {b}-{c}",
            f"{a}-{b}-{c}",
            f"{a}.{b}.{c}",
            f"+1 {a} {b} {c}",
            f"1-{a}-{b}-{c}",
            number,
            f"{a} {b} {c}",
            f"+1{number}",
        ]
    )


def street(chance: random.Random, line: str) -> str:
    """Return one way to write the line of an address."""
    short = line
    for long, abbreviated in (
        ("Street", "St."),
        ("Avenue", "Ave"),
        ("Lane", "Ln"),
        ("Road", "Rd."),
        ("Drive", "Dr"),
        ("Boulevard", "Blvd"),
        ("Court", "Ct"),
    ):
        short = short.replace(long, abbreviated)
    return chance.choice([line, short, line.upper(), line.lower(), typo(chance, line)])


def code(chance: random.Random, text: str) -> str:
    """Return one way to write a number of the record."""
    spaced = f"{text[:3]} {text[3:]}" if len(text) > 6 else text
    return chance.choice([text, text.lower(), spaced, f"{text[:4]}-{text[4:]}"])
