"""The EHR simulator in a real browser: launches in a frame, a tab and standalone, and flows that fail as they should."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from playwright.sync_api import Browser, Page

from fhir_server.storage.tenants import schema_name
from tests.apps.conftest import NOW, Instance, Tab, allow, choose, opened, sign_in
from tests.apps.test_twin import PATIENT, grave


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
    page.wait_for_selector("select[name=encounter] option:nth-child(2)", state="attached")


def steps(page: Page) -> list[str]:
    return page.eval_on_selector_all(".steps > li", "all => all.map(each => each.dataset.step)")


@pytest.fixture(scope="module")
def desk(browser: Browser, instance: Instance) -> Iterator[Tab]:
    """A browser in which the doctor has signed in to the simulator, for all tests of this file."""
    tab = opened(browser, instance)
    tab.context.clock.set_fixed_time(NOW)
    open_ehr(tab.page, instance)
    yield tab
    tab.context.close()


@pytest.fixture
def ehr(desk: Tab) -> Tab:
    """The simulator as it is when it is loaded anew, nothing chosen."""
    for page in desk.context.pages[1:]:
        page.close()  # a window of the same name would be used again
    desk.complaints.clear()
    desk.page.goto("/apps/ehr/")
    desk.page.wait_for_selector("#app[data-ready] form")
    return desk


def other(page: Page, client: str) -> None:
    """Choose an app that the simulator does not know by its name."""
    page.select_option("#launch select[name=known]", "")
    page.fill("#launch input[name=app]", client)


def test_a_launch_in_a_frame_signs_in_in_a_window_and_shows_every_step(ehr, instance):
    page = ehr.page
    prepared(page, "frame")
    page.select_option("#launch select[name=encounter]", index=1)
    with page.expect_popup() as opened:
        page.click("#go")
    popup = opened.value
    popup.wait_for_selector("button[value=allow]")
    assert popup.locator("input[name=patient]").count() == 0  # the patient is that of the chart
    allow(popup)
    frame = page.frame_locator("#stage")
    frame.locator("#app[data-ready]").wait_for()
    assert instance.get(f"Patient/{PATIENT}")["name"][0]["family"] in frame.locator(".banner").inner_text()
    seen = steps(page)
    for step in ("launch", "open", "start", "authorize", "back", "token", "fhir"):
        assert step in seen, seen
    token = page.locator("li[data-step=token]").first
    token.locator("summary").click()
    text = token.inner_text()
    assert '"patient": "demo-002"' in text
    assert '"encounter": "demo-002-encounter' in text
    assert '"alg": "ES384"' in text
    for said in ("Obtain access token", "RFC 9068", "OpenID Connect Core", "What the code_challenge is the hash of"):
        assert said in text
    assert not ehr.complaints


def test_the_frame_offers_the_sign_in_again_when_its_window_was_closed(ehr):
    page = ehr.page
    prepared(page, "frame")
    with page.expect_popup() as opened:
        page.click("#go")
    opened.value.wait_for_selector("button[value=allow]")
    opened.value.close()
    frame = page.frame_locator("#stage")
    with page.expect_popup() as opened:
        frame.locator("[data-problem=frame] #again").click()
    allow(opened.value)
    frame.locator("#app[data-ready]").wait_for()


def five(page: Page, instance: Instance, shown: Callable[[Page, str], None] = lambda _page, _button: None) -> Page:
    """Go from the first page to the twin in the EHR as README has it; `shown` looks before each click. Return the sign-in."""
    page.goto("/apps/ehr/")

    def click(where: Page, button: str) -> None:
        where.wait_for_selector(button)
        shown(where, button)
        where.click(button)

    click(page, "#again")
    page.wait_for_selector("input[name=login]")
    page.fill("input[name=login]", "dr-demo")
    page.fill("input[name=password]", instance.passwords["dr-demo"])
    click(page, "main button")
    click(page, "button[value=allow]")
    page.wait_for_selector("#app[data-ready] form")
    with page.expect_popup() as opened:
        click(page, "#go")
    click(opened.value, "button[value=allow]")
    page.frame_locator("#stage").locator("#app[data-ready]").wait_for()
    return opened.value


def test_five_clicks_lead_to_the_twin_in_the_ehr(tabs, instance):
    page, clicks = tabs().page, []
    five(page, instance, lambda _page, button: clicks.append(button))
    assert len(clicks) == 5, clicks
    assert page.frame_locator("#stage").locator("h1").first.is_visible()


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
    page.click("#launch summary")
    page.fill("#launch textarea[name=context]", '{"reference": "ImagingStudy/1"}')
    page.click("#go")
    page.get_by_text("fhirContext is a JSON array").wait_for()
    page.fill("#launch textarea[name=context]", "")
    other(page, "nobody")
    page.click("#go")
    page.locator(".alarm").get_by_text("registered app").wait_for()


def test_another_person_signs_in_from_the_page(tabs, instance):
    page = tabs().page
    open_ehr(page, instance)
    page.click("#switch")
    sign_in(page, instance, "patient-demo")  # asked for although somebody is signed in
    allow(page)
    page.wait_for_selector("#app[data-ready] form")
    assert "Dr. " not in page.inner_text("#launch p")
    with page.expect_popup():
        page.click("#go")
    page.locator("#launch .alarm").wait_for()  # a patient opens no apps for others


def test_all_that_is_chosen_reaches_the_app(ehr, instance):
    """Scopes, patient, visit, intent and fhirContext, in a launch from the EHR that the simulator runs itself."""
    page = ehr.page
    prepared(page, "frame")
    page.select_option("#launch select[name=encounter]", index=1)
    visit = page.input_value("#launch select[name=encounter]")
    page.click("#launch summary")
    page.fill("#launch input[name=intent]", "reconcile-medications")
    page.fill("#launch textarea[name=context]", '[{"reference": "ImagingStudy/1"}]')
    page.check("#probe input[name=way][value=ehr]")
    page.fill("#probe [name=scope]", "launch patient/Patient.rs patient/Observation.rs")
    with page.expect_popup() as opened:
        page.click("#run")
    opened.value.uncheck("input[name=scope][value='patient/Observation.rs']")
    allow(opened.value)
    page.wait_for_selector(".verdict [data-ok=true]")
    said = json.loads(page.locator("li[data-step=token] pre").first.text_content() or "")
    assert set(said["scope"].split()) == {"launch", "patient/Patient.rs"}  # what was deselected is not there
    context = {"patient": PATIENT, "encounter": visit, "intent": "reconcile-medications"}
    assert {name: said.get(name) for name in context} == context, said
    assert [each["reference"] for each in said["fhirContext"]] == ["ImagingStudy/1"]


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
    as_expected(page)


def test_a_code_that_has_expired_is_refused(browser, instance):
    """The minute that a code holds passes at once: for the page by its clock, for the server where the code is kept."""
    tab = opened(browser, instance)
    page = tab.page
    tab.context.clock.install(time=NOW)
    open_ehr(page, instance)
    page.select_option("#probe select[name=fault]", "expired")
    with page.expect_popup() as popup:
        page.click("#run")
    choose(popup.value, instance, PATIENT)
    allow(popup.value)
    page.locator(".verdict").get_by_text("until the code has expired").wait_for()
    with ThreadPoolExecutor(1) as other:  # Playwright's loop has this thread
        other.submit(asyncio.run, expire(instance)).result()
    page.clock.fast_forward(61_000)
    as_expected(page)
    assert "invalid_grant" in page.inner_text(".verdict")
    tab.context.close()


async def expire(instance: Instance) -> None:
    """Let the codes that wait to be redeemed have run out a second ago."""
    address = json.loads((instance.data / "instance.json").read_text())["database_url"]
    connection = await asyncpg.connect(address)
    text = "UPDATE {}.oauth_code SET expires_at = clock_timestamp() - interval '1 second' WHERE used_at IS NULL"
    await connection.execute(text.format(schema_name("default")))
    await connection.close()


def as_expected(page: Page) -> None:
    page.wait_for_selector(".verdict [data-ok]", timeout=80_000)
    assert page.locator(".verdict [data-ok]").get_attribute("data-ok") == "true", page.inner_text(".verdict")
    assert "note" in steps(page)


def test_axe_finds_nothing_serious(tabs, instance):
    page = tabs().page
    page.goto("/apps/ehr/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_ehr(page, instance)
    prepared(page, "tab")
    page.click("#go")
    page.wait_for_selector(".steps li summary")
    page.locator(".steps li summary").first.click()
    assert not grave(page)


def test_axe_finds_nothing_serious_on_the_pages_of_the_server(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.click("#again")
    page.wait_for_selector("input[name=login]")
    assert not grave(page)
    sign_in(page, instance)
    page.wait_for_selector("form input[name=patient]", state="attached")
    assert not grave(page)
    choose(page, instance, PATIENT)
    page.wait_for_selector("button[value=allow]")
    assert not grave(page)
    page.goto("/oauth2/apps")
    assert not grave(page)
    page.goto("/oauth2/authorize?client_id=nobody")
    page.get_by_text("This cannot go on").first.wait_for()
    assert not grave(page)
