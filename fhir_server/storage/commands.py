"""The language of the write path: commands go in, written versions come out.

Every change (create, update, delete, conditional, bundle entry, import, worker result) is a Command made by
`interactions/commands.py`; `commit` is the only reader.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

INDEX_VERSION = 6
"""Which form of extraction wrote a row's index entries; a change of what is extracted raises it."""

FORMS, _GENERATIONS = 64, 500


def index_version(generation: int) -> int:
    """Return what a row says of its index entries: the form of extraction, and the generation of own search parameters."""
    return INDEX_VERSION + FORMS * (generation % _GENERATIONS)


def generation_of(version: int, newest: int) -> int | None:
    """Return the generation that a row was written by, as far as `newest` is known; None when another form wrote it."""
    form, cycled = version % FORMS, version // FORMS
    return newest - (newest - cycled) % _GENERATIONS if form == INDEX_VERSION else None


POST, PUT, DELETE, PATCH = 1, 2, 3, 4

CLIENT, TWIN, PREDICTION, SUBSCRIPTION, IMPORT = 0, 1, 2, 3, 4
"""Origins: what the twin writes must never trigger the twin."""
MESSAGE = 6
"""The origin of what came of a message: it sends none."""
ALERT = 10
"""Origin of what the alert rules write."""


NumberRow = tuple[int, int, Decimal, Decimal, int, int, Decimal | None, Decimal | None]
"""(param, key, lo, hi, unit, canonical unit, canonical lo, canonical hi); key 0 outside composites, unit 0 for none."""


CodingRow = tuple[int, int, int, int, str | None, str | None, str | None]
"""(key, key of the code in any system, key of the system, param, system, code, display); 0 where there is no code or system."""


@dataclass(slots=True)
class IndexRows:
    """What a resource is found by; pure, made by `search/extract.py`, with ids not yet turned into rids."""

    keys: list[int] = field(default_factory=list)
    references: list[tuple[int, str, str]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    facets: list[int] = field(default_factory=list)
    """Those of the keys that the index has only by the set of them (`layout.py`)."""
    untold: list[str] = field(default_factory=list)
    """Those of the patients whom no reference of the resource tells."""
    dates: list[tuple[int, datetime, datetime]] = field(default_factory=list)
    numbers: list[NumberRow] = field(default_factory=list)
    strings: list[tuple[int, str]] = field(default_factory=list)
    series: list[tuple[int, datetime]] = field(default_factory=list)
    subject: str | None = None
    """The patient whose series these are; None for those of nobody, or of several."""
    counted: list[int] = field(default_factory=list)
    """Those of the keys that stand in the dictionary of codings: how many resources hold them is kept."""
    codings: list[CodingRow] = field(default_factory=list)
    """Codings among the keys that this process has not seen in the dictionary yet: they go there before the commit."""
    generation: int = 0
    """That of the tenant's own search parameters that went in."""
    traces: bool = False
    """It is told of others (`storage/traced.py`): their patients are its own as well."""
    unseen: bool = False
    """Of what it is told of, something is not there for who writes it."""


@dataclass(slots=True)
class Command:
    """One change of one resource; `expected` is the version that the row must have now, 0 when it must not exist."""

    method: Literal["create", "update", "delete"]
    type: str
    id: str
    resource: dict[str, Any] | None = None
    index: IndexRows | None = None
    expected: int = 0
    previous: IndexRows | None = None
    key_id: int = 0
    claims: tuple[bytes, ...] = ()
    origin: int = CLIENT
    http_method: int = POST
    fresh: bool = False
    """The id was made by us for this command, so nobody can have mentioned it."""
    seen: int | None = None
    """The `index_version` of the row that `previous` was found by: entries made anew meanwhile are another conflict."""
    write: int | None = None
    """The write (`Stored.write`) that the new content goes out from: what changed without a version is a conflict too."""


@dataclass(slots=True)
class AuditRow:
    """One line of the audit table; `commit` fills rid, version and patients of the rows that go with commands."""

    recorded: datetime
    interaction: int
    status: int
    agent: int
    type: int | None = None
    rid: int | None = None
    version: int | None = None
    patients: list[int] | None = None
    request: str = ""
    address: str | None = None
    detail: bytes | None = None

    def values(self) -> tuple[Any, ...]:
        """Return the columns in the order of the table."""
        return (
            self.recorded, self.interaction, self.status, self.agent, self.type, self.rid, self.version,
            self.patients, self.request, self.address, self.detail,
        )  # fmt: skip

    def beside(self) -> tuple[Any, ...]:
        """Return the columns that the statement of a write does not fill itself, in their order."""
        return (
            self.recorded, self.interaction, self.status, self.agent, self.type, self.request, self.address, self.detail,
        )  # fmt: skip


@dataclass(slots=True)
class Written:
    """A version as it now stands; `body` is the stored JSON, empty for a deletion."""

    rid: int
    type: str
    id: str
    version: int
    last_updated: datetime
    body: bytes
    patients: tuple[int, ...]
    created: bool
