"""The cookie of a browser under attack: what it is good for, and everything that it is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from fhir_server.auth import tokens
from fhir_server.http.browse.session import cookie_name, kept_token, may_sign_in
from fhir_server.http.services import Services
from fhir_server.storage.tenants import Tenant
from tests.http.browse.inert import assert_inert
from tests.http.client import Caller, observation

PAGE = {"accept": "text/html"}
SAME = {"sec-fetch-site": "same-origin"}


class Browser:
    """Sends what a browser sends: cookies by hand, so that a test sees each."""

    def __init__(self, http: httpx.AsyncClient, tenant: Tenant, token: str) -> None:
        self.http = http
        self.tenant = tenant
        self.token = token
        self.base = tenant.base
        self.root = tenant.base.removeprefix("http://clarity.test")
        self.place = tenant.base.removesuffix("/fhir")
        self.cookie = {"cookie": f"clarity={token}"}

    async def sign_in(
        self, token: str | None = None, next_: str = "", headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send the form; the client that all tests share must not keep what comes back."""
        form = {"token": self.token if token is None else token, "next": next_}
        sent = SAME if headers is None else headers
        answer = await self.http.post(f"{self.place}/browse/sign-in", data=form, headers=sent)
        self.http.cookies.clear()
        return answer

    async def get(self, path: str, **headers: str) -> httpx.Response:
        sent = self.cookie | PAGE | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.get(f"{self.base}/{path}", headers=sent)


@pytest.fixture
async def browser(http: httpx.AsyncClient, tenant: Tenant) -> Browser:
    return Browser(http, tenant, await tokens.mint(tenant, "system/*.cruds"))


async def test_a_stranger_is_offered_to_sign_in(browser: Browser) -> None:
    answer = await browser.http.get(f"{browser.base}/Patient?name=x", headers=PAGE)
    assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    root = assert_inert(answer.text)
    [form] = root.findall(".//form")
    assert form.get("action") == f"{browser.root.removesuffix('/fhir')}/browse/sign-in"
    fields = {each.get("name"): each.get("value") for each in form.iter("input")}
    assert fields == {"token": None, "next": f"{browser.root}/Patient?name=x"}


async def test_signing_in_and_out(browser: Browser) -> None:
    done = await browser.sign_in(next_=f"{browser.root}/Patient?name=x")
    assert (done.status_code, done.headers["location"]) == (303, f"{browser.root}/Patient?name=x")
    first, *rest = [part.strip() for part in done.headers["set-cookie"].split(";")]
    assert first == f"clarity={browser.token}"
    attributes = dict(part.partition("=")[::2] for part in rest)
    seconds = int(attributes.pop("Max-Age"))
    assert 0 < seconds <= 3600
    assert attributes == {"Path": browser.root, "HttpOnly": "", "SameSite": "Strict"}
    page = await browser.get("Patient?name=x")
    assert page.status_code == 200
    assert "Sign out" in page.text
    assert browser.token not in page.text
    out = await browser.http.post(f"{browser.place}/browse/sign-out", headers=SAME | browser.cookie)
    assert out.status_code == 303
    assert f"clarity=; Path={browser.root}; Max-Age=0;" in out.headers["set-cookie"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": "http://clarity.test"},
        {"origin": "null", "referer": "http://clarity.test/fhir"},
    ],
)
async def test_only_our_own_forms_sign_in_and_out(browser: Browser, headers: dict[str, str]) -> None:
    """Nobody is signed in as somebody else, or out, by a page of another site."""
    for answer in (
        await browser.sign_in(headers=headers),
        await browser.http.post(f"{browser.place}/browse/sign-out", headers=headers),
    ):
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers
        assert_inert(answer.text)


@pytest.mark.parametrize(
    "next_",
    [
        "//evil.example/",
        "https://evil.example/",
        "/\\evil.example",
        "/fhir\\evil",
        "{root}evil",
        "{root}/../../evil",
        "{root}/./x",
        "{root}//evil.example",
        "{root}/\r\nSet-Cookie: a=b",
        "{root}/%0d%0a x",
        "/t/other/fhir/Patient",
        "javascript:alert(1)",
        "",
        "http://clarity.test{root}",
        "{root}@evil.example",
        '{root}/"><script>',
    ],
)
async def test_no_open_redirect(browser: Browser, next_: str) -> None:
    done = await browser.sign_in(next_=next_.format(root=browser.root))
    assert (done.status_code, done.headers["location"]) == (303, f"{browser.root}/metadata")
    assert len(done.headers.get_list("set-cookie")) == 1


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "x; Path=/", "x\r\nSet-Cookie: y=z", "<script>", "x" * 5000, "Bearer"]
)
async def test_what_is_no_token_is_not_kept(browser: Browser, token: str) -> None:
    answer = await browser.sign_in(token)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    root = assert_inert(answer.text)
    assert root.find(".//input[@name='token']") is not None
    assert "x; Path" not in answer.text


async def test_a_failed_sign_in_is_audited(browser: Browser, system: Caller) -> None:
    query = "AuditEvent?subtype=110122&outcome=4&_count=1000"
    before = len((await system.get(query)).json.get("entry", []))
    await browser.sign_in("a.b.c")
    assert len((await system.get(query)).json["entry"]) == before + 1


async def test_a_token_of_another_tenant_is_refused(browser: Browser, tenants: dict[str, Tenant]) -> None:
    [other] = [tenant for tenant in tenants.values() if tenant is not browser.tenant]
    foreign = await tokens.mint(other, "system/*.cruds")
    assert (await browser.sign_in(foreign)).status_code == 401
    answer = await browser.http.get(f"{browser.base}/Patient", headers=PAGE | {"cookie": f"clarity={foreign}"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "Patient", {"accept": "application/fhir+json"}),
        ("GET", "Patient", {"accept": "application/fhir+xml"}),
        ("GET", "Patient", {"accept": "*/*"}),
        ("GET", "Patient?_format=json", {}),
        ("GET", "Patient?_format=xml", {}),
        ("HEAD", "Patient?_format=json", {}),
        ("POST", "Patient", {}),
        ("POST", "", {}),
        ("POST", "Patient/_search", {"content-type": "application/x-www-form-urlencoded"}),
        ("POST", "Patient/$validate", {}),
        ("PUT", "Patient/1", {}),
        ("PATCH", "Patient/1", {}),
        ("DELETE", "Patient/1", {}),
        ("POST", "Patient/1", {"x-http-method-override": "GET"}),
        ("GET", "Patient", {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}),
        ("GET", "Patient", {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}),
        ("GET", "Patient", {"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}),
    ],
)
async def test_the_cookie_reads_pages_and_nothing_else(
    browser: Browser, method: str, path: str, headers: dict[str, str]
) -> None:
    sent = browser.cookie | PAGE | SAME | headers
    content = b'{"resourceType":"Patient","id":"1"}' if method in ("POST", "PUT", "PATCH") else None
    if content and "content-type" not in sent:
        sent["content-type"] = "application/fhir+json"
    answer = await browser.http.request(method, f"{browser.base}/{path}".rstrip("/"), headers=sent, content=content)
    assert answer.status_code == 401, answer.text[:300]


@pytest.mark.parametrize(
    "cookie",
    ["clarity={t}; clarity={t}", "clarity={t}; clarity=x", "Clarity={t}", "clarity=", "x={t}", "clarity={t} x"],
)
async def test_cookies_that_do_not_count(browser: Browser, cookie: str) -> None:
    answer = await browser.http.get(
        f"{browser.base}/Patient", headers=PAGE | {"cookie": cookie.format(t=browser.token)}
    )
    assert answer.status_code == 401


async def test_the_cookie_is_good_for_get_and_head_of_pages(browser: Browser) -> None:
    navigating = {
        "sec_fetch_mode": "navigate",
        "sec_fetch_dest": "document",
        "cookie": f"a=b; clarity={browser.token}; c=d",
    }
    assert (await browser.get("Patient", **navigating)).status_code == 200
    head = await browser.http.head(f"{browser.base}/Patient", headers=PAGE | browser.cookie)
    assert head.status_code == 200
    by_format = await browser.http.get(
        f"{browser.base}/Patient?_format=html", headers=browser.cookie | {"accept": "*/*"}
    )
    assert by_format.status_code == 200


async def test_a_header_goes_before_the_cookie(browser: Browser) -> None:
    narrow = await tokens.mint(browser.tenant, "system/Observation.rs")
    answer = await browser.get("Patient", authorization=f"Bearer {narrow}")
    assert answer.status_code == 403
    assert (await browser.get("Patient", authorization="Bearer x")).status_code == 401


async def test_rights_are_those_of_the_token(browser: Browser, system: Caller) -> None:
    mine, other = [await system.post("Patient", {"resourceType": "Patient"}) for _ in range(2)]
    browser.cookie = {"cookie": f"clarity={await tokens.mint(browser.tenant, 'patient/*.rs', patient=mine.id)}"}
    assert (await browser.get(f"Patient/{mine.id}")).status_code == 200
    assert (await browser.get(f"Patient/{other.id}")).status_code == 404


async def test_pages_are_audited_as_what_they_read(browser: Browser, system: Caller) -> None:
    made = await system.post("Patient", {"resourceType": "Patient"})

    async def rows() -> list[Any]:
        found = (await system.get(f"AuditEvent?entity=Patient/{made.id}&subtype=read&_count=100")).json
        return found.get("entry", [])

    before = await rows()
    await system.get(f"Patient/{made.id}")
    await browser.get(f"Patient/{made.id}")
    by_json, by_page = (await rows())[:2]
    assert len(await rows()) == len(before) + 2
    for name in ("type", "subtype", "action", "outcome", "agent"):
        assert by_json["resource"].get(name) == by_page["resource"].get(name), name
    assert by_json["resource"]["entity"][:2] == by_page["resource"]["entity"][:2]


async def test_a_form_has_limits(browser: Browser) -> None:
    big = await browser.http.post(f"{browser.place}/browse/sign-in", data={"token": "x" * 50_000}, headers=SAME)
    assert big.status_code == 413
    odd = await browser.http.post(f"{browser.place}/browse/sign-in", json={"token": browser.token}, headers=SAME)
    assert odd.status_code == 415
    assert (await browser.http.get(f"{browser.place}/browse/sign-in")).status_code == 405
    assert (await browser.http.post("http://clarity.test/t/nowhere/browse/sign-in", headers=SAME)).status_code == 404


async def test_plain_http_in_production_keeps_no_token(
    browser: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "settings", services.settings.model_copy(update={"environment": "production"}))
    page = await browser.http.get(f"{browser.base}/Patient", headers=PAGE)
    assert page.status_code == 401
    assert "over https" in page.text
    assert assert_inert(page.text).find(".//form") is None


def test_over_https_the_cookie_is_secure() -> None:
    secure: Any = SimpleNamespace(base="https://clarity.example/fhir")
    plain: Any = SimpleNamespace(base="http://127.0.0.1:8000/fhir")
    assert cookie_name(secure) == "__Secure-clarity"
    assert may_sign_in(secure, production=True)
    assert not may_sign_in(plain, production=True)
    assert may_sign_in(plain, production=False)
    assert kept_token(secure, {"cookie": "clarity=x"}) is None
    assert kept_token(secure, {"cookie": "__Secure-clarity=x"}) == "Bearer x"
    assert kept_token(plain, {"cookie": "clarity=x"}) == "Bearer x"


async def test_writes_still_need_a_token(system: Caller, browser: Browser) -> None:
    """With a header a write may ask for a page as its answer."""
    made = await system.post("Observation", observation(), accept="text/html")
    assert made.status == 201
    assert_inert(made.text)
