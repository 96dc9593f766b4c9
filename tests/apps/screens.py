"""Takes the pictures of `docs/screens` anew: `python -m tests.apps.screens DATA [walk|twin|notes|ehr|admin|list|mine|years ...]`.

DATA is the data folder of an instance that runs; without names all are taken but `years`, for which `tests.apps.long` puts a
patient of five years there first. They are kept small (`shrink.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import httpx
from playwright.sync_api import Browser, Page, sync_playwright

from tests.apps import long
from tests.apps.conftest import Instance, allow, choose, chromium, open_twin, over, sign_in
from tests.apps.shrink import shrunk
from tests.apps.test_admin import open_admin
from tests.apps.test_ehr import five
from tests.apps.test_notes import open_notes

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screens"
PATIENT = "demo-002"
Walk: TypeAlias = Callable[[Page, Instance, str], None]


def picture(page: Page, name: str, *, full: bool = True) -> None:
    page.wait_for_timeout(400)  # until panels have slid in
    keep(page, page.screenshot(full_page=full), name)


def keep(page: Page, png: bytes, name: str) -> None:
    """Write a picture, small."""
    blank = page.context.browser.new_page()  # type: ignore[union-attr]  # a context that a browser made has one
    (FOLDER / f"{name}.png").write_bytes(shrunk(png, blank))
    blank.context.close()


def walk(page: Page, instance: Instance, scheme: str) -> None:
    """Take the five clicks of README, each with a ring around what is clicked."""
    page.set_viewport_size({"width": 1180, "height": 760})
    seen: list[str] = []

    def ringed(where: Page, button: str) -> None:
        if where is not page:
            where.set_viewport_size({"width": 560, "height": 760})
        where.wait_for_timeout(1200)  # alerts and visits have come
        ring = "each => Object.assign(each.style, {outline: '4px solid #e5484d', outlineOffset: '4px'})"
        where.eval_on_selector(button, ring)
        where.locator(button).scroll_into_view_if_needed()
        seen.append(button)
        picture(where, f"walk-{len(seen)}-{scheme}", full=False)
        where.eval_on_selector(button, "each => { each.style.outline = ''; }")

    five(page, instance, ringed)
    picture(page, f"walk-6-{scheme}", full=False)


def admin(page: Page, instance: Instance, scheme: str) -> None:
    wanted = {
        "client_name": "Sleep diary", "scope": "launch/patient openid fhirUser offline_access patient/Observation.rs",
        "redirect_uris": ["https://diary.example/callback"], "launch_url": "https://diary.example/launch",
        "contacts": ["ida@diary.example"], "client_uri": "https://diary.example/", "token_endpoint_auth_method": "none",
    }  # fmt: skip
    made = httpx.post(f"{instance.origin}/oauth2/register", json=wanted, timeout=60).json()
    open_admin(page, instance)
    card = page.locator(f"article[data-client='{made['client_id']}']")
    card.locator("input[name=offline_access]").uncheck()
    card.scroll_into_view_if_needed()
    picture(page, f"admin-{scheme}", full=False)
    headers = {"Authorization": f"Bearer {made['registration_access_token']}"}
    httpx.delete(made["registration_client_uri"], headers=headers, timeout=60)


def years(page: Page, instance: Instance, scheme: str) -> None:
    open_twin(page, instance, long.PATIENT)
    page.select_option("#range", str(long.DAYS))
    page.wait_for_function("() => document.querySelector('#axis h2').innerText.includes('weeks')")
    page.wait_for_timeout(1500)
    page.evaluate("document.activeElement.blur()")
    keep(page, page.locator("section.axis").screenshot(), f"twin-years-{scheme}")


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
    keep(page, page.locator("#actogram").screenshot(), f"twin-actogram-{scheme}")
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
    page.wait_for_selector("select[name=encounter] option:nth-child(2)", state="attached")
    with page.expect_popup() as opened:
        page.click("#go")
    frame = page.frame_locator("#stage")
    opened.value.wait_for_selector("button[value=allow]")
    picture(opened.value, f"consent-{scheme}")
    allow(opened.value)
    frame.locator("#app[data-ready]").wait_for()
    page.wait_for_timeout(1500)
    picture(page, f"ehr-launch-{scheme}", full=False)
    page.locator("li[data-step=authorize] summary").first.click()
    page.wait_for_timeout(400)
    keep(page, page.locator(".flow").screenshot(), f"ehr-flow-{scheme}")
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


WALKS: dict[str, Walk] = {
    "walk": walk, "twin": twin, "notes": notes, "ehr": ehr, "admin": admin, "list": caseload, "mine": mine, "years": years,
}  # fmt: skip


def main() -> None:
    instance = over(Path(sys.argv[1]))
    names = sys.argv[2:] or [name for name in WALKS if name != "years"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            shoot(browser, instance, scheme, [WALKS[name] for name in names])
        browser.close()


if __name__ == "__main__":
    main()
