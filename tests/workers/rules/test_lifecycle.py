"""The life of an alert: raised once, not while open, not on the same evidence, not within the cooldown; ended by what is known."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from workers.rules.criterion import Criterion
from workers.rules.expression import compiled
from workers.rules.lifecycle import Standing, Step, decide, due, quiet_until
from workers.rules.metrics import METRICS
from workers.rules.rule import Policy, Priority, Rule, Verdict

NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ROLES = (("s", "one", "One"), ("s", "two", "Two"), ("s", "three", "Three"))


def rule(priority: Priority = "urgent", **policy: object) -> Rule:
    one = Criterion("a", METRICS["steps"], "value", "{steps}", 1, "<", 1)
    made = Policy(**policy)  # type: ignore[arg-type]
    return Rule("r", "u", "1", "t", ("s", "c", "d"), priority, (one,), compiled("%a", {"a": None}), None, made, ROLES)


def fires(when: str, stops: bool | None = False) -> Verdict:
    return Verdict(True, stops, {}, when)


def standing(when: str, raised: datetime, **more: bool) -> Standing:
    return Standing(f"alert-{when}", when, raised, **more)


def test_it_is_raised_once() -> None:
    assert decide(rule(), fires("2026-05-20"), [], NOW) == [Step("raise")]
    open_ = standing("2026-05-20", NOW)
    assert decide(rule(), fires("2026-05-20"), [open_], NOW) == []
    assert decide(rule(), fires("2026-05-21"), [open_], NOW + DAY) == []


def test_what_is_unknown_neither_raises_nor_ends() -> None:
    unknown = Verdict(None, None, {}, "2026-05-21")
    assert decide(rule(), unknown, [], NOW) == []
    assert decide(rule(), unknown, [standing("2026-05-20", NOW)], NOW + DAY) == []
    over = Verdict(False, True, {}, "2026-05-21")
    assert decide(rule(), over, [standing("2026-05-20", NOW)], NOW + DAY) == [Step("close", "alert-2026-05-20")]


def test_the_cooldown_and_the_evidence() -> None:
    ended = standing("2026-05-20", NOW, ended=True)
    assert decide(rule(), fires("2026-05-20"), [ended], NOW + 30 * DAY) == [], "the same evidence never raises twice"
    held = [Step("suppress", "alert-2026-05-20", "cooldown")]
    assert decide(rule(cooldown=7 * DAY), fires("2026-05-22"), [ended], NOW + 2 * DAY) == held
    assert decide(rule(cooldown=7 * DAY), fires("2026-05-27"), [ended], NOW + 7 * DAY) == [Step("raise")]


def test_after_an_acknowledgement_new_evidence_is_a_new_alert_where_the_rule_says_so() -> None:
    seen = standing("2026-05-20", NOW, acknowledged=True)
    again = [Step("close", "alert-2026-05-20"), Step("raise")]
    assert decide(rule(renew=True), fires("2026-05-21"), [seen], NOW + DAY) == again
    assert decide(rule(renew=True), fires("2026-05-20"), [seen], NOW + DAY) == []
    assert decide(rule(), fires("2026-05-21"), [seen], NOW + DAY) == []


def test_a_rule_that_is_off_says_that_it_is() -> None:
    assert decide(rule(), fires("2026-05-21"), [], NOW, "o1") == [Step("suppress", "o1", "override")]


def test_quiet_hours_hold_back_what_can_wait() -> None:
    night = (time(22), time(7))
    for hour, wanted in ((21, 21), (7, 7), (12, 12)):
        at = NOW.replace(hour=hour)
        assert quiet_until(rule(quiet=night), at) == NOW.replace(hour=wanted)
    assert quiet_until(rule(quiet=night), NOW.replace(hour=23)) == NOW.replace(hour=7) + DAY
    assert quiet_until(rule(quiet=night), NOW.replace(hour=3)) == NOW.replace(hour=7)
    assert quiet_until(rule("stat", quiet=night), NOW.replace(hour=3)) == NOW.replace(hour=3)
    assert quiet_until(rule(quiet=(time(12), time(14))), NOW) == NOW.replace(hour=14)


def test_each_role_in_its_time() -> None:
    assert due(rule(), NOW) == [NOW]
    hour = timedelta(hours=1)
    assert due(rule("stat", escalate=hour), NOW) == [NOW, NOW + hour, NOW + 2 * hour]


@given(
    st.lists(st.tuples(st.sampled_from([True, False, None]), st.sampled_from([True, False, None])), max_size=30),
    st.integers(0, 5),
)
def test_no_two_alerts_are_open_and_none_is_raised_twice(
    said: list[tuple[bool | None, bool | None]], cooldown: int
) -> None:
    made = rule(cooldown=cooldown * DAY)
    alerts: dict[str, Standing] = {}
    for day, (holds, stops) in enumerate(said):
        now = NOW + day * DAY
        verdict = Verdict(holds, False if holds else stops, {}, now.date().isoformat())
        for step in decide(made, verdict, alerts.values(), now):
            if step.action == "raise":
                assert verdict.fires is True
                assert verdict.when not in alerts
                alerts[verdict.when] = Standing(verdict.when, verdict.when, now)
            elif step.action == "close":
                alerts[step.alert] = Standing(step.alert, step.alert, alerts[step.alert].raised, ended=True)
        assert sum(not each.ended for each in alerts.values()) <= 1
        assert [s.action for s in decide(made, verdict, alerts.values(), now)] in ([], ["suppress"]), (
            "again is nothing new"
        )
