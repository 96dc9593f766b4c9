"""Takes the pictures of `docs/screens` anew: `python -m tests.apps.screens DATA`, over the data folder of an instance that runs."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.apps.conftest import Instance, allow, choose, chromium, open_twin, over, sign_in
from tests.apps.test_notes import open_notes

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screens"
PATIENT = "demo-002"


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
    page.click("#go")
    frame = page.frame_locator("#stage")
    with page.expect_popup() as opened:
        frame.locator("#again").click()
    opened.value.wait_for_selector("button[value=allow]")
    opened.value.screenshot(path=FOLDER / f"consent-{scheme}.png", full_page=True)
    allow(opened.value)
    frame.locator("#app[data-ready]").wait_for()
    page.locator("li[data-step=token] summary").first.click()
    picture(page, f"ehr-launch-{scheme}")


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


def shoot(browser: Browser, instance: Instance, scheme: str) -> None:
    """Walk through every screen in one colour scheme."""
    for walk in (twin, notes, ehr):
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, color_scheme=scheme, locale="en-GB", base_url=instance.origin
        )
        page = context.new_page()
        walk(page, instance, scheme)
        if walk is ehr:
            probe(page, instance, scheme)
        context.close()


def main() -> None:
    instance = over(Path(sys.argv[1]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shoot(browser, instance, scheme)
        browser.close()


if __name__ == "__main__":
    main()
