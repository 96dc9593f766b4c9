"""Models and alerts in the clinician's twin: what the resources that this test writes say, in words and with sources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import httpx
import pytest

from fhir_server.kit import json as kit_json
from tests.apps.conftest import Instance, allow, choose, open_twin, sign_in, today
from tests.apps.test_twin import PATIENT, grave
from workers.ml.answers.assessment import About, assessed, foretold, provenance
from workers.ml.forecast.served import Forecast
from workers.ml.registry.card import Card, read_card
from workers.ml.registry.resources import library_of, model_device, model_id, model_library
from workers.ml.registry.shelf import WEIGHTS
from workers.ml.tabular.answer import Abstained, Answer, Part
from workers.twin.codes import BASE

RISK = Answer(
    0.2342, 0.11, 0.387, 0.183, -1.2,
    (
        Part("sleep-duration-deviation-week", -2.5, 0.9), Part("steps-deviation", None, -0.3),
        Part("phq-9-trend", 12.0, 0.2), Part("something-new", 1.0, 0.1),
    ),
)  # fmt: skip


def card(name: str) -> Card:
    return read_card((WEIGHTS / name / "card.json").read_bytes())


def written() -> list[dict[str, Any]]:
    """Return what models say as the workers write it, from a day later than any that the demo has."""
    day = today()
    about = About(PATIENT, day, basis=(f"Patient/{PATIENT}",))
    risk, longer, steps = card("episode-risk-07"), card("episode-risk-14"), card("forecast-steps")
    silent = Abstained("too-few-inputs", "3 of 18 inputs are known; half are needed.")
    said = [
        (about, risk, assessed(about, risk, "An episode on any of the next 7 days (synthetic model)", 7, RISK)),
        (about, longer, assessed(about, longer, "An episode", 14, silent)),
        (about, steps, foretold(about, steps, "steps", forecast())),
    ]
    older = About(PATIENT, day - timedelta(days=1), basis=about.basis)
    said.append((older, risk, assessed(older, risk, "An episode", 7, Answer(0.9, 0.8, 0.95, 0.7, 0.0, ()))))
    made = [resource for _, _, resource in said]
    made += [provenance(f"RiskAssessment/{resource['id']}", of, by) for of, by, resource in said]
    for each in (risk, longer, steps):
        made += [model_device(each), model_library(each)]
    return [*made, *issues(day)]


def forecast() -> Forecast:
    return Forecast(
        median=8412.0, low=5100.0, high=11300.0, comparator=7900.0, comparator_name="moving mean of 7 days",
        method="LSTM", held=18, judged=20,
    )  # fmt: skip


def criterion(name: str, outcome: str, number: float, limit: str, known: str, **about: str) -> list[dict[str, Any]]:
    codes = {"name": name, "outcome": outcome, **about}
    return [
        *({"url": url, "valueCode": code} for url, code in codes.items()),
        {"url": "number", "valueDecimal": number},
        {"url": "limit", "valueString": limit},
        {"url": "known", "valueString": known},
    ]


def issue(id_: str, day: date, reason: str, severity: str, **more: Any) -> dict[str, Any]:
    said = [
        criterion("sleep-debt", "true", 212.5, "> 180", "6 of 7"),
        criterion("hours", "true", -95, "<= -1.5 h", "3 of 3", metric="sleep-duration", of="change", unit="min"),
        criterion("anxious", "false", 5, ">= 10 {score}", "1 of 1", metric="gad-7", of="value", unit="{score}"),
    ]
    evidence = [{"url": "evidence", "valueString": "x"}, *({"url": "criterion", "extension": each} for each in said)]
    return {
        "resourceType": "DetectedIssue", "id": id_, "status": "preliminary", "severity": severity,
        "extension": [{"url": f"{BASE}/StructureDefinition/alert-evidence", "extension": evidence}],
        "code": {"coding": [{"system": f"{BASE}/CodeSystem/alert-reason", "code": reason, "display": "Said by the server"}]},
        "patient": {"reference": f"Patient/{PATIENT}"}, "detail": f"Rule of {id_}",
        "identifiedPeriod": {"start": f"{day - timedelta(days=2)}T08:00:00+00:00"},
        "implicated": [{"reference": f"Patient/{PATIENT}"}],
    } | more  # fmt: skip


def _without(resource: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key != name}


def issues(day: date) -> list[dict[str, Any]]:
    over = {"start": f"{day}T08:00:00+00:00", "end": f"{day}T09:00:00+00:00"}
    return [
        issue("panel-sleep", day, "sleep-loss", "moderate"),
        issue("panel-harm", day, "self-harm", "high", status="final"),
        issue("panel-over", day, "inactivity", "high", identifiedPeriod=over),
        issue("panel-dismissed", day, "inactivity", "high", status="cancelled"),
        _without(issue("panel-other", day, "inactivity", "high"), "extension"),
    ]


@pytest.fixture(scope="module")
def told(instance: Instance) -> Iterator[None]:
    """What this test writes is in the record of the patient meanwhile."""
    bodies = written()
    shared = {("Device", model_id(card(name))) for name in ("episode-risk-07", "episode-risk-14", "forecast-steps")}
    shared |= {("Library", id_) for _, id_ in shared}
    with httpx.Client(base_url=f"{instance.origin}/fhir", headers=instance.headers, timeout=60) as client:
        for body in bodies:
            answer = client.put(f"/{body['resourceType']}/{body['id']}", content=kit_json.encode(body))
            assert answer.status_code in (200, 201), answer.text
        yield
        for body in reversed(bodies):
            if (body["resourceType"], body["id"]) not in shared:
                client.delete(f"/{body['resourceType']}/{body['id']}")


@pytest.mark.usefixtures("told")
def test_probability_interval_inputs_and_comparator_are_told(tabs, instance):
    tab = tabs()
    open_twin(tab.page, instance)
    panel = tab.page.locator("#models")
    risk = panel.locator("li[data-method=episode-risk-07]")
    assert risk.count() == 1  # the newest of its method
    assert risk.get_attribute("data-probability") == "23.4"
    text = risk.inner_text()
    for part in ("23 %", "within 7 days", "next 7 days (synthetic model)", "11 % to 39 %", "on the same inputs): 18 %"):
        assert part in text
    assert "Sleep, week against the own baseline raises it (-2.5)" in text
    assert "Steps, last day against the own baseline lowers it (not known)" in text
    assert "something-new" not in text  # folded
    risk.locator("summary").press("Enter")
    assert "something-new raises it" in risk.inner_text()
    steps = panel.locator("li[data-method=forecast-steps]").inner_text()
    for part in ("8,412", "5,100 to 11,300", "mean of the last 7 days): 7,900"):
        assert part in steps
    assert "not a diagnosis" in panel.inner_text()
    assert not tab.complaints


@pytest.mark.usefixtures("told")
def test_silence_is_told_with_its_reason(tabs, instance):
    page = tabs(locale="de-DE").page
    open_twin(page, instance)
    silent = page.locator("#models li[data-method=episode-risk-14]")
    assert silent.get_attribute("data-probability") == ""
    text = silent.inner_text()
    assert "Zu wenig ist bekannt: 3 of 18 inputs are known" in text
    assert "keine Entwarnung" in text
    assert "keine Diagnose" in page.inner_text("#models")


@pytest.mark.usefixtures("told")
def test_the_model_and_its_card_open_from_the_keyboard(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    risk = page.locator("#models li[data-method=episode-risk-07]")
    risk.get_by_role("button", name="Model card of").press("Enter")
    page.wait_for_selector("dialog .facts")
    assert card("episode-risk-07").attribute("intended-use")[:60] in page.inner_text("dialog")
    page.keyboard.press("Escape")
    risk.get_by_role("button", name="rests on").press("Enter")
    items = page.locator("dialog .sources button")
    names = items.all_inner_texts()
    assert "Device/model-episode-risk-07-1.0" in risk.inner_text()
    assert f"Model card: {library_of(card('episode-risk-07'))}" in names
    items.filter(has_text="Answer").click()
    page.wait_for_selector("dialog .facts")
    assert "not a diagnosis" in page.inner_text("dialog")


@pytest.mark.usefixtures("told")
def test_open_alerts_are_listed_the_gravest_first(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    own = page.locator("#models .alert[data-alert*=panel-]")
    found = [each.get_attribute("data-alert") for each in own.all()]
    assert found == ["DetectedIssue/panel-harm", "DetectedIssue/panel-sleep"]
    assert "somebody has looked at it" in own.nth(0).inner_text()
    text = own.nth(1).inner_text()
    for part in (
        "Sleep loss",
        "moderate",
        "Rule of panel-sleep",
        "2 days ago",
        "nobody has looked at it",
        "sleep-debt: 212.5, limit > 180, 6 of 7",
        "Sleep, change: \u22121 h 35 min, limit \u2264 \u22121.5 hours\n",  # what is known of all days goes without saying
        "1 more of the rule",
    ):
        assert part in text
    own.nth(1).locator("summary").click()
    assert "GAD-7: 5 points, limit \u2265 10 points" in own.nth(1).inner_text()
    own.nth(1).get_by_role("button", name="Evidence").press("Enter")
    page.locator("dialog .sources button", has_text="DetectedIssue/panel-sleep").click()
    page.wait_for_selector("dialog .facts")
    assert "Rule of panel-sleep" in page.inner_text("dialog")


@pytest.mark.usefixtures("told")
def test_axe_finds_nothing_serious(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    page.locator("#models li[data-method=episode-risk-07] summary").press("Enter")
    assert not grave(page)


@pytest.mark.usefixtures("told")
def test_what_was_not_allowed_is_named(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    page.uncheck("input[name=scope][value='patient/DetectedIssue.rs']")
    page.uncheck("input[name=scope][value='user/Library.rs']")
    allow(page)
    page.wait_for_selector("#app[data-ready]")
    assert "DetectedIssue" in page.inner_text("#models-withheld")
    assert "Library" in page.inner_text("#models-withheld")
    panel = page.locator("#models")
    assert "No alert is open" not in panel.inner_text()
    assert panel.get_by_role("button", name="Model card of").count() == 0
    assert panel.locator("li[data-method=episode-risk-07]").count() == 1


@pytest.mark.usefixtures("told")
def test_it_still_prints_on_one_page(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") == 1
