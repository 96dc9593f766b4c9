"""An app registered from the EHR simulator: refusals at their field, waiting, an administrator's decision, and its launch."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page

from fhir_server.kit import clock
from tests.apps.build import APPS
from tests.apps.conftest import Instance, allow, choose
from tests.apps.test_ehr import open_ehr, other, prepared, steps
from tests.apps.test_twin import PATIENT, grave

LIBRARY = APPS / "node_modules" / "fhirclient" / "build" / "fhir-client.min.js"
"""SMART's own library for browsers, as it is published."""
SCOPE = "launch openid fhirUser patient/Patient.rs"


def register(page: Page, **more: str) -> None:
    """Fill the form and send it; `more` by field."""
    if not page.locator("#register details[open]").count():
        page.click("#register summary")
    given = {"redirects": "https://app.example/back", "launch": "https://app.example/launch", "scope": SCOPE} | more
    for name, value in given.items():
        page.fill(f"#register [name={name}]", value)
    page.locator("#register button", has_text="Ask for it").press("Enter")


def decide(instance: Instance, client: str, how: str) -> None:
    answer = httpx.post(
        f"{instance.origin}/admin/clients/{client}/{how}", headers=instance.administrator, json={}, timeout=60
    )
    assert answer.status_code in (200, 204), answer.text


@pytest.fixture
def page(tabs: Callable[..., Any], instance: Instance) -> Page:
    page: Page = tabs().page
    open_ehr(page, instance)
    return page


class App(ThreadingHTTPServer):
    """An app at an origin of its own, on SMART's library: it asks for the launch, then shows whom it may read."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.client_id = ""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def script(self, path: str) -> str:
        if path == "/launch":
            asked = {
                "clientId": self.client_id,
                "scope": SCOPE,
                "redirectUri": f"{self.origin}/back",
                "completeInTarget": True,
            }
            return f"FHIR.oauth2.authorize({json.dumps(asked)})"
        shows = "p => { document.body.id = p.id }, e => { document.body.textContent = e }"
        return f"FHIR.oauth2.ready().then(c => c.patient.read()).then({shows})"


class Pages(BaseHTTPRequestHandler):
    server: App

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        script = self.server.script(path)
        body = f"<!doctype html><title>App</title><body><script src=/library.js></script><script>{script}</script>"
        sent = LIBRARY.read_bytes() if path == "/library.js" else body.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if path == "/library.js" else "text/html")
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def app() -> Iterator[App]:
    with App() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_app_is_registered_approved_and_launched(page, instance, app):
    register(page, name="Growth of Ida", redirects=f"{app.origin}/back", launch=f"{app.origin}/launch")
    made = page.locator("#register .registered")
    made.wait_for()
    client = made.get_attribute("data-client") or ""
    assert made.get_attribute("data-status") == "pending"
    for part in ("Growth of Ida", "waits for approval", f"clarity clients approve {client}"):
        assert part in made.inner_text()
    assert "register" in steps(page)
    other(page, client)
    page.click("#go")
    page.wait_for_selector("#launch .alarm")  # until then it is no client
    decide(instance, client, "approve")
    page.reload()  # the tab remembers what waits
    made.get_by_role("button", name="Use it").press("Enter", timeout=120_000)
    assert page.input_value("#launch select[name=known]") == client
    app.client_id = client
    prepared(page, "tab")
    with page.expect_popup() as opened:
        page.click("#go")
    assert "Growth of Ida" in opened.value.inner_text("main")
    allow(opened.value)
    opened.value.wait_for_selector(f"body#{PATIENT}", state="attached", timeout=60_000)
    made.get_by_role("button", name="Take it back").press("Enter")
    made.wait_for(state="detached")


def test_each_refusal_is_told_at_its_field(page):
    wrong = [
        ("redirects", {"redirects": "http://app.example/back"}, "a redirect URI is https"),
        ("scope", {"scope": "__admin"}, "given by the administrator"),
        ("launch", {"launch": "ftp://app.example/launch"}, "launch URL is https"),
        ("name", {"name": "left\u202eright"}, "visible characters"),
    ]
    for field, given, text in wrong:
        register(page, **({"name": "Wrong"} | given))
        page.wait_for_selector(f"#register [name={field}][aria-invalid=true]")
        assert text in page.inner_text(f"#reg-{field}[role=alert]")
        assert page.evaluate("document.activeElement.name") == field
        assert page.locator("#register [aria-invalid=true]").count() == 1
    assert page.locator("#register .registered").count() == 0
    assert not grave(page)


def test_a_secret_is_shown_once_and_a_refusal_is_told(page, instance):
    page.click("#register summary")
    page.select_option("#register select[name=method]", "client_secret_basic")
    register(page, name="Confidential")
    made = page.locator("#register .registered")
    made.wait_for()
    assert len(page.inner_text("#register [data-secret]")) > 20
    decide(instance, made.get_attribute("data-client"), "refuse")
    page.reload()
    page.wait_for_selector("#register [data-status=refused]", timeout=120_000)
    assert page.locator("#register [data-secret]").count() == 0
    assert "Ask again" in made.inner_text()
    made.get_by_role("button", name="Remove").press("Enter")
    made.wait_for(state="detached")


def test_a_client_that_proves_itself_by_a_key_runs_a_flow(page, instance):
    page.context.clock.set_fixed_time(clock.now())  # what the page signs is checked by the server's clock
    page.click("#register summary")
    page.select_option("#register select[name=method]", "private_key_jwt")
    page.fill("#register input[name=name]", "Signing")
    page.fill("#register input[name=scope]", "launch/patient openid online_access patient/*.rs")
    page.locator("#register button", has_text="Ask for it").press("Enter")  # answers come back to the simulator
    made = page.locator("#register .registered")
    made.wait_for()
    decide(instance, made.get_attribute("data-client"), "approve")
    made.get_by_role("button", name="Run a flow with it").press("Enter", timeout=120_000)
    assert page.is_checked("#probe input[value=key]")
    page.select_option("#probe select[name=fault]", "refresh")
    with page.expect_popup() as opened:
        page.locator("#run").press("Enter")
    choose(opened.value, instance, PATIENT)
    allow(opened.value)
    page.wait_for_selector(".verdict [data-ok=true]", timeout=120_000)
    sent = page.locator("li[data-step=token]").first
    sent.locator("summary").press("Enter")
    assert "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" in sent.inner_text()
    assert steps(page).count("refresh") == 2
