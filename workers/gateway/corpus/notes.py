"""A note: clinical sentences, some with an identifier of the record or of nobody known, each marked with its class."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from workers.gateway.corpus import record as made
from workers.gateway.corpus.people import CITIES, CLEAN, EMPLOYERS, STREETS
from workers.gateway.corpus.record import MONTHS, Record, digits

CLASSES: Final = {
    "A": "names", "B": "geographic subdivisions", "C": "dates, ages over 89", "D": "telephone numbers", "E": "fax numbers",
    "F": "e-mail addresses", "G": "social security numbers", "H": "medical record numbers", "I": "health plan numbers",
    "J": "account numbers", "K": "certificate and licence numbers", "L": "vehicles and plates", "M": "devices, serial numbers",
    "N": "web addresses", "O": "IP addresses", "P": "biometric identifiers", "Q": "photographs", "R": "other unique codes",
}  # fmt: skip
"""45 CFR 164.514(b)(2)(i)(A) to (R)."""


@dataclass(frozen=True)
class Mark:
    """An identifier in a note: from `start` to before `end`; `known` says that the record holds it."""

    start: int
    end: int
    letter: str
    known: bool


@dataclass(frozen=True)
class Note:
    """A note and what stands in it."""

    text: str
    marks: tuple[Mark, ...]


Form = Callable[[random.Random, Record], str]

KNOWN: Final[tuple[tuple[str, str, Form], ...]] = (
    ("A", "{} reports feeling better.", lambda c, r: made.name(c, r.patient)),
    ("A", "Met with {} for 45 minutes.", lambda c, r: made.name(c, r.patient)),
    ("A", "The patient, {}, sleeps poorly.", lambda c, r: made.name(c, r.patient)),
    ("A", "{}'s mood is low.", lambda c, r: made.name(c, r.patient)),
    ("A", "Today {} was tearful and anxious.", lambda c, r: made.name(c, r.patient)),
    ("A", "Collateral from {} confirms this.", lambda c, r: made.name(c, r.contact)),
    ("A", "Seen by Dr. {} last week.", lambda c, r: r.doctor.family),
    ("A", "{} increased the dose.", lambda c, r: made.name(c, r.doctor)),
    ("B", "Lives at {}.", lambda c, r: made.street(c, r.street)),
    ("B", "Visited at home ({}).", lambda c, r: made.street(c, r.street)),
    ("B", "Moved back to {} this spring.", lambda c, r: c.choice([r.city, r.city.upper(), made.typo(c, r.city)])),
    ("B", "The pharmacy in {} has it.", lambda c, r: r.city),
    ("B", "Address ends in {}.", lambda c, r: r.zip),
    ("B", "Transferred from {} yesterday.", lambda c, r: c.choice([r.org, r.org.upper(), r.org.lower()])),
    ("C", "Born {}.", lambda c, r: made.written(c, r.born)),
    ("C", "DOB: {}", lambda c, r: made.written(c, r.born)),
    ("D", "Call back at {} tomorrow.", lambda c, r: made.called(c, r.phone)),
    ("D", "Number on file {} is right.", lambda c, r: made.called(c, r.phone)),
    ("E", "Sent the letter to {}.", lambda c, r: made.called(c, r.fax)),
    ("F", "Portal account {} is active.", lambda c, r: c.choice([r.email, r.email.upper()])),
    ("H", "Chart {} reviewed.", lambda c, r: made.code(c, r.mrn)),
    ("I", "Prior authorisation under {} is pending.", lambda c, r: made.code(c, r.member)),
    ("M", "Actigraph {} was handed out.", lambda c, r: c.choice([r.serial, r.serial.lower(), r.serial.replace("-", ""), r.serial.replace("-", " ")])),
)  # fmt: skip


def _day(chance: random.Random) -> date:
    return date(2019, 1, 1) + timedelta(days=chance.randrange(2600))


def _some(chance: random.Random) -> str:
    who = made.somebody(chance)
    return chance.choice([f"{who.given} {who.family}", who.given, f"{who.given} {who.family}", who.family])


def _whole(chance: random.Random) -> str:
    who = made.somebody(chance)
    return f"{who.given} {who.family}"


def _family(chance: random.Random) -> str:
    return made.somebody(chance).family


def _month(chance: random.Random) -> str:
    month = chance.choice(MONTHS)
    return chance.choice(
        [
            month,
            f"{month} {chance.randrange(2015, 2026)}",
            f"{month} {chance.randrange(1, 29)}",
            f"{chance.randrange(1, 29)} {month}",
        ]
    )


def _letters(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=count))


def _hex(chance: random.Random, count: int) -> str:
    return "".join(chance.choices("0123456789abcdef", k=count))


def _ip(chance: random.Random) -> str:
    four = ".".join(str(chance.randrange(1, 255)) for _ in range(4))
    return chance.choice(
        [
            four,
            ":".join(_hex(chance, 4) for _ in range(8)),
            ":".join(_hex(chance, 2) for _ in range(6)),
            f"2001:db8::{_hex(chance, 4)}",
        ]
    )


def _email(chance: random.Random) -> str:
    box = "".join(chance.choices(string.ascii_lowercase, k=6)) + chance.choice(["", "77", ".x", "_b"])
    return chance.choice(
        [f"{box}@example.com", f"{box}@uni.example.edu", f"{box} at example dot com", f"{box}[at]example.org"]
    )


def _ssn(chance: random.Random) -> str:
    number = digits(chance, 9)
    return chance.choice(
        [f"{number[:3]}-{number[3:5]}-{number[5:]}", f"{number[:3]} {number[3:5]} {number[5:]}", number]
    )


OTHER: Final[tuple[tuple[str, str, Callable[[random.Random], str]], ...]] = (
    ("A", "Referred by Dr. {} for a second opinion.", _family),
    ("A", "His wife {} is supportive.", _some),
    ("A", "Her brother, {}, died by suicide.", _some),
    ("A", "Lives with a roommate named {}.", _some),
    ("A", "Spoke with {} about housing.", _whole),
    ("A", "Signed: {}, MD", _whole),
    ("A", "Mr. {} was asked to return.", _family),
    ("A", "Emergency contact: {}", _whole),
    ("A", "Therapist {} joined the call.", _whole),
    ("B", "Grew up in {} with two sisters.", lambda c: c.choice(CITIES)),
    ("B", "Found at {} by police.", lambda c: f"{c.randrange(10, 9999)} {c.choice(STREETS)}"),
    ("B", "Travelled to {}, TX for work.", lambda c: c.choice(CITIES)),
    ("B", "ZIP code {}", lambda c: digits(c, 5)),
    ("B", "Works at {} full time.", lambda c: c.choice(EMPLOYERS)),
    ("C", "Admitted on {}.", lambda c: made.written(c, _day(c))),
    ("C", "Last seen {} in the clinic.", lambda c: made.written(c, _day(c))),
    ("C", "Symptoms began in {}.", _month),
    ("C", "Next visit {}", lambda c: made.written(c, _day(c))),
    ("C", "Grandmother is {} years old.", lambda c: str(c.randrange(90, 106))),
    ("C", "Discharged on {}.", lambda c: f"{c.randrange(1, 13)}/{c.randrange(13, 29)}"),
    ("D", "Sister can be reached at {}.", lambda c: made.called(c, made.phone(c))),
    ("D", "Cell {}", lambda c: made.called(c, made.phone(c))),
    ("D", "German number {} does not answer.", lambda c: f"+49 {digits(c, 3)} {digits(c, 7)}"),
    ("E", "Fax: {}", lambda c: made.called(c, made.phone(c))),
    ("E", "Records were faxed to {} today.", lambda c: made.called(c, made.phone(c))),
    ("F", "Write to {} for the forms.", _email),
    ("G", "SSN {}", _ssn),
    ("G", "Social security number is {}.", _ssn),
    ("H", "MRN: {}", lambda c: digits(c, c.choice([6, 7, 8]))),
    ("H", "Medical record number {} was merged.", lambda c: f"{_letters(c, 1)}{digits(c, 6)}"),
    ("I", "Member ID {} with the plan.", lambda c: f"{_letters(c, 3)}{digits(c, 9)}"),
    ("I", "Insurance policy number: {}", lambda c: f"{digits(c, 4)}-{digits(c, 5)}-{digits(c, 2)}"),
    ("I", "Medicare {} is primary.", lambda c: f"1{_letters(c, 1)}G4-T{_letters(c, 1)}5-MK73"),
    ("J", "Account # {} is overdue.", lambda c: digits(c, 8)),
    ("J", "Card {} was declined.", lambda c: " ".join(digits(c, 4) for _ in range(4))),
    ("J", "IBAN {}", lambda c: f"DE{digits(c, 2)} {digits(c, 4)} {digits(c, 4)} {digits(c, 4)} {digits(c, 4)} {digits(c, 2)}"),
    ("K", "Driver's license {} was suspended.", lambda c: f"{_letters(c, 1)}{digits(c, 8)}"),
    ("K", "DEA {}", lambda c: f"{_letters(c, 2)}{digits(c, 7)}"),
    ("K", "NPI {} on the form.", lambda c: digits(c, 10)),
    ("L", "VIN {}", lambda c: "".join(c.choices("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", k=16)) + "7"),
    ("L", "License plate {} was noted by security.", lambda c: f"{c.randrange(1, 9)}{_letters(c, 3)}{digits(c, 3)}"),
    ("M", "Pacemaker serial number {}", lambda c: f"{_letters(c, 3)}{digits(c, 6)}{_letters(c, 1)}"),
    ("M", "Watch with serial {} was lost.", lambda c: f"{_letters(c, 2)}-{digits(c, 5)}"),
    ("M", "IMEI {}", lambda c: digits(c, 15)),
    ("N", "Blog at {} has the posts.", lambda c: c.choice([f"https://www.example.com/u/{_hex(c, 6)}", f"www.{_hex(c, 6)}.example.org", f"http://{_hex(c, 5)}.example.net/?id=7"])),
    ("O", "Logged in from {} at night.", _ip),
    ("P", "Fingerprint ID {} for the locker.", lambda c: f"FP-{digits(c, 5)}"),
    ("P", "Voiceprint {} is enrolled.", lambda c: f"VP{digits(c, 6)}"),
    ("Q", "See photo {} of the forearm.", lambda c: f"IMG_{digits(c, 4)}.jpg"),
    ("Q", "Portrait {} is attached.", lambda c: f"DSC{digits(c, 5)}.png"),
    ("R", "Study subject ID {}", lambda c: f"{_letters(c, 3)}-{digits(c, 4)}"),
    ("R", "Posts as @{} online.", lambda c: f"{_hex(c, 4)}_sky{c.randrange(10, 99)}"),
    ("R", "Token {} in the export.", lambda c: f"{_hex(c, 8)}-{_hex(c, 4)}-{_hex(c, 4)}-{_hex(c, 4)}-{_hex(c, 12)}"),
    ("R", "Employee number: {}", lambda c: digits(c, 6)),
)  # fmt: skip


def note(chance: random.Random, of: Record, sentences: int = 12) -> Note:
    """Make up a note about a record."""
    text, marks = "", []
    for _ in range(sentences):
        pick = chance.random()
        if pick < 0.4:
            text += chance.choice(CLEAN)
        else:
            letter, frame, value, known = _marked(chance, of, known=pick < 0.7)
            before, after = frame.split("{}")
            start = len(text) + len(before)
            marks.append(Mark(start, start + len(value), letter, known))
            text += before + value + after
        text += chance.choice([" ", " ", "\n"]) if text[-1] in ".!" else "\n"
    return Note(text, tuple(marks))


def _marked(chance: random.Random, of: Record, *, known: bool) -> tuple[str, str, str, bool]:
    if known:
        letter, frame, form = chance.choice(KNOWN)
        return letter, frame, form(chance, of), True
    letters = sorted({letter for letter, _, _ in OTHER})
    letter = chance.choice(letters)  # each class as often as the others, however many sentences it has
    _, frame, made_up = chance.choice([each for each in OTHER if each[0] == letter])
    return letter, frame, made_up(chance), False


def identifying(text: str) -> list[int]:
    """Return the places of the letters and digits of a text."""
    return [found.start() for found in re.finditer(r"[^\W_]", text)]
