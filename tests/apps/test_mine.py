"""A patient's own view in a real browser: plain words that agree with the record, devices, consents, and no assessments."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from datetime import timedelta

import httpx
import pytest
from playwright.sync_api import Page

from tests.apps.conftest import Instance, allow, sign_in, today
from tests.apps.test_twin import grave, problem, states

PATIENT = "demo-001"
NEVER = ("PHQ", "GAD", "risk", "Risk", "diagnosed", "z ", "deviation")
"""What the page of the person never says."""


def open_mine(page: Page, instance: Instance, *, without: str = "") -> None:
    page.goto("/apps/mine/")
    page.click("#again")
    sign_in(page, instance, "patient-demo")
    page.wait_for_selector("button[name=decision]")
    if without:
        page.uncheck(f"input[name=scope][value='{without}']")
    allow(page)
    page.wait_for_selector("#app[data-ready]")


@pytest.fixture
def consent(instance: Instance) -> Iterator[str]:
    """A consent of the person: the clinic may use the record for treatment."""
    body = {
        "resourceType": "Consent", "id": "mine-consent", "status": "active", "dateTime": "2026-02-03",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy"}]},
        "category": [{"coding": [{"system": "http://loinc.org", "code": "59284-0", "display": "Patient Consent"}]}],
        "patient": {"reference": f"Patient/{PATIENT}"},
        "policyRule": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "OPTIN"}]},
        "provision": {
            "type": "permit", "period": {"start": "2026-02-03", "end": "2040-02-03"},
            "provision": [{
                "type": "deny", "class": [{"system": "http://hl7.org/fhir/resource-types", "code": "QuestionnaireResponse"}],
                "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "HRESCH"}],
                "provision": [{"type": "permit", "period": {"start": "2030-01-01"}, "code": [{"text": "sleep diary"}]}],
            }],
        },
    }  # fmt: skip
    with httpx.Client(base_url=f"{instance.origin}/fhir", headers=instance.headers, timeout=60) as client:
        answer = client.put("/Consent/mine-consent", json=body)
        assert answer.status_code in (200, 201), answer.text
        yield "mine-consent"
        client.delete("/Consent/mine-consent")


def test_the_words_agree_with_the_record(tabs, instance):
    tab = tabs()
    page = tab.page
    open_mine(page, instance)
    known, now_ = states(instance, PATIENT), today()
    now = [known.get(now_ - timedelta(days=back), {}) for back in range(1, 8)]
    before = [known.get(now_ - timedelta(days=back), {}) for back in range(8, 36)]
    cards = page.locator("section[data-feature]")
    assert cards.count() >= 2
    for number in range(cards.count()):
        card = cards.nth(number)
        code, weight, text = card.get_attribute("data-feature"), card.get_attribute("data-weight"), card.inner_text()
        late, early = ([day[code] for day in days if code in day] for days in (now, before))
        if code == "sleep-midpoint":
            late, early = ([hour - 24 if hour >= 12 else hour for hour in hours] for hours in (late, early))
        assert f"{len(late)} of 7 days were measured" in text
        if min(len(late), len(early)) < 3:
            assert weight == "few"
            continue
        shift = statistics.median(one - other for one, other in itertools.product(late, early))
        up, down = ("later", "earlier") if code == "sleep-midpoint" else ("more", "less")
        start = {"strong": f"Clearly {up if shift > 0 else down}", "some": f"A little {up if shift > 0 else down}"}
        assert start.get(weight, "About as usual for you") in text
        if code == "steps":
            assert f"{statistics.median(late):,.0f}" in text
    assert not tab.complaints


def test_it_neither_names_nor_asks_for_assessments(tabs, instance):
    page = tabs().page
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_mine(page, instance)
    text = page.inner_text("main")
    assert not [word for word in NEVER if word in text]
    assert "no diagnosis" in text
    assert not [url for url in asked if "RiskAssessment" in url or "Questionnaire" in url]


def test_days_are_told_as_a_table_and_open_what_they_rest_on(tabs, instance):
    page = tabs().page
    open_mine(page, instance)
    card = page.locator("section[data-feature]").first
    card.locator("summary").click()
    assert card.locator("tbody tr").count() == 7
    card.get_by_role("button", name="What this rests on").click()
    page.locator("dialog .sources button").first.click()
    page.wait_for_selector("dialog .facts")


def test_devices_and_consents_are_told_in_words(tabs, instance, consent):
    page = tabs().page
    open_mine(page, instance)
    devices = page.inner_text("#devices")
    for device in instance.find(f"Device?patient={PATIENT}"):
        assert device["deviceName"][0]["name"] in devices
    assert "last measurement" in devices
    consents = page.inner_text("#consents")
    assert "You allow" in consents
    assert "until 3 Feb 2040" in consents
    denied = page.locator("#consents .exceptions > li[data-kind=deny]").first
    assert "But you do not allow: answers to questionnaires (for research)" in denied.inner_text()
    assert "But you allow: sleep diary (from 1 Jan 2030)" in denied.locator("li[data-kind=permit]").inner_text()
    page.locator("#consents button").first.click()
    page.wait_for_selector("dialog .facts")
    assert f"Consent/{consent}" in page.inner_text("dialog") or "mine-consent" in page.text_content("dialog")


def test_without_consents_it_says_what_holds_then(tabs, instance):
    page = tabs().page
    open_mine(page, instance)
    assert "No consent is in your record" in page.inner_text("#consents")


def test_what_was_deselected_is_named(tabs, instance):
    page = tabs().page
    open_mine(page, instance, without="user/Device.rs")
    assert "You did not allow" in page.inner_text("#devices")


def test_refusing_is_explained(tabs, instance):
    page = tabs().page
    page.goto("/apps/mine/")
    page.click("#again")
    sign_in(page, instance, "patient-demo")
    page.click("button[name=decision][value=refuse]")
    assert problem(page) == "denied"


def test_axe_finds_nothing_serious(tabs, instance, consent):
    page = tabs().page
    page.goto("/apps/mine/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_mine(page, instance)
    page.locator("section[data-feature] summary").first.click()
    assert not grave(page)


def test_german_readers_read_german(tabs, instance):
    page = tabs(locale="de-DE").page
    open_mine(page, instance)
    assert "Ihre letzten 7 Tage" in page.inner_text("h1")
    assert "keine Diagnose" in page.inner_text("main")
