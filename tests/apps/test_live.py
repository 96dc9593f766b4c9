"""Alerts that arrive in the EHR simulator while it is open: the whole way from an answer to the page, gaps, refusals."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, WebSocketRoute

from fhir_server.auth import care
from fhir_server.kit import clock
from tests.apps.conftest import Instance, allow, sign_in, taken
from tests.apps.test_ehr import open_ehr, steps
from tests.apps.test_twin import grave
from tests.workers.rules.made import filled

DOCTOR = "Practitioner/demo-practitioner-1"
PATIENCE = 120_000
REASON = "https://fhir.clarity.example/CodeSystem/alert-reason"


@pytest.fixture(scope="module")
def client(instance: Instance) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{instance.origin}/fhir", headers=instance.headers, timeout=60) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def made(client: httpx.Client, instance: Instance) -> Iterator[tuple[str, float]]:
    """Somebody whom the doctor cares for, of whom nothing is known, and since when; gone afterwards with everything about them."""
    id_ = f"live-{secrets.token_hex(4)}"
    name = {"family": "Sommer", "given": ["Ida"]}
    put(client, {"resourceType": "Patient", "id": id_, "name": [name], "generalPractitioner": [{"reference": DOCTOR}]})
    yield id_, clock.monotonic()
    for type_ in ("DetectedIssue", "Task", "Communication", "QuestionnaireResponse"):
        for each in instance.find(f"{type_}?patient={id_}&_count=100"):
            client.delete(f"/{type_}/{each['id']}")
    client.delete(f"/Patient/{id_}")


@pytest.fixture
def patient(made: tuple[str, float]) -> str:
    """The same, once every process has noticed that the doctor cares for them."""
    id_, since = made
    time.sleep(max(0.0, since + care.SECONDS + 1 - clock.monotonic()))
    return id_


def put(client: httpx.Client, resource: dict[str, Any]) -> None:
    answer = client.put(f"/{resource['resourceType']}/{resource['id']}", json=resource)
    assert answer.status_code in (200, 201), answer.text


def issue(patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "DetectedIssue", "id": f"{patient}-issue", "status": "preliminary", "severity": "moderate",
        "code": {"coding": [{"system": REASON, "code": "sleep-loss", "display": "Sleep loss"}]},
        "patient": {"reference": f"Patient/{patient}"}, "detail": "Four short nights in a row",
        "identifiedPeriod": {"start": clock.now().isoformat(timespec="milliseconds")},
    } | more  # fmt: skip


def answering(instance: Instance) -> dict[str, str]:
    """Return the headers of a client that may hand in answers and nothing else, registered for this."""
    made = httpx.post(
        f"{instance.origin}/admin/clients",
        headers=instance.administrator,
        json={"name": "Questionnaires", "scope": "system/QuestionnaireResponse.c"},
    ).json()
    return taken(instance.origin, "system/QuestionnaireResponse.c", made)


def live(page: Page) -> None:
    page.wait_for_selector("#alerts[data-standing=live]", timeout=PATIENCE)


def message(page: Page) -> str:
    """Wait for the message about the patient; return the alert's reference."""
    found = page.locator(".message", has_text="Ida Sommer").first
    found.wait_for(timeout=PATIENCE)
    return found.get_attribute("data-message") or ""


def test_an_answer_about_self_harm_reaches_the_open_page(tabs, instance, patient):
    tab = tabs()
    page = tab.page
    open_ehr(page, instance)
    live(page)
    page.evaluate("window.stayed = true")
    answers = filled(patient, clock.now() - timedelta(minutes=1), [1, 1, 2, 1, 0, 1, 1, 0, 2])
    sent = httpx.post(f"{instance.origin}/fhir/QuestionnaireResponse", headers=answering(instance), json=answers)
    assert sent.status_code == 201, sent.text
    reference = message(page)
    said = page.locator(f"[data-message='{reference}']")
    for part in ("Answer about thoughts of death or self-harm", "high", "Ida Sommer", "PHQ-9 item 9"):
        assert part in said.inner_text()
    assert page.locator("#said").get_attribute("role") == "status"
    assert "New alert, severity high: Answer about thoughts" in (page.locator("#said").text_content() or "")
    assert page.evaluate("document.activeElement.closest('.message')") is None  # nothing takes the focus away
    assert page.locator(f"#alerts li[data-alert='{reference}'][data-severity=high]").count() == 1
    written = instance.get(reference)
    assert written["patient"]["reference"] == f"Patient/{patient}"
    assert any(each["reference"].startswith("QuestionnaireResponse/") for each in written["implicated"])
    assert {"subscribe", "bind", "socket"} <= set(steps(page))
    said.get_by_role("button", name="Resource").press("Enter")
    page.wait_for_selector("dialog .facts")
    assert "PHQ-9 item 9" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    said.get_by_role("button", name="twin").press("Enter")
    page.wait_for_selector("#stage")
    assert page.input_value("#launch select[name=patient]") == patient
    said.get_by_role("button", name="Dismiss").press("Enter")
    assert page.locator(".message").count() == 0
    assert page.evaluate("document.activeElement.id") == "alerts-title"
    assert page.evaluate("window.stayed")
    assert not tab.complaints


def test_a_lost_connection_is_told_and_nothing_is_missed(tabs, instance, patient, client):
    page, gate = tabs().page, Gate()
    page.route_web_socket("**/websocket", gate.take)
    open_ehr(page, instance)
    live(page)
    gate.shut()
    page.wait_for_selector("#alerts[data-standing=waiting]", timeout=PATIENCE)
    assert "Connection lost" in page.inner_text(".standing")
    put(client, issue(patient))
    assert page.locator(".message").count() == 0
    gate.open = True
    page.wait_for_selector("#alerts[data-standing=live]", timeout=PATIENCE)  # by itself
    reference = message(page)
    assert reference == f"DetectedIssue/{patient}-issue"
    page.locator(f"[data-message='{reference}'] .dismiss").focus()
    page.keyboard.press("Escape")
    assert page.locator(".message").count() == 0
    gate.shut()
    page.get_by_role("button", name="Connect now").wait_for(timeout=PATIENCE)
    gate.open = True
    live(page)
    assert page.locator(".message").count() == 0  # what was known is not new
    over = {"start": issue(patient)["identifiedPeriod"]["start"], "end": clock.now().isoformat()}
    put(client, issue(patient, identifiedPeriod=over))
    page.wait_for_selector(f"#alerts li[data-alert='{reference}']", state="detached", timeout=PATIENCE)


class Gate:
    """Between the page and the server's websocket: lets through, or ends every connection as a broken network does."""

    def __init__(self) -> None:
        self.open, self.there = True, list[WebSocketRoute]()

    def take(self, route: WebSocketRoute) -> None:
        if not self.open:
            route.close(code=1011)
            return
        self.there.append(route)
        route.connect_to_server()

    def shut(self) -> None:
        self.open = False
        for route in self.there:
            route.close(code=1011)
        self.there.clear()


def test_without_the_right_to_subscribe_the_list_is_read_and_says_so(tabs, instance, patient, client):
    for each in instance.find("Subscription?criteria=https://fhir.clarity.example/SubscriptionTopic/alert"):
        client.delete(f"/Subscription/{each['id']}")  # one that is there already could be read and bound all the same
    put(client, issue(patient, severity="high"))
    page = tabs(locale="de-DE").page
    page.goto("/apps/ehr/")
    page.click("#again")
    sign_in(page, instance)
    page.uncheck("input[name=scope][value='user/Subscription.cu']")
    allow(page)
    page.wait_for_selector("#alerts[data-standing=refused]", timeout=PATIENCE)
    assert "Nicht live" in page.inner_text(".standing")
    page.wait_for_selector(f"#alerts li[data-alert='DetectedIssue/{patient}-issue']")
    assert page.locator(".message").count() == 0  # it was there before


def test_axe_finds_nothing_serious_in_light_and_dark(tabs: Callable[..., Any], instance, patient, client):
    page = tabs().page
    open_ehr(page, instance)
    live(page)
    made = {severity: f"{patient}-{severity}" for severity in ("high", "moderate", "low")}
    for severity, id_ in made.items():
        put(client, issue(patient, id=id_, severity=severity))
    for id_ in made.values():
        page.wait_for_selector(f"[data-message='DetectedIssue/{id_}']", timeout=PATIENCE)
    assert not grave(page)
    for id_ in made.values():
        client.delete(f"/DetectedIssue/{id_}")
        page.wait_for_selector(f"[data-message='DetectedIssue/{id_}']", state="detached", timeout=PATIENCE)
