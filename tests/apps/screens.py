"""Takes the pictures of `docs/screens` anew: `python -m tests.apps.screens DATA [twin|ehr|list|mine ...]`.

DATA is the data folder of an instance that runs; without names all are taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from playwright.sync_api import Browser, Page, sync_playwright

from tests.apps.conftest import Instance, allow, choose, chromium, open_twin, over, sign_in
from tests.apps.test_notes import open_notes

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screens"
PATIENT = "demo-002"
Walk: TypeAlias = Callable[[Page, Instance, str], None]


def picture(page: Page, name: str, *, full: bool = True) -> None:
    page.wait_for_timeout(400)  # until panels have slid in
    page.screenshot(path=FOLDER / f"{name}.png", full_page=full)


def twin(page: Page, instance: Instance, scheme: str) -> None:
    page.goto("/apps/twin/")
    page.wait_for_selector("#again")
    picture(page, f"twin-without-launch-{scheme}", full=False)
    open_twin(page, instance, PATIENT)
    page.locator(".lanes").focus()
    page.keyboard.press("End")
    page.locator("body").click(position={"x": 5, "y": 200})
    page.evaluate("document.activeElement.blur()")
    picture(page, f"twin-{scheme}")
    page.click("#actogram summary")
    page.wait_for_selector(".acto-view[data-whole]")
    page.locator("#actogram").screenshot(path=FOLDER / f"twin-actogram-{scheme}.png")
    page.click("#actogram summary")
    page.locator(".lanes").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog .facts")
    picture(page, f"twin-sources-{scheme}", full=False)


def ehr(page: Page, instance: Instance, scheme: str) -> None:
    page.goto("/apps/ehr/")
    page.wait_for_selector("#again")
    picture(page, f"ehr-sign-in-{scheme}", full=False)
    page.click("#again")
    sign_in(page, instance)
    allow(page)
    page.wait_for_selector("#app[data-ready] form")
    page.select_option("#launch select[name=patient]", PATIENT)
    page.wait_for_function("document.querySelectorAll('select[name=encounter] option').length > 1")
    with page.expect_popup() as opened:
        page.click("#go")
    frame = page.frame_locator("#stage")
    opened.value.wait_for_selector("button[value=allow]")
    opened.value.screenshot(path=FOLDER / f"consent-{scheme}.png", full_page=True)
    allow(opened.value)
    frame.locator("#app[data-ready]").wait_for()
    page.locator("li[data-step=token] summary").first.click()
    picture(page, f"ehr-launch-{scheme}")
    probe(page, instance, scheme)


def caseload(page: Page, instance: Instance, scheme: str) -> None:
    page.goto("/apps/list/")
    page.click("#again")
    sign_in(page, instance)
    allow(page)
    page.wait_for_selector("#app[data-ready]")
    page.locator("button[data-patient][tabindex='0']").focus()
    picture(page, f"list-{scheme}")


def mine(page: Page, instance: Instance, scheme: str) -> None:
    page.goto("/apps/mine/")
    page.click("#again")
    sign_in(page, instance, "patient-demo")
    allow(page)
    page.wait_for_selector("#app[data-ready]")
    picture(page, f"mine-{scheme}")


def notes(page: Page, instance: Instance, scheme: str) -> None:
    open_notes(page, instance)
    page.click("#draft")
    page.wait_for_selector("#sign", timeout=60_000)
    picture(page, f"notes-draft-{scheme}")
    page.locator("#section-course .cite").first.click()
    page.wait_for_selector("dialog .facts")
    picture(page, f"notes-source-{scheme}", full=False)


def probe(page: Page, instance: Instance, scheme: str) -> None:
    page.goto("/apps/ehr/")
    page.wait_for_selector("#app[data-ready] form")
    page.select_option("#probe select[name=fault]", "verifier")
    with page.expect_popup() as opened:
        page.click("#run")
    choose(opened.value, instance, PATIENT)
    allow(opened.value)
    page.wait_for_selector(".verdict [data-ok]")
    picture(page, f"ehr-fault-{scheme}")


def shoot(browser: Browser, instance: Instance, scheme: str, walks: Sequence[Walk]) -> None:
    """Walk through screens in one colour scheme, each walk in a browser of its own."""
    for walk in walks:
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, color_scheme=scheme, locale="en-GB", base_url=instance.origin
        )
        page = context.new_page()
        walk(page, instance, scheme)
        context.close()


WALKS: dict[str, Walk] = {"twin": twin, "notes": notes, "ehr": ehr, "list": caseload, "mine": mine}


def main() -> None:
    instance = over(Path(sys.argv[1]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shoot(browser, instance, scheme, [WALKS[name] for name in sys.argv[2:] or WALKS])
        browser.close()


if __name__ == "__main__":
    main()
