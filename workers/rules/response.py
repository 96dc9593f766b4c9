"""What is to be written about one patient's alerts at one moment: pure, from rules, evidence and what stands in the record.

Everything has a deterministic id, and what is there already is not made again: the same response twice is one response.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo

from workers.rules import resources
from workers.rules.chart import Chart, Moment
from workers.rules.criterion import instant
from workers.rules.ids import message_id, suppressed_id
from workers.rules.lifecycle import Standing, decide, due
from workers.rules.override import Override, for_rule
from workers.rules.plan import Json
from workers.rules.resources import Scene
from workers.rules.rule import Coding, Rule, Verdict, judge
from workers.twin.ids import state_id

DAILY_HOUR = 12
"""Local hour at which somebody's rules are asked although nothing has come: by then the night is told."""
WATCHED = timedelta(days=31)
"""So long after the last data the clock goes on asking."""


@dataclass(frozen=True, slots=True)
class Record:
    """What stands in the record: DetectedIssues and Tasks by id, overrides, who has which role in the care team."""

    issues: Mapping[str, Json] = field(default_factory=dict)
    tasks: Mapping[str, Json] = field(default_factory=dict)
    overrides: Sequence[Override] = ()
    team: Mapping[tuple[str, str], Sequence[str]] = field(default_factory=dict)
    """By (system, code) of a role the references of its members."""
    practitioners: Sequence[str] = ()
    """Who is responsible where the team has nobody in the first role."""
    failed: Collection[str] = ()
    """Ids of Communications of which it is known that nobody has them (`not-done`)."""

    def of(self, coding: Coding, *, first: bool) -> list[str]:
        """Return who has a role."""
        found = sorted(self.team.get((coding[0], coding[1]), ()))
        return found or (sorted(self.practitioners) if first else [])


@dataclass(slots=True)
class Response:
    """Resources to be written, each with the alert and the rule that it belongs to, and when to look again."""

    changed: list[tuple[Rule, str, Json]] = field(default_factory=list)
    """DetectedIssues and Tasks, new or different."""
    wanted: list[tuple[Rule, str, Json]] = field(default_factory=list)
    """Communications: to be made where they are not there yet."""
    sources: dict[str, list[str]] = field(default_factory=dict)
    """By alert the resources that it rests on."""
    again: datetime | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    untold: list[str] = field(default_factory=list)
    """Alerts that nobody is responsible for."""


def respond(
    rules: Iterable[Rule], chart: Chart, record: Record, scene: Scene, zone: tzinfo, names: Mapping[int, str]
) -> Response:
    """Return what is to be done; `zone` is the patient's, `scene.now` carries the clinic's; `names` are Type/id of rids."""
    moment, out = Moment(scene.now.astimezone(zone)), Response()
    for rule in rules:
        own, off = for_rule(rule, record.overrides, moment.today)
        verdict = judge(own, chart, moment)
        out.verdicts[rule.url] = verdict
        alerts = _alerts(rule, record, scene)
        for step in decide(own, verdict, alerts.values(), scene.now, off):
            sources = _sources(own, verdict, chart, moment, scene.patient, names)
            if step.action == "close":
                out.changed.append((rule, step.alert, resources.ended(scene, record.issues[step.alert], step.covers)))
            elif step.action == "suppress":
                id_ = suppressed_id(rule.url, scene.patient, step.alert)
                if id_ not in record.issues:
                    out.changed.append((rule, id_, resources.held(scene, own, verdict, sources, step)))
                    out.sources[id_] = sources
            else:
                _raise(own, verdict, record, scene, sources, out, alerts, over=step.over)
        for alert in alerts.values():
            if not alert.acknowledged:
                _tell(rule, alert, record, scene, out)
    _look_again(out, chart, record, moment, scene.now)
    return out


def _alerts(rule: Rule, record: Record, scene: Scene) -> dict[str, Standing]:
    found: dict[str, Standing] = {}
    for id_, issue in record.issues.items():
        if issue.get("reference", "").partition("|")[0] == rule.url:
            alert = resources.standing(issue, record.tasks.get(id_), scene.base)
            found |= {id_: alert} if alert else {}
    return found


def _raise(
    rule: Rule, verdict: Verdict, record: Record, scene: Scene, sources: list[str], out: Response,
    alerts: dict[str, Standing], *, over: bool,
) -> None:  # fmt: skip
    issue = resources.raised(scene, rule, verdict, sources)
    issue = resources.ended(scene, issue) if over else issue
    id_ = issue["id"]
    [(step, people), *_] = _steps(rule, record)
    owner = people[0] if people and rule.roles else ""
    task = resources.task(scene, rule, id_, owner)
    task = resources.passed_on(task, rule.roles[step], owner) if step else task
    out.changed += [(rule, id_, issue), (rule, id_, task)]
    out.sources[id_] = sources
    alerts[id_] = Standing(id_, verdict.when, scene.now, ended=over)


def _tell(rule: Rule, alert: Standing, record: Record, scene: Scene, out: Response) -> None:
    """Want a message to each role whose time has come; the Task goes to the next role with it."""
    times = due(rule, alert.raised.astimezone(scene.now.tzinfo))
    waits = 0
    for step, people in _steps(rule, record):
        if waits == len(times):
            break
        if (when := times[waits]) > scene.now:
            out.again = when if out.again is None else min(out.again, when)
            break
        if not people:
            out.untold.append(alert.id)
        out.wanted += [(rule, alert.id, resources.message(scene, rule, alert.id, step, who)) for who in people]
        given = record.tasks.get(alert.id)
        if step and given is not None:
            task = resources.passed_on(given, rule.roles[step], people[0])
            if task != given:
                out.changed.append((rule, alert.id, task))
        # Whoever cannot be told is not waited for: the next role is told at once.
        waits += not people or not all(message_id(alert.id, step, who) in record.failed for who in people)


def _steps(rule: Rule, record: Record) -> list[tuple[int, list[str]]]:
    """Return who is to be told, one role after the other, by the place of the role in the rule: one that nobody has is passed over.

    Nobody at all is one step without people.
    """
    roles = [(step, record.of(role, first=step == 0)) for step, role in enumerate(rule.roles)]
    return [each for each in roles if each[1]] or [(0, sorted(record.practitioners))]


def _sources(
    rule: Rule, verdict: Verdict, chart: Chart, moment: Moment, patient: str, names: Mapping[int, str]
) -> list[str]:
    """Return what the true criteria rest on: the states of their days, the resources of their answers."""
    found: set[str] = set()
    for each in rule.criteria:
        told = verdict.findings[each.name]
        if not told.when or told.holds is False:
            continue
        if each.metric.kind == "answer":
            answers = chart.answered(each.metric.code, moment)
            found.update(names[a.rid] for a in answers if instant(a.at) == told.when and a.rid in names)
        else:
            day = moment.today.fromisoformat(told.when)
            if (kept := chart.kept.get(day)) and kept[1]:
                found.add(f"Observation/{state_id(patient, day)}")
    return sorted(found)


def _look_again(out: Response, chart: Chart, record: Record, moment: Moment, now: datetime) -> None:
    """Ask for the next noon of somebody who has data, or an alert that has not ended."""
    days = [moment.today - timedelta(days=back) for back in range(WATCHED.days)]
    open_ = any("end" not in issue.get("identifiedPeriod", {}) for issue in record.issues.values())
    if not (open_ or out.changed or any(day in chart.kept for day in days)):
        return
    local = moment.now
    noon = local.replace(hour=DAILY_HOUR, minute=0, second=0, microsecond=0)
    following = (noon if local < noon else noon + timedelta(days=1)).astimezone(now.tzinfo)
    out.again = following if out.again is None else min(out.again, following)
