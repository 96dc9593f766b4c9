"""The actogram of the clinician's twin: what it draws and tells is what the server says, and only what is in view is asked for."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page

from tests.apps.conftest import Instance, open_twin, today
from tests.apps.test_twin import PATIENT, states

BINS = 288
COLOURS = """([row, bins]) => {
  const canvas = document.querySelector(".acto-canvas"), ctx = canvas.getContext("2d");
  const [left, top, tall, bar, wide] = [58, 20, 20, 15, canvas.clientWidth - 60];
  return bins.map(bin => {
    const at = [left + (bin + 0.5) / 576 * wide, top + row * tall + bar - 1].map(each => Math.floor(each * devicePixelRatio));
    return [...ctx.getImageData(at[0], at[1], 1, 1).data].join();
  });
}"""
"""What colour the foot of a bar has, in a row of the view, by parts from the left."""


def parts(parameter: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in parameter["part"] if each["name"] == name)


def told(instance: Instance, day: date, resolution: str, stream: str, days: int = 1) -> list[float | None]:
    """Return the sums that the server says of a stream; None where it knows nothing."""
    query = f"start={day}&end={day + timedelta(days=days - 1)}&resolution={resolution}&include=signal&series={stream}"
    answer = instance.get(f"Patient/{PATIENT}/$timeline?{query}")
    signal = next(each for each in answer["parameter"] if each["name"] == "signal")
    sampled = parts(parts(signal, "total"), "points")["valueSampledData"]
    return [None if text == "E" else float(text) for text in sampled["data"].split()]


def opened(page: Page, instance: Instance) -> None:
    """Open the actogram and wait for the days in view."""
    open_twin(page, instance)
    page.click("#actogram summary")
    page.wait_for_selector(".acto-view[data-whole]")


def table(page: Page) -> dict[date, dict[str, str]]:
    """Return the table of the days in view: total and texts by day."""
    page.click(".acto-table summary")
    page.wait_for_selector(".acto-table tbody tr")
    rows = page.eval_on_selector_all(
        ".acto-table tbody tr",
        "rows => rows.map(row => [row.dataset.date, row.dataset.total, ...[...row.cells].map(cell => cell.innerText)])",
    )
    return {date.fromisoformat(day): dict(zip(("total", *COLUMNS), texts, strict=True)) for day, *texts in rows}


NONE = "\u2013"
"""A dash: nothing is known, or from one time to another."""
COLUMNS = ("day", "sum", "sleep", "m10", "l5", "off")


def clock(hours: float) -> str:
    minutes = round(hours * 60) % 1440
    return f"{minutes // 60:02}:{minutes % 60:02}"


def test_the_table_says_what_the_server_says(tabs, instance):
    tab = tabs()
    page = tab.page
    opened(page, instance)
    found, known = table(page), states(instance)
    days = sorted(found)
    assert days == [days[-1] - timedelta(days=back) for back in range(27, -1, -1)]
    assert days[-1] == max(known)
    stream = page.locator(".acto-view").get_attribute("data-stream")
    sums = told(instance, days[0], "day", stream, len(days))
    assert len([each for each in sums if each]) >= 20
    for day, expected in zip(days, sums, strict=True):
        row = found[day]
        assert (float(row["total"]) if row["total"] else None) == pytest.approx(expected, rel=1e-4)
        numbers = known.get(day, {})
        for name, code, length in (("m10", "m10-onset", 10), ("l5", "l5-onset", 5)):
            onset = numbers.get(code)
            assert row[name] == (NONE if onset is None else f"{clock(onset)}{NONE}{clock(onset + length)}")
    assert any("not worn" in row["off"] or "no data" in row["off"] for row in found.values())
    assert "Usually most active at" in page.inner_text("#actogram")
    page.locator(".acto-table tbody button").last.click()
    page.wait_for_selector("dialog .facts")
    assert days[-1].isoformat() in page.inner_text("dialog")
    assert not tab.complaints


def test_a_day_is_drawn_twice_and_what_is_not_known_is_no_bar(tabs, instance):
    page = tabs().page
    opened(page, instance)
    stream = page.locator(".acto-view").get_attribute("data-stream")
    first = today() - timedelta(days=28)
    flat = told(instance, first, "five-minutes", stream, 10)
    rows = [flat[on * BINS : (on + 1) * BINS] for on in range(10)]
    on = next(at for at, row in enumerate(rows) if at and None in row and any(row))
    most = max(range(BINS), key=lambda bin_: rows[on][bin_] or 0)
    gaps = [bin_ for bin_ in range(BINS) if rows[on][bin_] is None]
    bar = page.evaluate(COLOURS, [on, [most]])
    assert bar == page.evaluate(COLOURS, [on - 1, [most + BINS]])  # the day again, beside the day before it
    assert bar[0].endswith(",255")
    assert bar[0] not in page.evaluate(COLOURS, [on, gaps])
    page.uncheck("#twice")
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.evaluate(COLOURS, [on, [2 * most + 0.5]]) == bar  # a part is twice as wide


def test_days_and_times_are_walked_with_the_keyboard(tabs, instance):
    page = tabs().page
    opened(page, instance)
    view, last = page.locator(".acto-view"), max(states(instance))
    view.focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Shift+ArrowRight")
    text = view.get_attribute("aria-valuetext")
    assert str((last - timedelta(days=1)).day) in text
    assert f"13:00{NONE}13:05" in text
    assert "M10" in text
    page.keyboard.press("Home")  # scrolls, and reads what comes into view
    page.wait_for_function("() => document.querySelector('.acto-view').scrollTop === 0")
    page.wait_for_function("() => document.querySelector('#acto-readout').innerText.includes('measured')")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .facts")
    assert last.isoformat() in page.inner_text("dialog")


def test_it_reads_when_it_is_opened_what_is_in_view_and_tries_again(tabs, instance):
    page = tabs(locale="de-DE").page
    asked: list[str] = []
    pattern = "**/fhir/Patient/*/$timeline?*resolution=five-minutes*"
    page.route(pattern, lambda route: (asked.append(route.request.url), route.abort()))
    open_twin(page, instance)
    assert not asked
    assert "Aktogramm" in page.inner_text("#actogram summary")
    page.click("#actogram summary")
    page.wait_for_selector("#actogram [role=alert]")
    page.unroute(pattern)
    page.click("#acto-again")
    page.wait_for_selector(".acto-view[data-whole]")
    windows = [parse_qs(urlsplit(url).query)["start"][0] for url in asked]
    assert len(windows) == len(set(windows)) <= 4  # ten days each: of the 90 days of the axis only those in view
    assert "nicht getragen" in page.inner_text("#actogram .legend")
