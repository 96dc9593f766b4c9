"""Everything of one patient: written once, in whatever order the evidence came; nothing in a message but its reason."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.psych.rules import shipped
from tests.workers.rules.made import chart
from workers.rules import plan
from workers.rules.chart import Answer, Chart, Deviating
from workers.rules.resources import Scene
from workers.rules.response import Record, respond
from workers.rules.rule import Rule

Json = dict[str, Any]
RULES: list[Rule] = [rule for each in shipped() if (rule := plan.read(each)[0]) is not None]
SELF_HARM = next(rule for rule in RULES if rule.id == "alert-self-harm")
INACTIVE = next(rule for rule in RULES if rule.id == "alert-inactivity")
SNOMED = "http://snomed.info/sct"
TEAM = {(SNOMED, "80584001"): ["Practitioner/p"], (SNOMED, "224587008"): ["Practitioner/n"]}
START = datetime(2026, 5, 1, 10, tzinfo=UTC)


class Kept:
    """What stands in the record after each response, as the job would have written it."""

    def __init__(self) -> None:
        self.resources: dict[tuple[str, str], Json] = {}

    def record(self) -> Record:
        issues = {id_: r for (type_, id_), r in self.resources.items() if type_ == "DetectedIssue"}
        tasks = {id_: r for (type_, id_), r in self.resources.items() if type_ == "Task"}
        return Record(issues, tasks, (), TEAM)

    def step(self, rules: list[Rule], made: Chart, now: datetime) -> int:
        """Respond, keep what is new, and return how many resources changed."""
        scene = Scene("x", now.astimezone(ZoneInfo("America/New_York")))
        done, count = respond(rules, made, self.record(), scene, UTC, {1: "QuestionnaireResponse/a"}), 0
        for _, _, resource in (
            *done.changed,
            *(w for w in done.wanted if ("Communication", w[2]["id"]) not in self.resources),
        ):
            name = resource["resourceType"], resource["id"]
            count += self.resources.get(name) != resource
            self.resources[name] = resource
        return count

    def of(self, type_: str) -> list[Json]:
        return [r for (kind, _), r in self.resources.items() if kind == type_]


def answers(*said: tuple[int, int]) -> Chart:
    """Return answers to item 9: hours after the start, and number."""
    found = [(START + timedelta(hours=hours), number) for hours, number in said]
    return chart(
        answers={"phq-9-item-9": [Answer(at.date(), int(at.timestamp() * 1000), n, 1) for at, n in sorted(found)]}
    )


def test_a_zero_afterwards_ends_the_alert_and_is_no_new_one() -> None:
    kept = Kept()
    kept.step([SELF_HARM], answers((0, 2)), START)
    [issue] = kept.of("DetectedIssue")
    kept.resources["Task", issue["id"]]["status"] = "completed"
    assert kept.step([SELF_HARM], answers((0, 2), (24, 0)), START + timedelta(hours=25)) == 1
    [issue] = kept.of("DetectedIssue")
    assert issue["identifiedPeriod"]["end"]
    for hours in (26, 50, 100):
        assert kept.step([SELF_HARM], answers((0, 2), (24, 0)), START + timedelta(hours=hours)) == 0


def test_what_came_while_an_alert_was_open_is_covered_by_it() -> None:
    kept, made = Kept(), answers((0, 2), (24, 1), (48, 0))
    kept.step([SELF_HARM], answers((0, 2)), START)
    kept.step([SELF_HARM], made, START + timedelta(hours=49))
    assert kept.step([SELF_HARM], made, START + timedelta(hours=50)) == 0
    assert len(kept.of("DetectedIssue")) == 1


def test_messages_say_the_reason_and_nothing_else() -> None:
    kept = Kept()
    kept.step([SELF_HARM], answers((0, 2)), START)
    [message] = kept.of("Communication")
    assert message["payload"] == [{"contentString": SELF_HARM.reason[2]}]
    assert message["category"][0]["coding"][0]["code"] == "alert"


NURSE = (SNOMED, "224587008")


def test_a_role_that_nobody_has_is_passed_over_at_once() -> None:
    """Who answers item 9 must not wait an hour for a nurse because the team has no psychiatrist."""
    scene = Scene("x", START.astimezone(ZoneInfo("America/New_York")))
    assert [code for _, code, _ in SELF_HARM.roles].index(NURSE[1]) > 0
    done = respond([SELF_HARM], answers((0, 2)), Record(team={NURSE: ["Practitioner/n"]}), scene, UTC, {})
    [message] = [resource for _, _, resource in done.wanted]
    assert message["recipient"] == [{"reference": "Practitioner/n"}]
    [_, task] = [resource for _, _, resource in done.changed]
    assert task["owner"] == {"reference": "Practitioner/n"}
    assert {c["coding"][0]["code"] for c in task["performerType"]} == {"80584001", NURSE[1]}
    assert not done.untold
    later = Scene("x", scene.now + timedelta(minutes=5))
    kept = {resource["id"]: resource for _, _, resource in done.changed[:1]}
    record = Record(kept, {task["id"]: task}, team=TEAM)
    again = respond([SELF_HARM], answers((0, 2)), record, later, UTC, {})
    told = {resource["id"] for _, _, resource in again.wanted} - {message["id"]}
    assert len(told) == 1, "who joins the team is told too, and nobody twice"
    assert not again.changed


def test_whoever_cannot_be_told_is_not_waited_for() -> None:
    kept, made = Kept(), answers((0, 2))
    kept.step([SELF_HARM], made, START)
    [first] = kept.of("Communication")
    soon = START + timedelta(minutes=1)
    scene = Scene("x", soon.astimezone(ZoneInfo("America/New_York")))
    waiting = respond([SELF_HARM], made, kept.record(), scene, UTC, {})
    assert {resource["id"] for _, _, resource in waiting.wanted} == {first["id"]}
    failed = replace(kept.record(), failed=[first["id"]])
    done = respond([SELF_HARM], made, failed, scene, UTC, {})
    assert [r["recipient"][0]["reference"] for _, _, r in done.wanted] == ["Practitioner/p", "Practitioner/n"]
    [(_, _, task)] = done.changed
    assert task["owner"] == {"reference": "Practitioner/n"}
    both = replace(failed, failed=[resource["id"] for _, _, resource in done.wanted])
    assert len(respond([SELF_HARM], made, both, scene, UTC, {}).wanted) == 2, "an end is an end"


def test_nobody_at_all_is_said() -> None:
    scene = Scene("x", START.astimezone(ZoneInfo("America/New_York")))
    done = respond([SELF_HARM], answers((0, 2)), Record(), scene, UTC, {})
    assert [resource["resourceType"] for _, _, resource in done.changed] == ["DetectedIssue", "Task"]
    assert (done.wanted, len(done.untold)) == ([], 1)
    own = respond([SELF_HARM], answers((0, 2)), Record(practitioners=("Practitioner/g",)), scene, UTC, {})
    assert [resource["recipient"][0]["reference"] for _, _, resource in own.wanted] == ["Practitioner/g"]


def test_quiet_hours_put_off_the_message_and_nothing_else() -> None:
    days = [date(2026, 5, 1) + timedelta(days=i) for i in range(6)]
    low = {day: {"activity-mean": Deviating(-4, -5, -3)} for day in days}
    made, night = chart({day: {"activity-mean": 1.0} for day in days}, low), datetime(2026, 5, 6, 3, tzinfo=UTC)
    kept = Kept()
    scene = Scene("x", night.astimezone(ZoneInfo("America/New_York")))
    done = respond([INACTIVE], made, Record({}, {}, (), TEAM), scene, UTC, {})
    assert [r["resourceType"] for _, _, r in done.changed] == ["DetectedIssue", "Task"]
    assert not done.wanted
    assert done.again == datetime(2026, 5, 6, 11, tzinfo=UTC), "seven in New York"
    kept.step([INACTIVE], made, night)
    kept.step([INACTIVE], made, datetime(2026, 5, 6, 11, tzinfo=UTC))
    assert len(kept.of("Communication")) == 1


said = st.lists(
    st.tuples(st.integers(0, 24 * 30), st.integers(0, 2)), min_size=1, max_size=8, unique_by=lambda each: each[0]
)


@settings(max_examples=100, deadline=None)
@given(said, st.lists(st.integers(0, 24 * 30), min_size=1, max_size=8), st.booleans())
def test_again_is_nothing_new_and_one_alert_is_open(said: Any, hours: list[int], acknowledged: bool) -> None:
    kept, made = Kept(), answers(*said)
    for hour in sorted(hours):
        now = START + timedelta(hours=hour)
        kept.step([SELF_HARM, INACTIVE], made, now)
        assert kept.step([SELF_HARM, INACTIVE], made, now) == 0
        open_ = [issue for issue in kept.of("DetectedIssue") if "end" not in issue["identifiedPeriod"]]
        assert len(open_) <= 1
        if acknowledged:
            for issue in open_:
                kept.resources["Task", issue["id"]] = kept.resources["Task", issue["id"]] | {"status": "accepted"}
    positive = [START + timedelta(hours=hour) for hour, number in said if number]
    seen = START + timedelta(hours=max(hours))
    recent = [at for at in positive if at <= seen and (seen.date() - at.date()).days < 14]
    if recent:
        assert kept.of("DetectedIssue"), "no answer about self-harm is passed over"


@settings(max_examples=50, deadline=None)
@given(said, st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(said: Any, rng: random.Random) -> None:
    shuffled = list(said)
    rng.shuffle(shuffled)
    one, other, now = Kept(), Kept(), START + timedelta(days=31)
    one.step(RULES, answers(*said), now)
    other.step(RULES, answers(*shuffled), now)
    assert one.resources == other.resources
