"""What a message says: by default the class of its reason and a link, in English or German; nothing else of anybody.

More is said only where the patient wishes it (`message-detail` of the contact point): when an appointment is, or the text itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from workers.messages.port import Channel, Outgoing

LANGUAGES: Final = ("en", "de")
_MOST_CONTENT: Final = 1000
_CODE: Final = "verification"

Words = tuple[str, str]
"""One message, and several of its reason with `{n}`."""

_WORDS: Final[Mapping[str, Mapping[str, Words]]] = {
    "en": {
        "clinical-alert": ("A clinical alert needs your attention.", "{n} clinical alerts need your attention."),
        "device-alert": ("A device needs your attention.", "{n} devices need your attention."),
        "appointment": ("You have an appointment soon.", "You have {n} appointments soon."),
        "questionnaire": ("A questionnaire waits for you.", "{n} questionnaires wait for you."),
        "notice": ("There is something for you to read.", "There are {n} things for you to read."),
        _CODE: ("Your code is {n}. It holds for 30 minutes.", ""),
    },
    "de": {
        "clinical-alert": ("Ein klinischer Hinweis braucht Sie.", "{n} klinische Hinweise brauchen Sie."),
        "device-alert": ("Ein Gerät braucht Ihre Aufmerksamkeit.", "{n} Geräte brauchen Ihre Aufmerksamkeit."),
        "appointment": ("Sie haben bald einen Termin.", "Sie haben bald {n} Termine."),
        "questionnaire": ("Ein Fragebogen wartet auf Sie.", "{n} Fragebögen warten auf Sie."),
        "notice": ("Es gibt etwas für Sie zu lesen.", "Es gibt {n} Nachrichten für Sie zu lesen."),
        _CODE: ("Ihr Code ist {n}. Er gilt 30 Minuten.", ""),
    },
}
_SUBJECTS: Final = {"en": "Message from Clarity", "de": "Nachricht von Clarity"}
_STOP: Final = {"en": "Reply STOP to get no more.", "de": "Mit STOP abbestellen."}
_AT: Final = {"en": "It is on {0:%Y-%m-%d} at {0:%H:%M}.", "de": "Er ist am {0:%d.%m.%Y} um {0:%H:%M} Uhr."}


@dataclass(frozen=True, slots=True)
class Said:
    """What a message is about: its reason, how many of them, where to read more; `at` and `content` only as far as wished."""

    reason: str
    link: str
    count: int = 1
    at: datetime | None = None
    content: str | None = None


def language(wanted: str | None) -> str:
    """Return the language in which to write, out of a BCP 47 tag."""
    stem = (wanted or "").partition("-")[0].lower()
    return stem if stem in LANGUAGES else LANGUAGES[0]


def render(ref: str, to: str, channel: Channel, said: Said, wanted: str | None = None) -> Outgoing:
    """Return the message as it leaves."""
    lang = language(wanted)
    one, many = _WORDS[lang].get(said.reason, _WORDS[lang]["notice"])
    parts = [one if said.count == 1 else many.format(n=said.count)]
    if said.count == 1 and said.at is not None:
        parts.append(_AT[lang].format(said.at))
    if said.count == 1 and said.content:
        parts.append(said.content[:_MOST_CONTENT])
    if channel == "sms":
        return Outgoing(ref, to, "", " ".join([f"Clarity: {parts[0]}", *parts[1:], _STOP[lang], said.link]), said.link)
    return Outgoing(ref, to, _SUBJECTS[lang], "\n\n".join([*parts, said.link]) + "\n", said.link)


def render_code(ref: str, to: str, code: str, wanted: str | None = None) -> Outgoing:
    """Return the message that tells somebody a code."""
    lang = language(wanted)
    return Outgoing(ref, to, _SUBJECTS[lang], f"Clarity: {_WORDS[lang][_CODE][0].format(n=code)}")
