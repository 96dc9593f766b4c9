"""Who asks, for what, under which request: plain data that every room may hold; `http`, `cli` and `workers` make it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ScopeLevel = Literal["patient", "user", "system"]


@dataclass(frozen=True, slots=True)
class Scope:
    """One resource scope of SMART App Launch 2.2: level, type (`*` for all), letters of `cruds`, filters ANDed.

    A filter is (search parameter, alternatives); `text` is the token as it was written, v1 or v2.
    """

    level: ScopeLevel
    type: str
    letters: str
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Clearance:
    """Which security labels somebody may see: confidentiality up to a level, classes of sensitivity (`auth/labels.py`)."""

    level: str = "N"
    classes: frozenset[str] = frozenset()
    declassify: bool = False
    """Whether labels may be taken away or lowered."""
    break_glass: bool = False
    """Whether emergency access may be taken (`auth/glass.py`)."""
    custodian: bool = False
    """Whether it acts for who keeps the records (export, backup, migration): Consents are about disclosing them."""


@dataclass(frozen=True, slots=True, eq=False)
class Principal:
    """Who a token stands for; made once for each token and kept while the token is, so it compares by identity.

    `agent` is the row of the agent table that audit names; `patient_rid` is set exactly when `patient` is.
    """

    client_id: str
    agent: int
    scopes: tuple[Scope, ...]
    patient: str | None
    user: str | None
    token_id: str
    expires: int
    patient_rid: int | None = None
    account: str | None = None
    """The person who signed in; what they may do is cut to their roles, and to whom they care for."""
    unlimited: frozenset[str] = frozenset()
    """Types that the person's roles open beyond whom they care for: the trail, for an auditor."""
    special: frozenset[str] = frozenset()
    """Scopes that name no resources, such as the right to introspect."""
    clearance: Clearance = field(default_factory=Clearance)
    """The security labels that are no obstacle."""
    granted: dict[tuple[str, str, str], Any] = field(default_factory=dict, repr=False)
    """What `auth/granted.py` has worked out for (type, letter, level); nobody else reads or writes it."""
    sights: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)
    """What `auth/policy.py` has said for (type, interaction) a moment ago; as above."""


ANONYMOUS = Principal("", 0, (), None, None, "", 0)
"""Nobody: holds no scope, so that policy denies everything; audit shows it as unauthenticated."""


@dataclass(slots=True)
class RequestContext:
    """One request on its way through the rooms.

    `tenant` is a `storage.tenants.Tenant` (untyped here: this layer knows nothing above it); `base` is its FHIR base
    without a trailing slash; `address` is the caller's network address; `lenient` is `Prefer: handling=lenient`.
    """

    tenant: Any
    principal: Principal
    request_id: str
    base: str
    address: str | None = None
    lenient: bool = False
