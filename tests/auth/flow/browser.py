"""A browser without JavaScript for tests: cookies, links, forms as they stand in the page, redirects one at a time."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from html.parser import HTMLParser
from secrets import token_urlsafe
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


@dataclass
class Form:
    """A form: where it goes, its fields with their values, its buttons."""

    action: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Page(HTMLParser):
    """A page taken apart; raises when elements are not closed in order."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__()
        self.response, self.status, self.url = response, response.status_code, str(response.url)
        self.forms: list[Form] = []
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(response.text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = dict(attrs)
        self.tags.append((tag, said))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(said.get("action") or ""))
        name, value = said.get("name"), said.get("value") or ""
        if tag == "input" and name and self.forms:
            kept = self.forms[-1].boxes if said.get("type") == "checkbox" else self.forms[-1].fields
            kept.append((name, value))
        if tag == "button" and name and self.forms:
            self.forms[-1].buttons.append((name, value))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "

    def form(self, action: str, **having: str) -> Form:
        """Return the first form that goes there and holds these fields."""
        for each in self.forms:
            if each.action == action and all((n, v) in each.fields for n, v in having.items()):
                return each
        raise AssertionError(f"no form {action} {having} in: {self.text[:2000]}")


class Browser:
    """One browser with its cookies."""

    def __init__(self, app) -> None:
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app, raise_app_exceptions=True), timeout=120)

    async def get(self, url: str, **headers: str) -> httpx.Response:
        return await self.http.get(url, headers=headers)

    async def open(self, url: str) -> Page:
        """Open an address, following redirects within the server."""
        return await self._shown(await self.http.get(url))

    async def _shown(self, response: httpx.Response) -> Page:
        while response.status_code in (302, 303):
            there = urljoin(str(response.url), response.headers["location"])
            if urlsplit(there).netloc != urlsplit(str(response.url)).netloc:
                return Page(response)
            response = await self.http.get(there)
        return Page(response)

    async def submit(self, page: Page, form: Form, /, without: frozenset[str] = frozenset(), **values: str) -> Page:
        """Submit a form as it stands: with the values given, every box ticked but those in `without`."""
        sent = [(n, values.pop(n, v)) for n, v in form.fields]
        sent += [(n, v) for n, v in form.boxes if v not in without]
        sent += list(values.items())
        return await self._shown(await self.http.post(urljoin(page.url, form.action), data=_form(sent)))

    async def sign_in(self, page: Page, login: str, password: str, code: str = "") -> Page:
        return await self.submit(page, page.form("login"), login=login, password=password, code=code)

    async def allow(self, page: Page, *without: str) -> dict[str, str]:
        """Decide, and return what the app gets."""
        done = await self.submit(page, page.form("consent"), frozenset(without), decision="allow")
        return answer(done)

    async def refuse(self, page: Page) -> dict[str, str]:
        return answer(await self.submit(page, page.form("consent"), decision="refuse"))


def _form(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    made: dict[str, list[str]] = {}
    for name, value in pairs:
        made.setdefault(name, []).append(value)
    return made


def answer(page: Page) -> dict[str, str]:
    """Return the parameters with which the browser is sent back to the app."""
    assert page.status == 303, (page.status, page.text[:1000])
    location = page.response.headers["location"]
    return dict(parse_qsl(urlsplit(location).query)) | {"to": location.partition("?")[0]}


@dataclass
class Pkce:
    """A verifier and its challenge."""

    verifier: str = field(default_factory=lambda: token_urlsafe(48))

    @property
    def challenge(self) -> str:
        return urlsafe_b64encode(sha256(self.verifier.encode()).digest()).decode().rstrip("=")
