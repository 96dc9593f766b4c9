"""An OperationOutcome as sentences: refusals, warnings and what `$validate` found."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fhir_server.http.browse import forms, shell
from fhir_server.http.browse.markup import EMPTY, Html, el
from fhir_server.http.browse.tree import tree
from fhir_server.http.browse.visit import Visit

Json = dict[str, Any]


def page(visit: Visit, outcome: Json) -> bytes:
    """Return the page of an OperationOutcome; a stranger is offered to sign in."""
    if visit.status == 401 and visit.base:
        return _stranger(visit, outcome)
    title = f"{visit.status} {HTTPStatus(visit.status).phrase}" if visit.status >= 400 else "Outcome"
    return shell.page(
        visit,
        title,
        el("h1", title),
        issues(outcome),
        forms.search(visit) if visit.status == 400 and visit.known else EMPTY,
        shell.other_forms(visit) if visit.status < 400 else EMPTY,
        _whole(visit, outcome),
    )


def _stranger(visit: Visit, outcome: Json) -> bytes:
    tried = all(_codes(issue) != ["login-required"] for issue in outcome["issue"])
    return shell.page(
        visit,
        "Sign in",
        el("h1", "Sign in"),
        el("p", "This page needs an access token (401 Unauthorized).", class_="sub"),
        issues(outcome) if tried else EMPTY,
        forms.sign_in(visit),
        _whole(visit, outcome),
    )


def _whole(visit: Visit, outcome: Json) -> Html:
    return el("details", el("summary", "OperationOutcome"), tree(visit, outcome), class_="box")


def _codes(issue: Json) -> list[str]:
    return [str(each.get("code", "")) for each in issue.get("details", {}).get("coding", [])]


def issues(outcome: Json) -> Html:
    """Return the issues, each with its severity, sentence and place."""
    return el("div", [_issue(each) for each in outcome.get("issue", [])])


def _issue(issue: Json) -> Html:
    severity = str(issue.get("severity", ""))
    words = issue.get("details", {}).get("text") or issue.get("diagnostics") or issue.get("code", "")
    places = issue.get("expression") or issue.get("location") or []
    return el(
        "div",
        el("p", el("b", severity.capitalize()), f" {words}"),
        el("p", "At ", [[" and " if place else None, el("code", each)] for place, each in enumerate(places)])
        if places
        else None,
        el("p", " · ".join([str(issue.get("code", "")), *_codes(issue)]), class_="dim"),
        class_=f"issue {severity}" if severity.isalpha() else "issue",
    )
