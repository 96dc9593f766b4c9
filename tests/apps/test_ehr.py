"""The EHR simulator in a real browser: launches in a frame, a tab and standalone, and flows that fail as they should."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.apps.conftest import Instance, allow, choose, sign_in
from tests.apps.test_twin import PATIENT, grave

NEEDS_PAGES = ("none", "scope", "code", "verifier", "revoked", "refresh")
"""Faults before which the person allows what is asked."""


def open_ehr(page: Page, instance: Instance) -> None:
    page.goto("/apps/ehr/")
    page.click("#again")
    sign_in(page, instance)
    assert "Open other apps for you" in page.inner_text("main")
    allow(page)
    page.wait_for_selector("#app[data-ready] form")


def prepared(page: Page, where: str) -> None:
    page.select_option("#launch select[name=patient]", PATIENT)
    page.locator(f"#launch input[name=where][value={where}]").check()
    page.wait_for_function("document.querySelectorAll('select[name=encounter] option').length > 1")


def steps(page: Page) -> list[str]:
    return page.eval_on_selector_all(".steps > li", "all => all.map(each => each.dataset.step)")


@pytest.fixture
def ehr(tabs, instance):
    tab = tabs()
    open_ehr(tab.page, instance)
    return tab


def test_a_launch_in_a_frame_signs_in_in_a_window_and_shows_every_step(ehr, instance):
    page = ehr.page
    prepared(page, "frame")
    page.select_option("#launch select[name=encounter]", index=1)
    page.click("#go")
    frame = page.frame_locator("#stage")
    with page.expect_popup() as opened:
        frame.locator("#again").click()
    popup = opened.value
    assert popup.locator("input[name=patient]").count() == 0  # the patient is that of the chart
    allow(popup)
    frame.locator("#app[data-ready]").wait_for()
    assert instance.get(f"Patient/{PATIENT}")["name"][0]["family"] in frame.locator(".banner").inner_text()
    seen = steps(page)
    for step in ("launch", "open", "authorize", "back", "token", "fhir"):
        assert step in seen, seen
    token = page.locator("li[data-step=token]").first
    token.locator("summary").click()
    text = token.inner_text()
    assert '"patient": "demo-002"' in text
    assert '"encounter": "demo-002-encounter' in text
    assert '"alg": "ES384"' in text or '"alg": "RS' in text or '"alg"' in text
    assert "Obtain access token" in text
    assert not ehr.complaints


def test_a_launch_in_a_tab(ehr, instance):
    page = ehr.page
    prepared(page, "tab")
    with page.expect_popup() as opened:
        page.click("#go")
    app = opened.value
    allow(app)
    app.wait_for_selector("#app[data-ready]")
    assert {"launch", "authorize", "back", "token"} <= set(steps(page))


def test_standalone_asks_for_the_patient(ehr, instance):
    page = ehr.page
    prepared(page, "standalone")
    with page.expect_popup() as opened:
        page.click("#go")
    app = opened.value
    app.click("#again")
    choose(app, instance, PATIENT)
    allow(app)
    app.wait_for_selector("#app[data-ready]")


def test_what_cannot_be_launched_says_why(ehr):
    page = ehr.page
    page.fill("#launch input[name=app]", "nobody")
    page.click("#go")
    page.wait_for_selector(".alarm")
    assert "registered app" in page.inner_text(".alarm")


@pytest.mark.parametrize(
    "fault", ["none", "redirect", "aud", "scope", "refuse", "code", "verifier", "revoked", "refresh"]
)
def test_each_fault_ends_as_the_specification_wants(ehr, instance, fault):
    page = ehr.page
    page.select_option("#probe select[name=fault]", fault)
    with page.expect_popup() as opened:
        page.click("#run")
    popup = opened.value
    if fault == "redirect":
        popup.get_by_text("This cannot go on").first.wait_for()
        popup.close()
    elif fault != "aud":
        choose(popup, instance, PATIENT)
        popup.click(f"button[name=decision][value={'refuse' if fault == 'refuse' else 'allow'}]")
    page.wait_for_selector(".verdict [data-ok]", timeout=80_000)
    assert page.locator(".verdict [data-ok]").get_attribute("data-ok") == "true", page.inner_text(".verdict")
    assert steps(page)[-1] == "note"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tabs, instance, scheme):
    page = tabs(scheme).page
    page.goto("/apps/ehr/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_ehr(page, instance)
    prepared(page, "tab")
    page.click("#go")
    page.wait_for_selector(".steps li summary")
    page.locator(".steps li summary").first.click()
    assert not grave(page)
