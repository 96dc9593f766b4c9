"""The clinician's notes in a real browser: drafted, looked into, edited, signed."""

from __future__ import annotations

from typing import Any

import httpx

from tests.apps.conftest import Instance, allow, choose, sign_in
from tests.apps.test_twin import grave

PATIENT = "demo-002"


def open_notes(page, instance: Instance) -> None:
    """Open the notes app by its address, sign in, choose, allow."""
    page.goto("/apps/notes/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, PATIENT)
    allow(page)
    page.wait_for_selector("#app[data-ready] #draft")


def drafted(page) -> None:
    page.click("#draft")
    page.wait_for_selector("#sign", timeout=60_000)


def put(instance: Instance, resource: dict[str, Any]) -> None:
    address = f"{instance.origin}/fhir/{resource['resourceType']}/{resource['id']}"
    assert httpx.put(address, json=resource, headers=instance.headers, timeout=60).status_code == 200


def test_a_note_is_drafted_looked_into_edited_and_signed(tabs, instance):
    tab = tabs()
    page = tab.page
    open_notes(page, instance)
    drafted(page)
    told = page.inner_text("article")
    assert "Drafted by rules, without a language model." in told
    supported, _, statements = told[told.index("draft\n") :].split("statements", 1)[0].split()[-3:]
    assert int(supported) == int(statements) > 15
    cite = page.locator("#section-diagnoses .cite").first
    assert "Condition" in (cite.get_attribute("aria-label") or "")
    cite.click()
    page.wait_for_selector("dialog .facts")
    assert "As JSON" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    page.locator("#section-findings .cite").first.click()
    page.wait_for_selector("dialog .sources button")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Edit: What changed").click()
    box = page.locator("#section-course textarea")
    own = "Seen today, sleeps better."
    box.fill(f"{box.input_value()}\n{own}")
    assert page.locator("#sign").is_disabled()
    page.get_by_role("button", name="Keep").click()
    held = instance.find(f"Condition?patient={PATIENT}&_count=1")[0]
    put(instance, held | {"code": {"text": "Ménière's disease"}})  # after the draft: told before the note is signed
    page.click("#sign")
    page.wait_for_selector("#accept")
    assert "since the draft" in page.inner_text("p.alarm")
    assert "Diagnoses: " in page.inner_text("p.alarm")
    assert page.locator("#sign").is_disabled()
    put(instance, held)
    page.check("#accept")
    page.click("#sign")
    page.wait_for_selector(".mark[data-status=final]")
    assert own in page.inner_text("#section-course")
    assert "of the text was changed before it was signed" in page.inner_text("article")
    [found] = instance.find(f"DocumentReference?patient={PATIENT}&_tag=note&_sort=-_lastUpdated&_count=1")[:1]
    assert found["docStatus"] == "final"
    assert found["authenticator"]["reference"].startswith("Practitioner/")
    assert [each for each in tab.complaints if "422" not in each] == []  # the refusal, which the browser logs
    page.reload()
    page.locator(".known button").first.click()
    page.wait_for_selector(".mark[data-status=final]")


def test_axe_finds_nothing_serious(tabs, instance):
    page = tabs(locale="de-DE").page
    page.goto("/apps/notes/")
    page.wait_for_selector("#again")
    assert not grave(page)
    open_notes(page, instance)
    drafted(page)
    assert "Nach Regeln entworfen" in page.inner_text("article")
    assert not grave(page)
    page.locator("article section button").first.click()
    page.wait_for_selector("textarea")
    assert not grave(page)
