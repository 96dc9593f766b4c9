"""The questionnaires that are scored: items, answers and bands of severity. A table, no code.

PHQ-9: Kroenke, Spitzer and Williams 2001, J Gen Intern Med 16:606. GAD-7: Spitzer et al. 2006, Arch Intern Med 166:1092.
ISI: Morin 1993; Bastien, Vallieres and Morin 2001, Sleep Med 2:297. ASRM: Altman et al. 1997, Biol Psychiatry 42:948.
Every total is the sum of all items. None of them makes a diagnosis.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Instrument:
    """One questionnaire: names of its canonical URL, LOINC items where there are some, highest answer, bands by lowest total."""

    name: str
    title: str
    panels: tuple[str, ...]
    items: int
    loinc: tuple[str, ...]
    highest: int
    bands: tuple[tuple[int, str], ...]
    weeks: int
    """The time that it asks about."""
    change: float
    """How much of a difference of the total means something to the person, as the literature says."""
    noise: float
    """Standard error of measurement of the total, sd x sqrt(1 - reliability), of the papers above."""
    kept: tuple[tuple[str, int], ...] = ()
    """Items that are a signal of their own: name and place from 0."""

    @property
    def most(self) -> int:
        """Return the highest total."""
        return self.items * self.highest


PHQ9: Final = Instrument(
    "phq-9", "PHQ-9", ("44249-1", "phq-9", "phq9"), 9,
    ("44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"), 3,
    ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "moderately-severe"), (20, "severe")), 2, 5, 2.3,
    (("phq-9-item-9", 8),),
)  # fmt: skip
GAD7: Final = Instrument(
    "gad-7", "GAD-7", ("69737-5", "gad-7", "gad7"), 7,
    ("69725-0", "68509-9", "69733-4", "69734-2", "69735-9", "69689-8", "69736-7"), 3,
    ((0, "minimal"), (5, "mild"), (10, "moderate"), (15, "severe")), 2, 4, 1.9,
)  # fmt: skip
ISI: Final = Instrument(
    "isi", "Insomnia Severity Index", ("isi",), 7, (), 4,
    ((0, "none"), (8, "subthreshold"), (15, "moderate"), (22, "severe")), 2, 6, 2.2,
)  # fmt: skip
ASRM: Final = Instrument(
    "asrm", "Altman Self-Rating Mania Scale", ("asrm",), 5, (), 4, ((0, "below-cutoff"), (6, "raised")), 1, 3, 2.0
)

INSTRUMENTS: Final[Mapping[str, Instrument]] = {each.name: each for each in (PHQ9, GAD7, ISI, ASRM)}

ANSWERS: Final[Mapping[str, int]] = {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}
"""LOINC's answers "not at all" to "nearly every day" (list LL358-3), of PHQ-9 and GAD-7."""


def severity(instrument: Instrument, total: float) -> str:
    """Return the band that a total lies in."""
    return [name for least, name in instrument.bands if total >= least][-1]
