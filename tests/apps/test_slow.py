"""The twin over a slow network and without motion: never blank, progress in words, nothing asked twice, nothing that moves."""

from __future__ import annotations

from collections import Counter
from urllib.parse import urlsplit

from playwright.sync_api import Page

from tests.apps.conftest import allow, choose, open_twin, sign_in
from tests.apps.test_twin import PATIENT

LATENCY = 200
"""Added to each answer, in ms."""
WATCH = """() => {
  window.frames_ = 0; window.blank = 0; window.lost = 0; window.moving = 0; window.said = [];
  const frame = () => {
    if (location.pathname.startsWith("/apps/") && document.body) {
      const app = document.querySelector("#app");
      window.frames_ += 1;
      if (!document.body.innerText.trim()) window.blank += 1;
      const there = document.querySelector(".lanes canvas") && document.querySelector("li[data-feature]");
      if (app?.dataset.ready && !there) window.lost += 1;
      window.moving = Math.max(window.moving, document.getAnimations().length);
      for (const each of document.querySelectorAll("[role=status], [aria-busy=true]")) window.said.push(each.innerText.trim());
    }
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


def seen(page: Page) -> dict[str, int]:
    """Return what was counted since the page was opened: frames, those without a word, those without the twin once it stood."""
    return page.evaluate("() => ({frames: window.frames_, blank: window.blank, lost: window.lost})")


def test_with_200_ms_to_each_answer_it_is_never_blank_and_asks_once(tabs, instance):
    tab = tabs()
    page = tab.page
    page.add_init_script(f"({WATCH})()")
    line = tab.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": LATENCY, "downloadThroughput": -1, "uploadThroughput": -1},
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    page.goto("/apps/twin/")
    page.dblclick("#again")  # the page stays until the server has answered
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    allow(page)
    page.wait_for_selector("#app[data-ready]")
    paths = Counter(urlsplit(each.split(" ")[1]).path for each in asked)
    assert paths["/oauth2/token"] == 1
    assert len([each for each in asked if each.startswith("GET") and "/oauth2/authorize?" in each]) == 1
    words = page.evaluate("() => [...new Set(window.said)]")
    assert "Reading the record …" in words

    before = page.inner_text("#span")
    page.select_option("#range", "1826")
    page.wait_for_selector("#axis [role=status]")
    assert page.inner_text("#span") == before  # what was there stays until the rest has come
    page.select_option("#period", "14")  # of days that are here already: at once, and beside what is on its way
    assert "14" in page.locator("#period").input_value()
    assert page.locator("li[data-feature]").count()
    page.wait_for_function("before => document.querySelector('#span').innerText !== before", arg=before)
    assert not page.locator("#axis [role=status]").count()
    page.click("#actogram summary")
    page.wait_for_selector("#actogram [role=status]")
    page.wait_for_selector(".acto-view[data-whole]")

    counted = seen(page)
    assert counted["frames"] > 20
    assert (counted["blank"], counted["lost"]) == (0, 0)
    reads = Counter(each for each in asked if "/fhir/" in each)
    assert len(reads) > 10
    assert [each for each, times in reads.items() if times > 1] == []
    assert not tab.complaints


def test_who_wants_less_motion_sees_none(tabs, instance):
    page = tabs().page
    page.add_init_script(f"({WATCH})()")

    def walk() -> int:
        """Do what could move something, and return how much moved at once."""
        page.locator("li[data-feature] button").first.click()
        page.wait_for_selector("dialog .sources")
        page.wait_for_timeout(100)
        page.keyboard.press("Escape")
        page.evaluate("() => document.documentElement.dataset.theme = 'dark'")
        page.hover("#print")
        page.select_option("#range", "30")
        page.select_option("#range", "90")
        page.click("#actogram summary")
        page.wait_for_timeout(100)
        return int(page.evaluate("() => window.moving"))

    page.emulate_media(reduced_motion="reduce")
    open_twin(page, instance)
    assert walk() == 0
    smooth = "() => [...document.querySelectorAll('*')].filter(each => getComputedStyle(each).scrollBehavior === 'smooth').length"
    assert page.evaluate(smooth) == 0
    page.emulate_media(reduced_motion="no-preference")
    page.reload()
    page.wait_for_selector("#app[data-ready]")
    assert walk() > 0  # the panel slides in: the walk would have seen it
