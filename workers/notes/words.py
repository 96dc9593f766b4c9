"""The sentences of the drafter that works by rules, in English and German, and how it writes days, numbers and durations.

A sentence is a row of `data/sentences.json`; the checker reads what comes of it like any other text, so a row that says more
than its citations hold fails the property test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from typing import Final

from workers.notes.lexicon import table
from workers.notes.record import Language, folded
from workers.twin.features import BY_CODE

MONTHS: Final[Mapping[Language, tuple[str, ...]]] = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
           "December"),
    "de": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
           "Dezember"),
}  # fmt: skip

FEATURES: Final[Mapping[str, tuple[str, str]]] = {
    "sleep-duration": ("Main sleep", "Hauptschlaf"),
    "sleep-midpoint": ("Middle of the main sleep", "Mitte des Hauptschlafs"),
    "sleep-efficiency": ("Sleep efficiency", "Schlafeffizienz"),
    "steps": ("Step count a day", "Schrittzahl am Tag"),
    "activity-mean": ("Daytime activity", "Aktivität am Tag"),
    "resting-heart-rate": ("Resting heart rate", "Ruhepuls"),
    "resting-heart-rate-reported": ("Resting heart rate reported by the device", "Vom Gerät gemeldeter Ruhepuls"),
    "interdaily-stability": ("Stability of the daily rhythm (IS)", "Stabilität des Tagesrhythmus (IS)"),
    "intradaily-variability": ("Fragmentation of the daily rhythm (IV)", "Zerrissenheit des Tagesrhythmus (IV)"),
    "relative-amplitude": ("Contrast of day and night (RA)", "Kontrast von Tag und Nacht (RA)"),
    "sleep-regularity-index": ("Sleep regularity index", "Schlafregelmäßigkeit (SRI)"),
    "hrv-rmssd": ("Heart rate variability (RMSSD)", "Herzratenvariabilität (RMSSD)"),
    "hrv-sdnn": ("Heart rate variability (SDNN)", "Herzratenvariabilität (SDNN)"),
}
UNITS: Final[Mapping[str, str | tuple[str, str]]] = {
    "{steps}": (" steps", " Schritte"), "/min": " /min", "%": " %", "ms": " ms", "1": "", "h": " h", "{score}": "",
    "{counts}/min": (" counts/min", " Zählungen/min"),
}  # fmt: skip
BANDS: Final[Mapping[str, tuple[str, str]]] = {
    "minimal": ("minimal", "minimal"), "mild": ("mild", "leicht"), "moderate": ("moderate", "mittelgradig"),
    "moderately-severe": ("moderately severe", "mittelschwer"), "severe": ("severe", "schwer"), "none": ("none", "keine"),
    "subthreshold": ("subthreshold", "unterschwellig"), "below-cutoff": ("below the cut-off", "unter dem Grenzwert"),
    "raised": ("raised", "erhöht"),
}  # fmt: skip


def sentence(language: Language, key: str, **values: str) -> str:
    """Return a sentence of `data/sentences.json`; whatever comes from the record stays within its line and its quotation marks."""
    text: str = table("sentences")[key][language == "de"]
    return text.format(**{name: folded(value) for name, value in values.items()})


def day(language: Language, value: date) -> str:
    """Return `12 May 2026` or `12.05.2026`."""
    if language == "de":
        return f"{value.day:02d}.{value.month:02d}.{value.year:04d}"
    return f"{value.day} {MONTHS['en'][value.month - 1]} {value.year}"


def plain(language: Language, value: Decimal, decimals: int | None = None) -> str:
    """Return a number rounded half up, with a point or a comma; without `decimals` as it is."""
    rounded = value if decimals is None else value.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    text = f"{rounded + 0:f}"
    if decimals is None and "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace(".", ",") if language == "de" else text


def name(language: Language, code: str) -> str:
    """Return how a feature is called."""
    return FEATURES[code][language == "de"] if code in FEATURES else BY_CODE[code].display


def amount(language: Language, code: str, value: Decimal) -> str:
    """Return a feature's number with its unit: minutes as hours and minutes, hours of the clock as a time."""
    feature = BY_CODE[code]
    if feature.unit == "min":
        minutes = int(value.quantize(Decimal(1), ROUND_HALF_UP))
        return f"{minutes // 60} h {minutes % 60:02d} min"
    if feature.circular:
        minutes = int((value * 60).quantize(Decimal(1), ROUND_HALF_UP)) % 1440
        return f"{minutes // 60:02d}:{minutes % 60:02d}"
    unit = UNITS.get(feature.unit, f" {feature.unit}")
    return plain(language, value, feature.decimals) + (unit if isinstance(unit, str) else unit[language == "de"])


def told(language: Language, text: str) -> str:
    """Return what software wrote, or a code is called, in the language of the note; all else, people's words, as it stands."""
    if language != "de" or not text:
        return text
    known: str | None = _german().get(text.lower())
    return known or _dosage(text)


@cache
def _german() -> Mapping[str, str]:
    """Return German names by English ones in lower case: of `data/german.json`, of medicines by their generic names."""
    drugs = table("drugs")["drugs"]
    made = {g: (g[:-1] if g.endswith("e") and g[:-1] in names else g).capitalize() for g, names in drugs.items()}
    return made | {name.lower(): said for name, said in table("german")["names"].items()}


def _dosage(text: str) -> str:
    """Return a dosage in German, as it stands where there is anything in it but numbers, units and known phrases."""
    made, rest = text, text
    for english, german in table("german")["dosages"].items():
        pattern = re.compile(rf"(?<!\w){english}(?!\w)", re.IGNORECASE)
        made, rest = pattern.sub(german, made), pattern.sub(" ", rest)
    if rest == text or re.fullmatch(r"[\s,]*(?:[\d.]+ ?(?:mg|g|ml|µg|mcg|tablets?)?[\s,]*)?", rest) is None:
        return text
    return re.sub(r"(?<=\d)\.(?=\d)", ",", made)


def band(language: Language, code: str) -> str:
    """Return a band of severity."""
    return BANDS[code][language == "de"]
