"""The page of administrators: an app is approved there for less than it asked and launched; refusals, disabling, strangers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from tests.apps.conftest import Instance, allow, sign_in
from tests.apps.test_ehr import open_ehr, prepared
from tests.apps.test_register import SCOPE, App, app, register
from tests.apps.test_twin import PATIENT, grave

__all__ = ["app"]
MORE = f"{SCOPE} patient/Observation.cruds offline_access"


def open_admin(page: Page, instance: Instance, login: str = "admin-demo") -> None:
    page.goto("/apps/admin/")
    page.click("#again")
    sign_in(page, instance, login)
    allow(page)


@pytest.fixture
def admin(tabs: Callable[..., Any], instance: Instance) -> Page:
    page: Page = tabs().page
    open_admin(page, instance)
    page.wait_for_selector("#app[data-ready]")
    return page


def asked(instance: Instance, **more: Any) -> dict[str, Any]:
    """Ask for an app as any program may; return what was answered."""
    wanted = {"client_name": "Diary", "redirect_uris": ["http://localhost:4000/back"], "scope": MORE,
              "token_endpoint_auth_method": "none", "contacts": ["ida@diary.example"]} | more  # fmt: skip
    answer = httpx.post(f"{instance.origin}/oauth2/register", json=wanted, timeout=60)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def standing(made: dict[str, Any]) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {made['registration_access_token']}"}
    said: dict[str, Any] = httpx.get(made["registration_client_uri"], headers=headers, timeout=60).json()
    return said


def test_an_app_from_the_simulator_is_approved_for_less_and_launched(tabs, instance, admin, app: App):
    ehr = tabs().page
    open_ehr(ehr, instance)
    register(
        ehr,
        name="Sleep of Ida",
        redirects=f"{app.origin}/back",
        launch=f"{app.origin}/launch",
        scope=MORE,
        contact="Ida",
    )
    made = ehr.locator("#register .registered")
    made.wait_for()
    app.client_id = made.get_attribute("data-client") or ""
    assert "/apps/admin/" in made.inner_text()
    admin.locator("#look").press("Enter")
    card = admin.locator(f"article[data-client='{app.client_id}']")
    card.wait_for()
    text = card.inner_text()
    for part in (
        "Sleep of Ida",
        "Ida (said by",
        "127.0.0.1",
        f"{app.origin}/back",
        "PKCE",
        "add, change and delete",
        "weigh this",
    ):
        assert part in text, text
    for scope in ("patient/Observation.cruds", "offline_access"):
        card.locator(f"input[name='{scope}']").press("Space")
    admin.get_by_role("button", name="Approve Sleep of Ida for 4 of 6 scopes").press("Enter")
    admin.get_by_text("Sleep of Ida is approved, for 4 of 6 scopes.").wait_for()
    assert admin.evaluate("document.activeElement.id") == "waiting-title"
    card.wait_for(state="detached")
    assert set(instance_scope(instance, app.client_id).split()) == set(SCOPE.split())
    made.get_by_role("button", name="Use it").press("Enter", timeout=120_000)
    prepared(ehr, "tab")
    with ehr.expect_popup() as opened:
        ehr.click("#go")
    allow(opened.value)
    opened.value.wait_for_selector(f"body#{PATIENT}", state="attached", timeout=60_000)
    row = admin.locator(f"li[data-client='{app.client_id}']")
    row.get_by_role("button", name="Disable Sleep of Ida").press("Enter")
    assert admin.evaluate("document.activeElement.dataset.act") == "yes"
    row.get_by_role("button", name="Cancel").press("Escape")  # asked once more before it is done
    row.get_by_role("button", name="Disable Sleep of Ida").press("Enter")
    row.locator("[data-act=yes]").press("Enter")
    admin.get_by_text("Sleep of Ida is disabled.").wait_for()
    ehr.click("#go")
    ehr.wait_for_selector("#launch .alarm")  # it is no client any more
    row.get_by_role("button", name="Enable Sleep of Ida").press("Enter")
    admin.get_by_text("Sleep of Ida is enabled.").wait_for()


def instance_scope(instance: Instance, client: str) -> str:
    answer = httpx.get(f"{instance.origin}/admin/clients/{client}", headers=instance.administrator, timeout=60)
    return str(answer.json()["scope"])


def test_a_refusal_tells_its_reason_and_a_decision_of_another_is_told(admin, instance):
    first, second = asked(instance), asked(instance, client_name="Gone")
    admin.click("#look")
    card = admin.locator(f"article[data-client='{first['client_id']}']")
    card.get_by_role("button", name="Refuse Diary").click()
    admin.keyboard.type("We do not know who you are.")
    card.locator("[data-act=yes]").press("Enter")
    admin.get_by_text("Diary is refused.").wait_for()
    said = standing(first)
    assert (said["registration_status"], said["registration_reason"]) == ("refused", "We do not know who you are.")
    gone = admin.locator(f"article[data-client='{second['client_id']}']")
    gone.wait_for()
    headers = instance.administrator
    answer = httpx.post(f"{instance.origin}/admin/clients/{second['client_id']}/refuse", headers=headers, timeout=60)
    assert answer.status_code == 204
    gone.locator("[data-act=approve]").click()
    assert "no client" in admin.locator("[role=alert]").inner_text()
    gone.wait_for(state="detached")


def test_nobody_else_sees_anything(tabs, instance):
    made, tab = asked(instance, client_name="Unseen"), tabs()
    page, sent = tab.page, []
    page.on("request", lambda request: sent.append(request.url))
    open_admin(page, instance, "dr-demo")
    page.wait_for_selector("[data-problem=stranger]")
    assert "for administrators" in page.inner_text("h1")
    assert "Unseen" not in page.inner_text("body")
    assert not [url for url in sent if "/admin/clients" in url]
    assert not grave(page)
    page.click("#again")  # asks who it is, whoever is signed in
    sign_in(page, instance, "admin-demo")
    allow(page)
    page.locator(f"article[data-client='{made['client_id']}']").wait_for()
    assert not tab.complaints


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
def test_axe_finds_nothing_serious(tabs, instance, locale):
    made = asked(instance, client_name="Axe")
    page = tabs(locale=locale).page
    page.goto("/apps/admin/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_admin(page, instance)
    card = page.locator(f"article[data-client='{made['client_id']}']")
    card.locator("[data-act=ask]").click()
    row = page.locator("li[data-client='clarity-twin']")
    row.locator("summary").click()
    row.locator("[data-act=ask]").click()
    assert not grave(page)
    title = page.inner_text("#waiting-title")
    assert title.startswith("Warten auf" if locale == "de-DE" else "Waiting for")
