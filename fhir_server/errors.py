"""Every way a request can end badly, as one tree; `http/render.py` turns it into an OperationOutcome.

FhirError                 status  issue.code
├── BadRequest            400     invalid | structure | required | not-supported …
│   └── BadSearch         400     invalid (the query part at fault is the expression)
├── Unauthenticated       401     login
├── Forbidden             403     forbidden
├── NotFound              404     not-found  (hidden and absent look the same)
├── MethodNotAllowed      405     not-supported
├── NotAcceptable         406     not-supported
├── Conflict              409     conflict
├── Gone                  410     deleted
├── PreconditionFailed    412     conflict | multiple-matches
├── TooLarge              413     too-long
├── UnsupportedMedia      415     not-supported
├── Unprocessable         422     invariant | business-rule | processing
├── TooManyRequests       429     throttled
├── NotSupported          501     not-supported
└── Unavailable           503     transient

`code` in details is a stable, greppable id such as `search-unknown-parameter`; texts say what to do and never hold PHI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

Severity = Literal["fatal", "error", "warning", "information"]


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue: `code` from issue-type, `id` our stable id, `text` a sentence, `expression` FHIRPath."""

    code: str
    id: str
    text: str
    expression: str | None = None
    severity: Severity = "error"

    def within(self, prefix: str) -> Issue:
        """Return the issue with its expression put below `prefix`, as for an entry of a Bundle."""
        inner = self.expression
        path = prefix if inner is None else f"{prefix}.{inner.split('.', 1)[1]}" if "." in inner else prefix
        return Issue(self.code, self.id, self.text, path, self.severity)

    def as_fhir(self) -> dict[str, Any]:
        """Return the issue as a backbone element of OperationOutcome."""
        out: dict[str, Any] = {
            "severity": self.severity,
            "code": self.code,
            "details": {
                "coding": [{"system": "https://fhir.clarity.example/issue", "code": self.id}],
                "text": self.text,
            },
            "diagnostics": self.text,
        }
        if self.expression:
            out["expression"] = [self.expression]
        return out


def outcome(issues: list[Issue] | tuple[Issue, ...]) -> dict[str, Any]:
    """Return an OperationOutcome that lists the issues."""
    return {"resourceType": "OperationOutcome", "issue": [issue.as_fhir() for issue in issues]}


@dataclass
class FhirError(Exception):
    """The root: a sentence for the caller, a stable id, where it is, and what headers the answer needs."""

    text: str
    id: str = "error"
    expression: str | None = None
    issues: list[Issue] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    code: str = ""

    status: ClassVar[int] = 500
    issue_code: ClassVar[str] = "exception"

    def __post_init__(self) -> None:
        super().__init__(self.text)
        if not self.issues:
            self.issues = [Issue(self.code or self.issue_code, self.id, self.text, self.expression)]

    def outcome(self) -> dict[str, Any]:
        """Return the OperationOutcome of this error."""
        return outcome(self.issues)

    def within(self, prefix: str) -> FhirError:
        """Return the same error with every expression put below `prefix`."""
        self.issues = [issue.within(prefix) for issue in self.issues]
        return self


class BadRequest(FhirError):
    """The request cannot be understood."""

    status = 400
    issue_code = "invalid"


class BadSearch(BadRequest):
    """A search parameter, modifier or value that cannot be understood."""


class Unauthenticated(FhirError):
    """No token, or one that does not hold."""

    status = 401
    issue_code = "login"


class Forbidden(FhirError):
    """The token holds but does not allow this interaction on this type."""

    status = 403
    issue_code = "forbidden"


class NotFound(FhirError):
    """Nothing here that the caller may see."""

    status = 404
    issue_code = "not-found"


class MethodNotAllowed(FhirError):
    """The address exists but does not take this method."""

    status = 405
    issue_code = "not-supported"


class NotAcceptable(FhirError):
    """No representation that the caller accepts."""

    status = 406
    issue_code = "not-supported"


class Conflict(FhirError):
    """The state of the resource does not allow it now."""

    status = 409
    issue_code = "conflict"


class Gone(FhirError):
    """The resource was deleted, and the caller might have seen it."""

    status = 410
    issue_code = "deleted"


class PreconditionFailed(FhirError):
    """If-Match, If-None-Exist or conditional criteria that do not hold."""

    status = 412
    issue_code = "conflict"


class TooLarge(FhirError):
    """A body, bundle or page over the stated limit."""

    status = 413
    issue_code = "too-long"


class UnsupportedMedia(FhirError):
    """A Content-Type that the server does not read."""

    status = 415
    issue_code = "not-supported"


class Unprocessable(FhirError):
    """Well-formed, but against the rules of FHIR or of this server."""

    status = 422
    issue_code = "processing"


class TooManyRequests(FhirError):
    """Over a rate limit; `Retry-After` says when to come back."""

    status = 429
    issue_code = "throttled"


class NotSupported(FhirError):
    """Part of FHIR that this server does not do."""

    status = 501
    issue_code = "not-supported"


class Unavailable(FhirError):
    """The server cannot do it now; `Retry-After` says when to come back."""

    status = 503
    issue_code = "transient"
