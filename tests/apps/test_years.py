"""Years of days stay smooth: what the twin app asks for and draws is bounded, whatever the span. Figures: `tests.apps.long`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Response

from tests.apps import long
from tests.apps.conftest import Instance, open_twin, today
from tests.apps.test_twin import PATIENT

MOST_BYTES = 250_000
"""Of an answer, before it is packed."""
MOST_POINTS = 400
"""Of a lane."""
WEEKS = "() => document.querySelector('#axis h2').innerText.includes('weeks')"
NO_WEEKS = "() => !document.querySelector('#axis h2').innerText.includes('weeks')"


@contextmanager
def asked(page: Page) -> Iterator[list[Response]]:
    """Collect what is read of the server while the block runs."""
    found: list[Response] = []

    def note(response: Response) -> None:
        if "/fhir/" in response.url:
            found.append(response)

    page.on("response", note)
    yield found
    page.remove_listener("response", note)


def windows(found: list[Response], resolution: str) -> list[tuple[str, str]]:
    """Return first and last day of the `$timeline`s in a resolution; no answer may be larger than is allowed."""
    assert all(response.status == 200 and len(response.body()) <= MOST_BYTES for response in found)
    assert not any("digital-twin-state" in response.url for response in found)
    asked = [parse_qs(urlsplit(response.url).query) for response in found if "$timeline" in response.url]
    return [(each["start"][0], each["end"][0]) for each in asked if each["resolution"] == [resolution]]


def points(page: Page) -> int:
    return int(page.locator(".lanes").get_attribute("aria-valuemax") or 0)


def until(page: Page, holds: str, argument: object = None) -> None:
    page.wait_for_function(holds, arg=argument, timeout=120_000)


def moved(page: Page, act) -> None:
    """Do something that shows other days, and wait for them."""
    before = page.inner_text("#span")
    act()
    until(
        page,
        "before => document.querySelector('#span').innerText !== before && !document.querySelector('.reading')",
        before,
    )


def weeks_and_days(page: Page, instance: Instance, patient: str) -> None:
    """Walk through near and far."""
    open_twin(page, instance, patient)
    with asked(page) as found:
        page.reload()
        page.wait_for_selector("#app[data-ready]")
    (first,) = windows(found, "day")
    assert first[1] == str(today())
    assert not windows(found, "week")

    with asked(page) as found:
        page.select_option("#range", "1826")
        until(page, WEEKS)
    assert len(windows(found, "week")) == 1
    assert not windows(found, "day")
    assert len(found) <= 2  # the other are the scores of all years
    assert points(page) <= MOST_POINTS

    page.locator(".lanes").focus()
    page.keyboard.press("End")
    with asked(page) as found:
        page.keyboard.press("Enter")
        page.wait_for_selector("dialog .sources button")
        assert not windows(found, "week")
    assert 1 <= page.locator("dialog .sources button").count() <= 7
    page.locator("dialog .sources button").first.click()
    page.wait_for_selector("dialog .facts")
    assert "Digital twin: state of a day" in page.inner_text("dialog")
    page.keyboard.press("Escape")

    page.select_option("#range", "90")
    until(page, NO_WEEKS)
    with asked(page) as found:
        for _ in range(3):
            moved(page, lambda: page.click("#earlier"))
            assert points(page) <= 91
    back = windows(found, "day")
    assert back
    assert all(end < first[0] for _, end in back)  # what was read before is not read again
    with asked(page) as found:
        for _ in range(3):
            moved(page, lambda: page.click("#later"))
        moved(page, lambda: page.click("#nearer"))
    oldest = min(start for start, _ in back)
    assert all(end < oldest for _, end in windows(found, "day"))  # only what is read ahead
    assert page.locator("#range").input_value() == "45"


def test_what_is_asked_for_is_bounded(tabs, instance):
    tab = tabs()
    weeks_and_days(tab.page, instance, PATIENT)
    assert not tab.complaints


@pytest.mark.slow
def test_five_years_of_a_patient(tabs, instance):
    if not instance.get(f"Patient?_id={long.PATIENT}&_summary=count")["total"]:
        long.put(instance, today() - timedelta(days=1))
    tab = tabs()
    weeks_and_days(tab.page, instance, long.PATIENT)
    actogram(tab.page)
    assert not tab.complaints


def actogram(page: Page) -> None:
    """Open the actogram over all years and go to the first day: what is read is what is in view."""
    page.select_option("#range", "1826")
    until(page, WEEKS)
    with asked(page) as found:
        page.click("#actogram summary")
        page.wait_for_selector(".acto-view[data-whole]")
    assert 1 <= len(windows(found, "five-minutes")) <= 4
    view = page.locator(".acto-view")
    assert int(view.get_attribute("aria-valuemax")) > 1800
    with asked(page) as found:
        view.focus()
        page.keyboard.press("Home")
        until(page, "() => document.querySelector('#acto-readout').innerText.includes('measured')")
    first = windows(found, "five-minutes")
    assert 1 <= len(first) <= 4
    assert all(end < str(today() - timedelta(days=1700)) for _, end in first)


def test_a_span_is_chosen_by_keys_and_by_dragging(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    page.locator(".lanes").focus()
    page.keyboard.press("Home")
    shown = points(page)
    moved(page, lambda: page.keyboard.press("+"))
    assert points(page) < shown
    moved(page, lambda: page.keyboard.press("-"))
    moved(page, lambda: page.keyboard.press("Shift+ArrowLeft"))
    assert page.locator("#later").is_enabled()
    box = page.locator("#lane-steps .u-over").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 20)

    def drag() -> None:
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 30, steps=4)
        page.mouse.up()

    before = points(page)
    moved(page, drag)
    assert 14 <= points(page) <= before / 2
    assert not page.locator("dialog").is_visible()  # a drag is no click


def test_days_that_cannot_be_read_say_so_and_are_asked_for_again(tabs, instance):
    page = tabs().page
    open_twin(page, instance)
    shown = page.inner_text("#span")
    page.route("**/fhir/Patient/*/$timeline?*resolution=week*", lambda route: route.abort())
    page.select_option("#range", "1826")
    page.wait_for_selector("#axis [role=alert]")
    assert page.inner_text("#span") == shown  # what was there stays
    page.unroute("**/fhir/Patient/*/$timeline?*resolution=week*")
    page.select_option("#range", "90")
    page.select_option("#range", "1826")
    until(page, WEEKS)
    assert not page.locator("#axis [role=alert]").count()
