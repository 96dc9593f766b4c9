"""What stands for what: one token for one identity, dates moved by one number of days, and the way back.

`[PERSON-2]` is a person, `[PERSON-2.3]` the third way in which that person was written. Whole dates become ISO dates moved by a
number of weeks that only this server knows for the patient, so that order, distances and weekdays stay; years alone stay as they are
(45 CFR 164.514(b)(2)(i)(C) allows them); parts of dates, and dates that may be read two ways, become tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final

from workers.gateway.deid import dates

TOKEN: Final = re.compile(r"\[([A-Z]{2,12}(?:-\d{1,4})?(?:\.\d{1,3})?)\]")
_ALONE: Final = "PATIENT"


@dataclass(slots=True)
class Pseudonyms:
    """The replacements of one question, shared by all its texts; `shift` in days."""

    shift: int = 0
    originals: dict[str, str] = field(default_factory=dict)
    """Token without brackets to what it stands for."""
    _tokens: dict[tuple[str, str, str], str] = field(default_factory=dict)
    _numbers: dict[tuple[str, str], str] = field(default_factory=dict)
    _forms: dict[str, int] = field(default_factory=dict)

    def token(self, kind: str, identity: str, written: str) -> str:
        """Return what stands for `written`, a form of `identity`: the same each time."""
        at = (kind, identity, written)
        if at not in self._tokens:
            name = self._named(kind, identity)
            self._forms[name] = form = self._forms.get(name, 0) + 1
            made = name if form == 1 else f"{name}.{form}"
            self._tokens[at], self.originals[made] = made, written
        return f"[{self._tokens[at]}]"

    def _named(self, kind: str, identity: str) -> str:
        if kind == _ALONE:
            return kind
        if (kind, identity) not in self._numbers:
            taken = sum(1 for other, _ in self._numbers if other == kind)
            self._numbers[kind, identity] = f"{kind}-{taken + 1}"
        return self._numbers[kind, identity]

    def moved(self, day: date) -> str:
        """Return the date that goes out for a date."""
        return (day + timedelta(days=self.shift)).isoformat()


def unknown(text: str, pseudonyms: Pseudonyms) -> list[str]:
    """Return tokens in a text that stand for nothing: somebody made them up."""
    return [name for name in TOKEN.findall(text) if name not in pseudonyms.originals]


def restore(text: str, pseudonyms: Pseudonyms) -> str:
    """Return text with what tokens stand for, and whole dates moved back, written as ISO dates.

    Dates first: what a token stands for is as it was.
    """
    back = dates.rewritten(text, lambda day: (day - timedelta(days=pseudonyms.shift)).isoformat())
    return TOKEN.sub(lambda found: pseudonyms.originals.get(found[1], found[0]), back)
