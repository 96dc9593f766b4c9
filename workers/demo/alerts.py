"""Alarm fatigue as a number: what the shipped alert rules do on demo cohorts whose episodes are known.

An alert is of an episode when it is raised from the onset to the end of one. It came early when that was before the full effect,
which an episode of the demo has on its third day: earlier there is nothing that could be seen. All others are false.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, tzinfo
from typing import Final

from profiles.psych.rules import shipped
from workers.demo.episodes import RAMP
from workers.demo.evaluate import END
from workers.demo.generate import DAYS, PATIENTS, generate, truth
from workers.rules import plan
from workers.rules.chart import Chart, answers_of
from workers.rules.rule import Rule
from workers.rules.simulate import simulate
from workers.twin.block import gather
from workers.twin.daybook import encode, pages, touched
from workers.twin.digest import digest
from workers.twin.recording import Recording
from workers.twin.signals import Reading, read
from workers.twin.state import booked_states
from workers.twin.zone import zone_of

BEGIN, FINISH = "<!-- evaluation -->", "<!-- /evaluation -->"
HEADINGS: Final = ("alerts", "a patient-week", "of an episode", "early", "episodes found", "median days", "unknown")


@dataclass(frozen=True, slots=True)
class Case:
    """One demo patient: the evidence, the local days with data, and the episode, if there is one."""

    patient: str
    chart: Chart
    days: tuple[date, ...]
    zone: tzinfo
    episode: tuple[date, date] | None


@dataclass(slots=True)
class Told:
    """What one rule did: days from onset to each alert of an episode, false ones, per episode the first, unknown moments."""

    lags: list[int] = field(default_factory=list)
    false: int = 0
    first: list[int | None] = field(default_factory=list)
    weeks: float = 0.0
    moments: int = 0
    unknown: int = 0

    def row(self) -> list[str]:
        """Return the figures of a table."""
        alerts = len(self.lags) + self.false
        found = [lag for lag in self.first if lag is not None]
        early = sum(lag < RAMP - 1 for lag in self.lags)
        return [
            str(alerts),
            f"{alerts / self.weeks:.3f}" if self.weeks else "-",
            f"{len(self.lags)} ({len(self.lags) / alerts:.0%})" if alerts else "-",
            f"{early} ({early / alerts:.0%})" if alerts else "-",
            f"{len(found)} of {len(self.first)}",
            f"{statistics.median(found):g}" if found else "-",
            f"{self.unknown / self.moments:.0%}" if self.moments else "-",
        ]


def rules() -> list[Rule]:
    """Return the rules that come along."""
    return [rule for each in shipped() if (rule := plan.read(each)[0]) is not None]


def named(rule: Rule) -> str:
    """Return the short name of a rule that came along."""
    return rule.id.removeprefix("alert-")


def cases(seeds: Iterable[int], patients: int = PATIENTS, days: int = DAYS, end: date = END) -> Iterator[Case]:
    """Yield the demo patients of the seeds, computed as a worker would."""
    for seed in seeds:
        told = {entry["patient"]: entry for entry in truth(seed, patients, days, end=end)}
        zones: dict[str, tzinfo] = {}
        readings: dict[str, list[tuple[int, int, Reading]]] = {}
        resources = (e["resource"] for bundle in generate(seed, patients, days, end=end) for e in bundle["entry"])
        for rid, resource in enumerate(resources):
            if resource["resourceType"] == "Patient":
                zones[resource["id"]] = zone_of(resource) or UTC
            elif resource["resourceType"] in ("Observation", "QuestionnaireResponse"):
                patient = resource["subject"]["reference"].removeprefix("Patient/")
                readings.setdefault(patient, []).append((rid, 1, read(resource)))
        for patient, own in readings.items():
            yield _case(patient, Recording.of(gather(own), zones[patient]), told.get(patient))


def _case(patient: str, recording: Recording, told: Mapping[str, str] | None) -> Case:
    book = pages(recording, touched(recording))
    days = recording.days_with_data()
    states = {state.day: digest(state) for state in booked_states(book, days)}
    kept = {day: (encode(page), states.get(day)) for day, page in book.items()}
    episode = (date.fromisoformat(told["onset"]), date.fromisoformat(told["end"])) if told else None
    return Case(patient, Chart(kept, answers_of(recording)), tuple(days), recording.zone, episode)


def evaluate(found: Iterable[Case], asked: Iterable[Rule] | None = None) -> tuple[dict[str, Told], Told]:
    """Return what each rule did, and all of them together."""
    made = list(asked or rules())
    by_rule, together = {named(rule): Told() for rule in made}, Told()
    for case in found:
        every: list[date] = []
        for rule in made:
            done = simulate(rule, case.chart, case.days, case.zone)
            fired = [each.at.today for each in done.fired]
            every += fired
            _add(by_rule[named(rule)], case, fired)
            by_rule[named(rule)].moments += done.asked
            by_rule[named(rule)].unknown += done.asked - done.known
        _add(together, case, every)
    together.moments = sum(told.moments for told in by_rule.values())
    together.unknown = sum(told.unknown for told in by_rule.values())
    return by_rule, together


def _add(told: Told, case: Case, fired: list[date]) -> None:
    told.weeks += len(case.days) / 7
    if case.episode is None:
        told.false += len(fired)
        return
    onset, end = case.episode
    lags = [(day - onset).days for day in fired if onset <= day <= end]
    told.lags += lags
    told.false += len(fired) - len(lags)
    told.first.append(min(lags, default=None))


def table(by_rule: Mapping[str, Told], together: Told, seeds: Iterable[int], patients: int, days: int) -> str:
    """Return the section of docs/rules.md that says it."""
    rows = [f"| {name} | {' | '.join(told.row())} |" for name, told in by_rule.items()]
    listed = ", ".join(map(str, seeds))
    return "\n".join(
        [
            BEGIN,
            f"Invented patients ({patients} for each of the seeds {listed}, {days} days of minutes), half in an episode whose",
            "onset is known. *Of an episode*: raised between its onset and its end. *Early*: before its full effect (third day).",
            "*Unknown*: moments (each noon, each answer) at which the rule could not be judged. Answers to item 9 of the demo are",
            "drawn at random, whether or not somebody is in an episode. This shows that the machinery works on what was put in;",
            "about patients it says nothing. The limits were chosen on seeds 7 and 8. By `./clarity rules evaluate --write`.",
            "",
            f"| rule | {' | '.join(HEADINGS)} |",
            "|" + "---|" * (len(HEADINGS) + 1),
            *rows,
            f"| **all together** | {' | '.join(together.row())} |",
            FINISH,
        ]
    )


def placed(page: str, section: str) -> str:
    """Return a page with the section in place of the one that it has, or at its end."""
    head, begin, rest = page.partition(BEGIN)
    return f"{head}{section}{rest.partition(FINISH)[2]}" if begin else f"{page.rstrip()}\n\n{section}\n"
