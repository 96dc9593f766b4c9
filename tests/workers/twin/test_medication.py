"""Exposure to medication: what counts, from when to when, and what nobody says."""

from __future__ import annotations

from datetime import date

import pytest

from workers.twin.medication import exposure, exposures

SERTRALINE = {
    "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "36437"}],
    "text": "sertraline",
}


def statement(status="active", **rest):
    made = {"resourceType": "MedicationStatement", "id": "s", "status": status, "medicationCodeableConcept": SERTRALINE}
    return made | ({"effectivePeriod": {"start": "2026-01-05"}} | rest)


def order(**rest):
    made = {"resourceType": "MedicationRequest", "id": "r", "status": "active", "intent": "order"}
    return made | {"medicationCodeableConcept": SERTRALINE, "authoredOn": "2026-01-05T10:00:00Z"} | rest


def test_a_statement_goes_on_until_it_ends():
    span = exposure(statement())
    assert (span.basis, span.source, span.ongoing) == ("stated", "MedicationStatement/s", True)
    assert [span.holds(day) for day in (date(2026, 1, 4), date(2026, 1, 5), date(2030, 1, 1))] == [False, True, True]
    ended = exposure(statement("completed", effectivePeriod={"start": "2026-01-05", "end": "2026-02"}))
    assert ended.end == date(2026, 2, 28)
    assert [ended.holds(day) for day in (date(2026, 2, 28), date(2026, 3, 1))] == [True, False]


def test_an_end_that_nobody_says_is_not_made_up():
    stopped = exposure(statement("stopped"))
    assert (stopped.end, stopped.ongoing) == (None, False)
    assert stopped.holds(date(2026, 6, 1)) is None


@pytest.mark.parametrize("status", ["not-taken", "entered-in-error", "intended", "unknown"])
def test_what_was_not_taken_is_no_exposure(status):
    assert exposure(statement(status)) is None


def test_orders():
    assert exposure(order(intent="proposal")) is None
    assert exposure(order(doNotPerform=True)) is None
    assert exposure(order()).end is None
    supply = {"expectedSupplyDuration": {"value": 30, "code": "d"}, "numberOfRepeatsAllowed": 2}
    assert exposure(order(dispenseRequest=supply)).end == date(2026, 4, 4)
    bounds = [{"timing": {"repeat": {"boundsPeriod": {"start": "2026-02-01", "end": "2026-02-10"}}}}]
    span = exposure(order(dosageInstruction=bounds, dispenseRequest=supply))
    assert (span.start, span.end, span.basis) == (date(2026, 2, 1), date(2026, 2, 10), "ordered")


def test_administrations_and_other_ways_to_name_the_drug():
    given = {
        "resourceType": "MedicationAdministration",
        "id": "a",
        "status": "completed",
        "medicationReference": {"reference": "#m"},
        "contained": [{"resourceType": "Medication", "id": "m", "code": SERTRALINE}],
        "effectiveDateTime": "2026-01-07T08:00:00+01:00",
    }
    span = exposure(given)
    assert (span.start, span.end, span.medication) == (date(2026, 1, 7), date(2026, 1, 7), SERTRALINE)
    del given["contained"]
    given["medicationReference"] = {"reference": "Medication/x", "display": "Lithium"}
    assert exposure(given).medication == {"text": "Lithium"}
    assert exposure(given | {"status": "not-done"}) is None


def test_in_the_order_of_time_without_what_has_no_time():
    timeless = order(id="t")
    del timeless["authoredOn"]
    found = exposures([statement(id="b"), order(id="a", authoredOn="2025"), timeless, {"resourceType": "Observation"}])
    assert [span.source for span in found] == ["MedicationRequest/a", "MedicationStatement/b"]
    assert found[0].start == date(2025, 1, 1)
