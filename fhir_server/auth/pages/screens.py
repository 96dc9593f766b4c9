"""The screens of the authorization server: each a function from what is known to the inside of a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fhir_server.auth.flow.asked import Asked
from fhir_server.auth.pages import words
from fhir_server.auth.pages.frame import hidden
from fhir_server.kit.html import Html, el, join


@dataclass(frozen=True, slots=True)
class Form:
    """What every form carries: the token of the browser, and the sealed flow if there is one."""

    token: str
    flow: str | None = None

    def fields(self, **more: str | None) -> Html:
        """Return the hidden fields."""
        return hidden(form_token=self.token, flow=self.flow, **more)


@dataclass(frozen=True, slots=True)
class Choice:
    """A patient or encounter to choose: its id, what it is called, what tells it from another."""

    id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class App:
    """An app that holds an authorization."""

    authorization: str
    name: str
    since: str
    scopes: Sequence[str]


def login(form: Form, client: str | None, *, problem: str | None = None, name: str = "") -> Html:
    """Return the form by which a person signs in."""
    return join(
        el("h1", f"Sign in to open {client}" if client else "Sign in"),
        el("p", problem, class_="bad", role="alert") if problem else None,
        el(
            "form",
            form.fields(),
            el("label", "Name", class_="field", for_="login"),
            el(
                "input", id="login", name="login", type="text", value=name, autocomplete="username", required=True,
                autofocus=not name, autocapitalize="none", spellcheck="false", maxlength="120",
            ),
            el("label", "Password", class_="field", for_="password"),
            el(
                "input", id="password", name="password", type="password", autocomplete="current-password", required=True,
                autofocus=bool(name), maxlength="256",
            ),
            el("label", "Code of your device, if you use one", class_="field", for_="code"),
            el("input", id="code", name="code", type="text", inputmode="numeric", autocomplete="one-time-code", maxlength="8"),
            el("div", el("button", "Sign in", type="submit"), class_="row"),
            method="post",
            action="login",
        ),
    )  # fmt: skip


def patient(
    form: Form, client: str, found: Sequence[Choice], *, asked: str, more: bool, problem: str | None = None
) -> Html:
    """Return the picker of patients: a search by name, and one button for each that was found."""
    return join(
        el("h1", f"For which patient do you open {client}?"),
        el("p", problem, class_="bad", role="alert") if problem else None,
        el(
            "form",
            form.fields(),
            el("input", type="search", name="name", value=asked, aria_label="Name", placeholder="Name", autofocus=True),
            el("button", "Search", type="submit", class_="plain"),
            method="post",
            action="patient",
            class_="find",
        ),
        _choices(form, "patient", found)
        if found
        else el("p", "Nobody whose record you may see is called so.", class_="soft"),
        el("p", "There are more: search by name.", class_="soft") if more else None,
    )


def encounter(form: Form, client: str, found: Sequence[Choice]) -> Html:
    """Return the picker of encounters of the chosen patient."""
    nothing = el(
        "form",
        form.fields(encounter=""),
        el("div", el("button", "Go on without a visit", type="submit", class_="plain"), class_="row"),
        method="post",
        action="encounter",
    )
    return join(
        el("h1", f"For which visit do you open {client}?"),
        _choices(form, "encounter", found) if found else el("p", "No visit is recorded.", class_="soft"),
        nothing,
    )


def _choices(form: Form, what: str, found: Sequence[Choice]) -> Html:
    rows = [
        el(
            "li",
            el("span", choice.name, el("br"), el("span", choice.detail, class_="soft")),
            el(
                "form",
                form.fields(**{what: choice.id}),
                el(
                    "button",
                    "Choose",
                    type="submit",
                    class_="plain",
                    aria_label=f"Choose {choice.name}, {choice.detail}",
                ),
                method="post",
                action=what,
            ),
            class_="choice",
        )
        for choice in found
    ]
    return el("ul", *rows, class_="list")


def consent(form: Form, client: str, where: str, asked: Asked, *, person: str, subject: str | None) -> Html:
    """Return the form on which a person decides, scope by scope."""
    entries = [(word, *words.of_special(word)) for word in asked.special]
    entries += [(scope.text, *words.of_resource(scope)) for scope in asked.resources]
    return join(
        el("h1", f"May {client} do this?"),
        el("p", f"You are {person}.", f" The record is that of {subject}." if subject else None, class_="soft"),
        el("p", f"The answer goes to {where}.", class_="soft"),
        el(
            "form",
            form.fields(),
            el("ul", *(_scope(number, *entry) for number, entry in enumerate(entries)), class_="list"),
            _left_out(asked),
            el(
                "div",
                el("button", "Allow what is ticked", type="submit", name="decision", value="allow"),
                el("button", "Refuse", type="submit", name="decision", value="refuse", class_="plain"),
                class_="row",
            ),
            method="post",
            action="consent",
        ),
        el("p", "What you allow can be taken back at any time on the page “Your apps”.", class_="soft"),
    )


def _scope(number: int, text: str, heading: str, explanation: str) -> Html:
    return el(
        "li",
        el("input", type="checkbox", name="scope", value=text, id=f"scope-{number}", checked=True),
        el("label", heading, for_=f"scope-{number}"),
        el("span", explanation, class_="soft"),
        el("code", text),
        class_="scope",
    )


def _left_out(asked: Asked) -> Html | None:
    """Return what the app asked for and cannot have, with the reason."""
    if not asked.dropped:
        return None
    rows = [el("li", el("code", text), " ", reason) for text, reason in asked.dropped.items()]
    return el("details", el("summary", "The app asked for more"), el("ul", *rows, class_="soft"), class_="note")


def wrong(title: str, said: str, advice: str = "") -> Html:
    """Return what is shown when nothing can go on."""
    return join(
        el("h1", title),
        el("p", said, role="alert"),
        el("p", "For whoever makes the app: ", advice, class_="soft note") if advice else None,
    )


def apps(form: Form, person: str, found: Sequence[App]) -> Html:
    """Return the list of the apps that a person has allowed something, each with a button that takes it back."""
    rows = [
        el(
            "li",
            el("strong", app.name),
            el("p", f"Since {app.since}", class_="soft"),
            el("p", *(join(el("code", scope), " ") for scope in app.scopes)),
            el(
                "form",
                form.fields(authorization=app.authorization),
                el(
                    "button", "Take back", type="submit", class_="plain", aria_label=f"Take back what {app.name} may do"
                ),
                method="post",
                action="apps",
            ),
        )
        for app in found
    ]
    return join(
        el("h1", "Your apps"),
        el("p", f"You are {person}.", class_="soft"),
        el("ul", *rows, class_="list") if rows else el("p", "No app has access in your name."),
        el(
            "form",
            form.fields(),
            el("div", el("button", "Sign out", type="submit", class_="plain"), class_="row"),
            method="post",
            action="logout",
        ),
    )
