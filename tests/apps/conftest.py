"""A running instance with a few demo patients, and Debian's chromium driven by Playwright."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from fhir_server.cli import demo_apps, demo_users, services
from fhir_server.kit import clock
from fhir_server.kit import json as kit_json
from fhir_server.settings import Settings
from tests.fire.instance import PYTHON, ROOT, Up, up
from workers.demo import generate

PATIENTS = 6
ZONE = "Europe/Berlin"
"""Where the readers are."""
NOW = clock.now()
"""What their clocks say while tests run: no midnight falls between what a page asks for and what a test expects."""
DAYS = 90
"""As many days as a demo patient has; the doctor of the demo cares for the even numbers, the patient is the first."""


@dataclass(frozen=True)
class Instance:
    """Where it answers, who can sign in, and a token that reads everything."""

    origin: str
    passwords: dict[str, str]
    headers: dict[str, str]
    console: dict[str, str]
    """The client of who manages clients."""
    data: Path
    """Where it lies."""

    @property
    def administrator(self) -> dict[str, str]:
        """Headers of who manages clients, with a token of now: they last for minutes, the instance for all tests."""
        return taken(self.origin, "__admin", self.console)

    def get(self, path: str) -> dict[str, Any]:
        answer = httpx.get(f"{self.origin}/fhir/{path}", headers=self.headers, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def find(self, query: str) -> list[dict[str, Any]]:
        return [entry["resource"] for entry in self.get(query).get("entry", [])]


def over(data: Path) -> Instance:
    """Return an instance that runs already, with the demo in it."""
    port = json.loads((data / "instance.json").read_text())["port"]
    users = demo_users.prepare(Settings(data=data, port=port))
    running = Up(None, data, port, {**os.environ, "PYTHONPATH": str(ROOT)})  # type: ignore[arg-type]
    passwords = {user.login: user.password for user in users}
    return Instance(f"http://127.0.0.1:{port}", passwords, bearer(running, "system/*.cruds"), console(running), data)


def bearer(running: Up, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {running.token(scope)}"}


def console(running: Up) -> dict[str, str]:
    """Return the client of a console, registered on the machine as docs/administration.md has it."""
    words = ("--name", "console", "--scope", "__admin", "--json", "--data", str(running.data))
    command = [*PYTHON, "clients", "add", *words]
    done = subprocess.run(command, env=running.environment, check=True, capture_output=True, text=True)
    made: dict[str, str] = json.loads(done.stdout)
    return made


def taken(origin: str, scope: str, client: dict[str, str]) -> dict[str, str]:
    """Return the headers of a client that proves itself by its secret."""
    answer = httpx.post(
        f"{origin}/oauth2/token", data={"grant_type": "client_credentials", "scope": scope},
        auth=(client["client_id"], client["client_secret"]), timeout=60,
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """A new instance with a few patients; `TEST_APPS_DATA` names the data folder of one that runs instead."""
    if given := os.environ.get("TEST_APPS_DATA"):
        yield over(Path(given))
        return
    data = tmp_path_factory.mktemp("apps") / "data"
    limits = {
        "RATE_LIMITS": "register=none"
    }  # the apps of all files register from one address; an hour's budget is of others
    with up(data, "--no-demo", "--processes", "1", **limits) as running:
        origin, headers = f"http://127.0.0.1:{running.port}", bearer(running, "system/*.cruds")
        settings = Settings(data=data, port=running.port)
        with httpx.Client(base_url=f"{origin}/fhir", headers=headers, timeout=120) as client:
            end = NOW.date() - timedelta(days=1)
            for bundle in generate.generate(1, patients=PATIENTS, days=DAYS, end=end):
                body = kit_json.encode(bundle)
                answer = client.post("", content=body, headers={"Content-Type": "application/fhir+json"})
                assert answer.status_code == 200, answer.text[:500]
            with services.for_command(settings) as ready:
                users = demo_users.prepare(ready)
                demo_apps.prepare(ready)
            _wait_for_twins(client)
        passwords = {user.login: user.password for user in users}
        yield Instance(origin, passwords, headers, console(running), data)


def _wait_for_twins(client: httpx.Client) -> None:
    until = time.monotonic() + 300
    for number in range(1, PATIENTS + 1):
        while client.get(f"/Patient/demo-{number:03}/$twin", params={"wait": "30"}).status_code != 200:
            assert time.monotonic() < until, "the twins were not computed in time"


def chromium() -> str:
    """Return the path of a chromium: that of this machine, or one that root may install; skipped by name without either."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-qq", "chromium"], check=False, capture_output=True)
        if found := shutil.which("chromium"):
            return found
    pytest.skip("no chromium on PATH: apt-get install chromium")


@pytest.fixture(scope="module")
def browser(instance: Instance) -> Iterator[Browser]:
    """Chromium for the tests of a file; Playwright's event loop runs as long, so nothing else may want one meanwhile."""
    _ = instance  # is made before, for it needs a loop of its own
    path = chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page of a browser of its own, and what its console complained of."""

    page: Page
    context: BrowserContext
    complaints: list[str]


@pytest.fixture
def tabs(browser: Browser, instance: Instance) -> Iterator[Callable[..., Tab]]:
    """Make browsers with cookies of their own, in light or dark, in a language."""
    made: list[BrowserContext] = []

    def make(scheme: str = "light", locale: str = "en-GB", width: int = 1360) -> Tab:
        tab = opened(browser, instance, scheme, locale, width)
        tab.context.clock.set_fixed_time(NOW)
        made.append(tab.context)
        return tab

    yield make
    for context in made:
        context.close()


def opened(
    browser: Browser, instance: Instance, scheme: str = "light", locale: str = "en-GB", width: int = 1360
) -> Tab:
    """Open a browser with cookies and a clock of its own."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, locale=locale, base_url=instance.origin,
        timezone_id=ZONE,
    )  # fmt: skip
    context.set_default_timeout(120_000)
    tab = Tab(context.new_page(), context, [])
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on("console", lambda said: tab.complaints.append(said.text) if _bad(said) else None)
    return tab


def _bad(said: Any) -> bool:
    """Tell whether a line of the console is a complaint: a policy that was broken, an error of a script."""
    return said.type == "error" and "Failed to load resource" not in said.text


def today() -> date:
    """Return the day that the browser has, to the end of the tests: near midnight another than that of UTC."""
    return NOW.astimezone(ZoneInfo(ZONE)).date()


def sign_in(page: Page, instance: Instance, login: str = "dr-demo") -> None:
    page.wait_for_selector("input[name=login]")
    page.fill("input[name=login]", login)
    page.fill("input[name=password]", instance.passwords[login])
    page.click("main button")


def choose(page: Page, instance: Instance, patient: str) -> None:
    """Choose a patient by their id on the page of the authorization server."""
    page.locator(f"form:has(input[name=patient][value='{patient}']) button").click()


def allow(page: Page) -> None:
    page.click("button[name=decision][value=allow]")


def open_twin(page: Page, instance: Instance, patient: str = "demo-002") -> None:
    """Open the twin app by its address, sign in, choose, allow."""
    page.goto("/apps/twin/")
    page.click("#again")
    sign_in(page, instance)
    choose(page, instance, patient)
    allow(page)
    page.wait_for_selector("#app[data-ready]")
