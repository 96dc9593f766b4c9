"""The patient list in a real browser: whom it shows, in which order, and what its keys and filters do."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page

from fhir_server.auth import care
from tests.apps.conftest import Instance, allow, sign_in, today
from tests.apps.test_twin import grave, problem

TOLD = {"sleep-duration", "sleep-midpoint", "steps", "activity-mean", "resting-heart-rate"}
DOCTOR = "Practitioner/demo-practitioner-1"


def open_list(page: Page, instance: Instance, *, without: str = "") -> None:
    page.goto("/apps/list/")
    page.click("#again")
    sign_in(page, instance)
    page.wait_for_selector("button[name=decision]")
    if without:
        page.uncheck(f"input[name=scope][value='{without}']")
    allow(page)
    page.wait_for_selector("#app[data-ready]")


def shown(page: Page) -> list[str]:
    return page.eval_on_selector_all("button[data-patient]", "all => all.map(each => each.dataset.patient)")


def focused(page: Page) -> str:
    return page.evaluate("document.activeElement.dataset.patient ?? document.activeElement.id")


def cared_for(instance: Instance) -> set[str]:
    """Return the patients of the doctor as the record says, read apart from the app."""
    teams = instance.find(f"CareTeam?participant={DOCTOR}&_count=200")
    visits = instance.find(f"Encounter?participant={DOCTOR}&_count=200")
    found = {each["subject"]["reference"].removeprefix("Patient/") for each in teams + visits}
    return found | {each["id"] for each in instance.find(f"Patient?general-practitioner={DOCTOR}")}


def deviations(instance: Instance, patient: str, days: int = 7) -> dict[str, str]:
    """Return the features that deviate strongly in the last days, each with the newest day on which it does."""
    since = today() - timedelta(days=days)
    states = instance.find(f"Observation?patient={patient}&code=digital-twin-state&date=ge{since}&_sort=date&_count=50")
    return {
        part["code"]["coding"][0]["code"]: state["effectivePeriod"]["start"][:10]
        for state in states
        for part in state["component"]
        if part["code"]["coding"][0]["code"] in TOLD
        and part.get("interpretation", [{}])[0].get("coding", [{}])[0].get("code") in ("H", "L")
    }


def opened_lately(instance: Instance) -> list[dict[str, Any]]:
    """Return the open assessments of the last four weeks of those for whom the doctor cares, the newest first."""
    since, own = str(today() - timedelta(days=28)), cared_for(instance)
    found = [
        each
        for each in instance.find("RiskAssessment?_count=500")
        if each["status"] == "preliminary" and not answers(each) and each["subject"]["reference"][8:] in own
    ]
    return sorted((each for each in found if day_of(each) >= since), key=day_of, reverse=True)


def day_of(risk: dict[str, Any]) -> str:
    return str(risk.get("occurrenceDateTime") or risk["occurrencePeriod"]["start"])[:10]


def assessed(instance: Instance, patient: str) -> list[str]:
    """Return the days of the open assessments of a patient of the last four weeks."""
    return [day_of(each) for each in opened_lately(instance) if each["subject"]["reference"] == f"Patient/{patient}"]


def answers(risk: dict[str, Any]) -> bool:
    """Tell whether it is what a model answers every night, which nobody has to look at."""
    return any(coding["code"] == "prediction" for coding in risk.get("code", {}).get("coding", ()))


@pytest.fixture(scope="module")
def nameless(instance: Instance) -> Iterator[str]:
    """A patient of the doctor of whom no device has sent anything."""
    with httpx.Client(base_url=f"{instance.origin}/fhir", headers=instance.headers, timeout=60) as client:
        body = {
            "resourceType": "Patient", "id": "list-none", "name": [{"family": "Ångström", "given": ["Zoë"]}],
            "generalPractitioner": [{"reference": DOCTOR}],
        }  # fmt: skip
        assert client.put("/Patient/list-none", json=body).status_code in (200, 201)
        time.sleep(care.SECONDS + 0.5)  # so long the other web process may go by whom the doctor cared for
        yield "list-none"
        client.delete("/Patient/list-none")


@pytest.fixture
def behind(instance: Instance) -> Iterator[str]:
    """A patient of the doctor with one state of three days ago, little sleep in it, three assessments: one seen, one a model's."""
    day = today() - timedelta(days=3)
    about = {"reference": "Patient/list-behind"}
    twin = "https://fhir.clarity.example"
    risk = {
        "resourceType": "RiskAssessment", "subject": about, "occurrenceDateTime": f"{day}T12:00:00Z",
        "method": {"coding": [{"system": f"{twin}/CodeSystem/digital-twin", "code": "own", "display": "A rule of this test"}]},
    }  # fmt: skip
    bodies = [
        {
            "resourceType": "Patient", "id": "list-behind", "name": [{"family": "Behind"}],
            "generalPractitioner": [{"reference": DOCTOR}],
        },
        {
            "resourceType": "Observation", "id": "list-behind-state", "status": "final", "subject": about,
            "code": {"coding": [{"system": f"{twin}/CodeSystem/digital-twin", "code": "digital-twin-state"}]},
            "effectivePeriod": {"start": f"{day}T00:00:00+00:00", "end": f"{day}T23:59:59+00:00"},
            "extension": [{
                "url": f"{twin}/StructureDefinition/digital-twin-coverage",
                "extension": [{"url": "sleep", "valueDecimal": 0.2}, {"url": "steps", "valueDecimal": 0.9}],
            }],
        },
        {**risk, "id": "list-behind-open", "status": "preliminary"},
        {**risk, "id": "list-behind-seen", "status": "final"},
        {
            **risk, "id": "list-behind-model", "status": "preliminary",
            "code": {"coding": [{"system": f"{twin}/CodeSystem/digital-twin", "code": "prediction"}]},
        },
    ]  # fmt: skip
    with httpx.Client(base_url=f"{instance.origin}/fhir", headers=instance.headers, timeout=60) as client:
        for body in bodies:
            answer = client.put(f"/{body['resourceType']}/{body['id']}", json=body)
            assert answer.status_code in (200, 201), answer.text
        yield "list-behind"
        for body in reversed(bodies):
            client.delete(f"/{body['resourceType']}/{body['id']}")


def test_gaps_and_open_assessments_are_told(tabs, instance, behind):
    page = tabs().page
    open_list(page, instance)
    page.locator("input[value=missing]").check(force=True)
    assert behind in shown(page)
    cells = page.locator(f"tr:has(button[data-patient={behind}]) td")
    assert "A rule of this test" in cells.nth(1).inner_text()
    assert "more" not in cells.nth(1).inner_text()  # the confirmed one is not open
    assert "6 days without a state" in cells.nth(2).inner_text()
    assert "Sleep 20 % measured" in cells.nth(2).inner_text()
    assert "Steps" not in cells.nth(2).inner_text()
    page.locator("input[value=changed]").check(force=True)
    assert behind in shown(page)


def test_it_shows_the_caseload_newest_change_first(tabs, instance):
    tab = tabs()
    page = tab.page
    open_list(page, instance)
    rows = shown(page)
    assert set(rows) == cared_for(instance) - {"list-none"}
    changed = page.eval_on_selector_all("tbody tr", "all => all.map(each => each.dataset.changed)")
    assert changed == sorted(changed, reverse=True)
    for patient, day in zip(rows, changed, strict=True):
        strong, open_ = deviations(instance, patient), assessed(instance, patient)
        assert day == max([*strong.values(), *open_, ""]), patient
        row = page.locator(f"tr:has(button[data-patient={patient}])")
        told = row.locator("li[data-feature]").evaluate_all("all => all.map(each => each.dataset.feature)")
        assert set(told) <= set(strong)
        assert len(told) == min(3, len(strong))
    assert not tab.complaints


def test_it_asks_as_often_for_many_patients_as_for_few(tabs, instance):
    page = tabs().page
    open_list(page, instance)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/fhir/" in request.url else None)
    with page.expect_response(lambda answer: "/fhir/RiskAssessment" in answer.url) as told:
        page.click("#refresh")
    risks = [entry["resource"] for entry in told.value.json().get("entry", [])]
    lately = {each["id"] for each in opened_lately(instance)}
    assert lately
    assert {each["id"] for each in risks} >= lately
    assert not any(answers(each) or "basis" in each for each in risks)  # no model's nights, and no more than is shown
    page.wait_for_load_state("networkidle")
    paths = sorted(urlsplit(url).path for url in asked)
    assert paths == ["/fhir/Observation", "/fhir/Observation", "/fhir/Patient", "/fhir/Patient", "/fhir/RiskAssessment"]
    assert not any("demo-0" in url for url in asked)


def test_keys_walk_the_rows_and_enter_opens_the_twin_of_the_patient(tabs, instance):
    page = tabs().page
    open_list(page, instance)
    rows = shown(page)
    page.keyboard.press("/")
    assert focused(page) == "name"
    page.keyboard.press("ArrowDown")
    assert focused(page) == rows[0]
    page.keyboard.press("ArrowDown")
    assert focused(page) == rows[1]
    page.keyboard.press("End")
    assert focused(page) == rows[-1]
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    assert focused(page) == rows[0]
    assert page.locator("button[data-patient][tabindex='0']").count() == 1
    page.keyboard.press("End")
    page.fill("#name", instance.get(f"Patient/{rows[0]}")["name"][0]["family"])  # where the keys were is gone
    assert rows[-1] not in shown(page)
    assert page.locator(f"button[data-patient={shown(page)[0]}][tabindex='0']").count() == 1
    page.fill("#name", "")
    page.keyboard.press("Enter")
    assert focused(page) in rows
    page.keyboard.press("Home")
    with page.expect_popup() as opened:
        page.keyboard.press("Enter")
    twin = opened.value
    twin.wait_for_selector("button[name=decision]")
    assert twin.locator("input[name=patient]").count() == 0  # nobody has to choose again
    allow(twin)
    twin.wait_for_selector("#app[data-ready]")
    assert instance.get(f"Patient/{rows[0]}")["name"][0]["family"] in twin.inner_text(".banner")
    assert "opens in a new tab" in page.inner_text("#said")


def test_without_the_right_to_launch_the_twin_asks_for_the_patient(tabs, instance):
    page = tabs().page
    open_list(page, instance, without="__launch")
    with page.context.expect_page() as opened:
        page.locator("button[data-patient]").first.click()
    twin = opened.value
    twin.wait_for_selector("input[name=patient]", state="attached")
    assert "asks for the patient" in page.inner_text("#said")


def test_filters_and_their_counts(tabs, instance, nameless):
    page = tabs().page
    open_list(page, instance)
    everybody = shown(page)
    assert nameless in everybody
    for name, wanted in {
        "changed": [each for each in everybody if deviations(instance, each) or assessed(instance, each)],
        "none": [nameless],
        "all": everybody,
    }.items():
        page.locator(f"input[value={name}]").check(force=True)
        assert shown(page) == wanted
        assert page.inner_text(f"label:has(input[value={name}]) b") == str(len(wanted))
        assert page.inner_text("#count") == f"{len(wanted)} of {len(everybody)} patients" if wanted else True
    page.fill("#name", "zoe ANGSTROM")  # without accents, in any order and case
    assert shown(page) == [nameless]
    assert "No state yet" in page.inner_text("tbody tr")
    page.fill("#name", "nobody is called so")
    assert shown(page) == []
    page.click("#clear")
    assert (shown(page), focused(page)) == (everybody, "name")


def test_what_was_deselected_is_named(tabs, instance):
    page = tabs().page
    open_list(page, instance, without="user/RiskAssessment.rs")
    assert "RiskAssessment" in page.inner_text("#withheld")
    assert shown(page)


def test_without_observations_there_is_no_list(tabs, instance):
    page = tabs().page
    page.goto("/apps/list/")
    page.click("#again")
    sign_in(page, instance)
    page.uncheck("input[name=scope][value='user/Observation.rs']")
    allow(page)
    assert problem(page) == "scope"
    assert "user/Observation.rs" in page.inner_text("main")


def test_searches_of_many_pages_give_the_same_list(tabs, instance):
    page = tabs().page
    open_list(page, instance)
    before = page.inner_text("table")
    asked: list[str] = []

    def small(route):
        asked.append(route.request.url)
        route.continue_(url=re.sub(r"_count=\d+", "_count=3", route.request.url))

    page.route("**/fhir/*?*", small)
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    assert page.inner_text("table") == before
    assert len(asked) > 7


def test_nobody_in_care_is_explained(tabs, instance):
    page = tabs().page
    page.route("**/fhir/Patient?*", lambda route: route.continue_(url=f"{route.request.url}&_id=nobody"))
    open_list(page, instance)
    assert "names you" in page.inner_text("#nobody")


def test_a_server_that_does_not_answer_is_explained(tabs, instance):
    page = tabs().page
    open_list(page, instance)
    page.route("**/fhir/RiskAssessment?*", lambda route: route.abort())
    page.click("#refresh")
    assert problem(page) == "network"
    page.unroute("**/fhir/RiskAssessment?*")
    page.click("#again")
    page.wait_for_selector("table")


def test_axe_finds_nothing_serious(tabs, instance, nameless):
    page = tabs().page
    page.goto("/apps/list/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_list(page, instance)
    assert not grave(page)
    page.locator("button[data-patient][tabindex='0']").focus()
    page.locator("input[value=none]").check(force=True)
    assert nameless in shown(page)
    assert not grave(page)
    page.fill("#name", "nobody is called so")
    assert not grave(page)


def test_german_readers_read_german(tabs, instance):
    page = tabs(locale="de-DE").page
    page.goto("/apps/list/")
    page.get_by_text("Anmelden und die eigenen Patienten sehen").wait_for()
    open_list(page, instance)
    assert "Was sich bei Ihren Patienten geändert hat" in page.inner_text("h1")
    assert "Offene Einschätzungen" in page.inner_text("thead")
