"""The clinician's twin in a real browser against a running instance: what it shows is what the record says."""

from __future__ import annotations

import itertools
import statistics
from datetime import date, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.apps.conftest import Instance, allow, choose, open_twin, sign_in, today

PATIENT = "demo-002"
SERIOUS = ("serious", "critical")
COLOURS = ["color-contrast", "link-in-text-block"]
"""Rules whose verdict another theme changes."""


def grave(page) -> list[str]:
    """Return what axe calls serious or worse, and where: by all rules in light, by those of colours in dark as well."""
    page.emulate_media(color_scheme="dark")
    found = Axe().run(page, options={"resultTypes": ["violations"], "runOnly": COLOURS}).response["violations"]
    page.emulate_media(color_scheme="light")
    found += Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node.get('failureSummary', '')}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def states(instance: Instance, patient: str = PATIENT) -> dict[date, dict[str, float]]:
    """Return the features of each day, read apart from the app."""
    found = {}
    for state in instance.find(f"Observation?patient={patient}&code=digital-twin-state&_count=200"):
        values = {
            part["code"]["coding"][0]["code"]: part["valueQuantity"]["value"]
            for part in state["component"]
            if "valueQuantity" in part
        }
        found[date.fromisoformat(state["effectivePeriod"]["start"][:10])] = values
    return found


def assessments(instance: Instance) -> list[date]:
    """Return the days on which the twin crossed a rule of its own; what models say every night is none of it."""
    found = instance.find(f"RiskAssessment?patient={PATIENT}&_count=200")
    own = [each for each in found if each["code"]["coding"][0]["code"] == "baseline-deviation"]
    return [
        date.fromisoformat(each["occurrencePeriod"]["start"][:10]) for each in own if each["status"] == "preliminary"
    ]


def last_visit(instance: Instance) -> date:
    visits = [each["period"]["start"][:10] for each in instance.find(f"Encounter?patient={PATIENT}&status=finished")]
    return date.fromisoformat(max(visits))


def test_a_standalone_launch_ends_in_the_twin(tabs, instance):
    tab = tabs()
    open_twin(tab.page, instance)
    patient = instance.get(f"Patient/{PATIENT}")
    assert patient["name"][0]["family"] in tab.page.inner_text(".banner")
    assert "What changed" in tab.page.inner_text("h1")
    assert {"lane-sleep", "lane-steps", "lane-scores"} <= set(
        tab.page.eval_on_selector_all(".plot", "all => all.map(each => each.id)")
    )
    assert not tab.complaints
    tab.page.reload()  # the session is the tab's own
    tab.page.wait_for_selector("#app[data-ready]")


def compared(page, after: list[dict[str, float]], before: list[dict[str, float]], days: int) -> None:
    """Check every card against the medians of all pairs of days, one of each period."""
    cards = page.locator("li[data-feature]")
    assert cards.count() >= 3
    for number in range(cards.count()):
        card = cards.nth(number)
        code = card.get_attribute("data-feature")
        now, then = ([values[code] for values in some if code in values] for some in (after, before))
        if code == "sleep-midpoint":
            now, then = ([hour - 24 if hour >= 12 else hour for hour in hours] for hours in (now, then))
        shift = statistics.median(one - other for one, other in itertools.product(now, then))
        assert float(card.get_attribute("data-shift")) == pytest.approx(shift)
        assert float(card.get_attribute("data-low")) <= shift <= float(card.get_attribute("data-high"))
        assert f"{len(now)} of {days} " in card.inner_text()


def test_the_change_is_the_shift_between_the_days_before_and_after_the_visit(tabs, instance):
    tab = tabs()
    open_twin(tab.page, instance)
    visit, known = last_visit(instance), states(instance)
    assert (today() - visit).days >= 5
    after = [values for day, values in known.items() if day > visit]
    before = [values for day, values in known.items() if visit - timedelta(days=28) < day <= visit]
    compared(tab.page, after, before, (max(known) - visit).days)
    raised = assessments(instance)
    assert raised
    recent, side = [day for day in raised if day > visit], tab.page.locator(".side")
    assert side.locator(".risks button").count() == min(4, len(recent))
    assert (f"{len(raised) - len(recent)} older" in side.inner_text()) == (len(raised) > len(recent))


def test_two_periods_of_the_readers_own_are_compared(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    page.select_option("#period", "two")
    known, end = states(instance), today()
    spans = {
        "now": (end - timedelta(days=40), end - timedelta(days=21)),
        "before": (end - timedelta(days=70), end - timedelta(days=51)),
    }
    for side, (first, last) in spans.items():
        page.fill(f"#two-{side}-from", str(first))
        page.fill(f"#two-{side}-to", str(last))
    page.wait_for_function("() => !document.querySelector('.two [role=status], .since [role=alert]')")
    after, before = (
        [values for day, values in known.items() if first <= day <= last] for first, last in spans.values()
    )
    compared(page, after, before, 20)
    heading = page.inner_text(".since .head")
    assert "Two periods compared" in heading
    assert all(f"{day.day} {day:%b}" in heading for span in spans.values() for day in span)
    assert not grave(page)
    page.fill("#two-now-to", str(end - timedelta(days=60)))  # before it begins
    page.wait_for_selector(".since [role=alert]")
    compared(page, after, before, 20)  # what was compared stays


def test_what_the_app_asks_for_is_granted(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    kept = page.evaluate("() => JSON.parse(sessionStorage.getItem(JSON.parse(sessionStorage.getItem('SMART_KEY'))))")
    asked, granted = kept["scope"].split(), kept["tokenResponse"]["scope"].split()
    assert set(asked) == set(granted)  # launch/patient and the rest: nothing that the server would never give
    assert "patient/Device.rs" not in asked  # Device is in no patient compartment


def test_alerts_and_models_come_after_what_changed_and_the_axis(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    page.route("**/fhir/DetectedIssue?*", lambda route: route.abort())
    page.reload()
    page.wait_for_selector("#models [role=alert]")
    assert page.locator("li[data-feature]").count() >= 3
    page.locator("#lane-sleep canvas").wait_for()


def test_a_number_opens_its_days_and_a_day_its_inputs(tabs, instance):
    tab = tabs()
    page = tab.page
    open_twin(page, instance)
    page.locator("li[data-feature=steps] button").click()
    page.locator("dialog .sources button").first.click()
    page.wait_for_selector("dialog .facts")
    text = page.inner_text("dialog")
    assert "Digital twin: state of a day" in text
    assert "Provenance" in text
    page.locator("dialog .sources button", has_text="Observation/demo-002").first.click()
    page.wait_for_function("!document.querySelector('dialog').textContent.includes('state of a day')")
    page.get_by_role("button", name="Back").click()
    page.get_by_text("Digital twin: state of a day", exact=True).wait_for()
    page.keyboard.press("Escape")
    assert not page.locator("dialog").is_visible()


def test_the_axis_is_walked_with_the_keyboard(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    page.locator(".lanes").focus()
    page.keyboard.press("End")
    last = max(states(instance))
    assert str(last.day) in page.inner_text(".readout button")
    page.keyboard.press("PageDown")
    week_before = last - timedelta(days=7)
    assert f"{week_before.day} {week_before:%B}" in page.locator(".lanes").get_attribute("aria-valuetext")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .facts")
    assert week_before.isoformat() in page.inner_text("dialog")


def test_axe_finds_nothing_serious(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_twin(page, instance)
    page.click("#actogram summary")
    page.wait_for_selector(".acto-view[data-whole]")
    page.click(".acto-table summary")
    page.wait_for_selector(".acto-table tbody tr")
    assert not grave(page)
    page.locator(".lanes").focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .facts")
    assert not grave(page)


def test_german_readers_read_german(tabs, instance):
    page = tabs(locale="de-DE").page
    page.goto("/apps/twin/")
    page.get_by_text("Diese App wurde ohne Patient geöffnet").wait_for()
    open_twin(page, instance)
    assert "Was sich seit dem letzten Besuch geändert hat" in page.inner_text("h1")
    page.get_by_role("button", name="English").click()
    page.get_by_text("What changed since the last visit").wait_for()


def test_it_prints_on_one_page(tabs, instance):
    page = tabs("dark").page
    open_twin(page, instance)
    pdf = page.pdf(prefer_css_page_size=True)
    assert pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") + pdf.count(b"/Type /Page/") == 1


# ---- what goes wrong says what to do ----


def problem(page) -> str:
    page.wait_for_selector("[data-problem]")
    return page.locator("[data-problem]").get_attribute("data-problem")


def test_refusing_is_explained_and_the_app_can_be_launched_again(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    page.click("button[name=decision][value=refuse]")
    assert problem(page) == "denied"
    assert "The person refused." in page.inner_text("main")
    page.click("#again")
    choose(page, instance, PATIENT)
    allow(page)
    page.wait_for_selector("#app[data-ready]")


def test_what_was_deselected_is_named(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    page.uncheck("input[name=scope][value='patient/Encounter.rs']")
    page.uncheck("input[name=scope][value='patient/RiskAssessment.rs']")
    allow(page)
    page.wait_for_selector("#app[data-ready]")
    assert "Encounter, RiskAssessment" in page.inner_text(".side")
    assert "No finished visit" in page.inner_text(".since")


def test_without_observations_there_is_nothing_to_show(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    page.uncheck("input[name=scope][value='patient/Observation.rs']")
    allow(page)
    assert problem(page) == "scope"
    assert "patient/Observation.rs" in page.inner_text("main")


def test_an_answer_in_the_wrong_tab_says_so(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/?code=abc&state=nobodys")
    assert problem(page) == "state"


def test_a_launch_that_is_over_says_so(tabs, instance):
    page = tabs().page
    page.goto(f"/apps/twin/?iss={instance.origin}/fhir&launch={'x' * 43}")
    assert problem(page) == "denied"
    assert "open the app again" in page.inner_text("main")


def test_another_server_is_refused(tabs, instance):
    page = tabs().page
    page.goto("/apps/twin/?iss=https://elsewhere.example/fhir&launch=x")
    assert problem(page) == "denied"
    assert "elsewhere.example" in page.inner_text("main")


def test_a_session_that_was_taken_back_says_so(tabs, instance):
    tab = tabs()
    page = tab.page
    open_twin(page, instance)
    own = tab.context.new_page()
    own.goto("/oauth2/apps")
    while own.locator("button", has_text="Take back").count():
        with own.expect_navigation():  # a grant that is still being taken back would take the new one along
            own.locator("button", has_text="Take back").first.click()
    page.reload()
    assert problem(page) == "expired"
    page.click("#again")
    choose(page, instance, PATIENT)
    allow(page)
    page.wait_for_selector("#app[data-ready]")
