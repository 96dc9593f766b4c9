"""The actogram of the clinician's twin: every day twice, its sums those that the server tells by the day."""

from __future__ import annotations

import itertools
from datetime import timedelta
from typing import Any

import pytest

from tests.apps.conftest import Instance, open_twin, today
from tests.apps.test_twin import PATIENT, grave


def parts(parameter: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in parameter["part"] if each["name"] == name)


def by_day(instance: Instance, stream: str) -> list[float]:
    """Return what the server sums up by the day, where nothing is known 0."""
    end = today()
    query = f"start={end - timedelta(days=28)}&end={end - timedelta(days=1)}&resolution=day&series={stream}"
    answer = instance.get(f"Patient/{PATIENT}/$timeline?{query}")
    signal = next(each for each in answer["parameter"] if each["name"] == "signal")
    sampled = parts(parts(signal, "total"), "points")["valueSampledData"]
    return [0.0 if text == "E" else float(text) for text in sampled["data"].split()]


def opened(page, instance) -> list[dict[str, Any]]:
    """Open the actogram and return its rows: day, sum, outlines of the two days."""
    open_twin(page, instance)
    page.click("#actogram summary")
    page.wait_for_selector(".acto-row")
    return page.eval_on_selector_all(
        ".acto-row",
        """rows => rows.map(row => ({date: row.dataset.date, sum: Number(row.dataset.sum),
        days: [...row.querySelectorAll(".acto-bar")].map(each => each.getAttribute("d")),
        gaps: row.querySelectorAll(":scope > .acto-gap").length}))""",
    )


def test_each_day_stands_twice_and_sums_to_what_the_server_says(tabs, instance):
    tab = tabs()
    rows = opened(tab.page, instance)
    last = today()
    assert [row["date"] for row in rows] == [str(last - timedelta(days=back)) for back in range(28, 0, -1)]
    assert all(row["days"][1] == following["days"][0] for row, following in itertools.pairwise(rows))
    assert len(rows[-1]["days"]) == 1
    told = by_day(instance, tab.page.locator(".acto-plot").get_attribute("data-stream"))
    whole = [(row["sum"], sum_) for row, sum_ in zip(rows, told, strict=True) if not row["gaps"]]
    assert len(whole) >= 10  # days without a gap
    for drawn, sum_ in whole:
        assert drawn == pytest.approx(sum_, rel=1e-4)
    assert "Usually most active at" in tab.page.inner_text("#actogram")
    assert not tab.complaints


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(tabs, instance, scheme):
    page = tabs(scheme).page
    opened(page, instance)
    assert not grave(page)


def test_it_reads_when_it_is_opened_and_tries_again(tabs, instance):
    page = tabs(locale="de-DE").page
    asked: list[str] = []
    page.route(
        "**/fhir/Patient/*/$timeline?*include=signal*", lambda route: (asked.append(route.request.url), route.abort())
    )
    open_twin(page, instance)
    assert not asked
    assert "Aktogramm" in page.inner_text("#actogram summary")
    page.click("#actogram summary")
    page.wait_for_selector("#actogram .bad")
    page.unroute("**/fhir/Patient/*/$timeline?*include=signal*")
    page.click("#actogram summary")
    page.click("#actogram summary")
    page.wait_for_selector(".acto-row")
    assert len(asked) == 1
