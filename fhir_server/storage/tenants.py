"""A tenant is a PostgreSQL schema, a key store and the caches that go with them; storage takes one as its first argument."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import asyncpg

from fhir_server.storage import index_keys, own
from fhir_server.storage.keystore import Keystore

_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
OUTBOX, JOBS = "outbox", "jobs"
"""Where the workers find what is announced."""
Check = Callable[[Any, Any], Awaitable[None]]
"""Takes a RequestContext and a Command and raises what is wrong with the command."""
_CACHED_KEYS, _CACHED_RIDS = 20_000, 30_000
"""A stream of measurements is new names for ever: what a process keeps of them, some 13 MB, is full within minutes."""
_CACHED_TEXTS = 10_000


class _Connection(asyncpg.Connection):  # type: ignore[misc]
    """A connection that keeps no session state, so that giving it back needs no round trip."""

    def get_reset_query(self) -> str:
        """Return nothing to run: we set no session variable and listen to nothing."""
        return ""


async def connect(dsn: str, *, min_size: int = 2, max_size: int = 10) -> asyncpg.Pool:
    """Open a pool whose connections keep hundreds of prepared statements and never run a statement for ever."""
    return await asyncpg.create_pool(
        dsn,
        min_size=min_size,
        max_size=max_size,
        connection_class=_Connection,
        statement_cache_size=500,  # 35 to 70 kB each in every backend, and strangers decide how many shapes of searches there are
        max_cached_statement_lifetime=0,
        server_settings={
            "application_name": "clarity",
            "jit": "off",
            "synchronous_commit": "on",
            "statement_timeout": "120000",
            "idle_in_transaction_session_timeout": "60000",
        },
    )


class UnsafeDatabase(Exception):
    """The database is set to lose what it acknowledged."""


async def refuse_unsafe(pool: asyncpg.Pool) -> None:
    """Raise UnsafeDatabase unless synchronous_commit, fsync and full_page_writes are on, and PostgreSQL is 16 or newer."""
    for name in ("synchronous_commit", "fsync", "full_page_writes"):
        value = await pool.fetchval("SELECT current_setting($1)", name)
        if value not in ("on", "remote_apply", "remote_write"):
            raise UnsafeDatabase(f"PostgreSQL has {name} = {value}: acknowledged data could be lost. Set it to on.")
    version = int(await pool.fetchval("SELECT current_setting('server_version_num')"))
    if version < 160000:
        raise UnsafeDatabase(f"PostgreSQL {version // 10000} is too old: Clarity needs 16 or newer.")


def schema_name(tenant: str) -> str:
    """Return the schema of a tenant; ValueError when the name is not a plain lower-case word."""
    if not _NAME.fullmatch(tenant):
        raise ValueError(f"tenant name {tenant!r}: use a lower-case letter, then letters, digits or _ (31 at most)")
    return f"t_{tenant}"


class Tenant:
    """One tenant's place: schema, pool, keys, base URL, and caches of what never changes (rids, patient keys, hashes, codings)."""

    def __init__(self, name: str, pool: asyncpg.Pool, keys_dir: Path, base: str) -> None:
        self.name = name
        self.schema = schema_name(name)
        self.pool = pool
        self.base = base.rstrip("/")
        self.keystore = Keystore(keys_dir, name)
        self.rids: dict[tuple[str, str], int] = {}
        self.patient_keys: dict[int, int] = {}
        self.spare_rids: list[int] = []
        self.codings: dict[tuple[int, str | None, str | None], int] = {}
        """(param, system, code) as written, with its index key: those that are known to stand in the dictionary."""
        self.blends: set[tuple[int, ...]] = set()
        """The sets of facets that are known to stand in the table `facet` (`layout.py`)."""
        self.every_patient = False
        """Whether caregivers reach every patient by `user/` scopes, not only those whom they care for."""
        self.care_after: timedelta | None = None
        """How long after its end an Encounter still shows the record to who took part; None: for good."""
        self.software = "https://fhir.clarity.example/NamingSystem/software"
        """The system of identifiers of Devices that are software of this server."""
        self.consent_required = False
        """Whether a record is shown only where its patient's Consents permit it; otherwise unless they deny it."""
        self.written: Counter[str] = Counter()
        """How many commits of this process wrote each type, for what remembers what resources of a type say."""
        self.own = own.NONE
        """Search parameters of its own, as this process knows them; `own.refresh` looks for newer ones."""
        self.announce: Callable[[str], None] = lambda _kind: None
        """Told OUTBOX or JOBS when there is work, by whoever has committed it; must not wait, and may be lost."""
        self.checks: dict[str, dict[str, Check]] = {}
        """Type -> whose check -> what else is asked of a new version before a request may write it (`check`)."""
        self.removals: set[tuple[str, str]] = set()
        """(type, whose check) that are asked before a deletion too."""
        self.prepares: Mapping[str, Check] = {}
        """Type -> what is done to a new version before anybody judges it; set by the composition root."""
        self.blobs: Any = None
        """The `storage.blobs.stores.Store` of large content; set by the composition root."""
        self.topics: tuple[str, ...] = ()
        """Canonicals of the topics that it keeps itself, as they were seen last; for the CapabilityStatement."""
        self._sql: dict[str, str] = {}
        self._keys: dict[tuple[Any, ...], int] = {}

    def check(self, owner: str, checks: Mapping[str, Check], removals: Iterable[str] = ()) -> None:
        """Ask more of new versions of types, beside what others ask; what the same owner has asked of them before is replaced.

        Of the types `removals` the check is asked before a deletion too.
        """
        self.removals |= {(type_, owner) for type_ in removals}
        for type_, check in checks.items():
            self.checks.setdefault(type_, {})[owner] = check

    def sql(self, text: str) -> str:
        """Return `text` with {s} replaced by the schema; the same string object each time."""
        made = self._sql.get(text)
        if made is None:
            if len(self._sql) > _CACHED_TEXTS:  # strangers decide how many shapes of searches there are
                self._sql.clear()
            made = self._sql[text] = text.replace("{s}", self.schema)
        return made

    def remember(self, found: Iterable[tuple[tuple[str, str], int]]) -> None:
        """Keep the rids of some (type, id); the oldest give way, never those of this call.

        Who needs a rid after an `await` takes it out of `rids` before: it may be gone then.
        """
        self.rids.update(found)
        if len(self.rids) > _CACHED_RIDS:
            for name in list(islice(self.rids, len(self.rids) - _CACHED_RIDS * 9 // 10)):
                del self.rids[name]

    def key(self, param_id: int, *parts: str) -> int:
        """Return the index key of a value (see `index_keys`)."""
        at = (param_id, *parts)
        made = self._keys.get(at)
        if made is None:
            if len(self._keys) > _CACHED_KEYS:
                self._keys.clear()
            made = self._keys[at] = index_keys.hashed(self.keystore.index_secret, param_id, parts)
        return made

    def claim_key(self, *parts: str) -> bytes:
        """Return the key under which a conditional create is unique."""
        return index_keys.claim(self.keystore.index_secret, parts)


def open_tenants(
    names: Sequence[str],
    pool: asyncpg.Pool,
    keys_dir: Path,
    origin: str,
    *,
    every_patient: bool = False,
    care_after: timedelta | None = None,
    consent_required: bool = False,
    canonical_base: str = "https://fhir.clarity.example",
) -> dict[str, Tenant]:
    """Open the tenants: `default` is served at `{origin}/fhir`, others at `{origin}/t/{name}/fhir`."""
    bases = {name: f"{origin}/fhir" if name == "default" else f"{origin}/t/{name}/fhir" for name in names}
    tenants = {name: Tenant(name, pool, keys_dir, base) for name, base in bases.items()}
    for tenant in tenants.values():
        tenant.every_patient, tenant.consent_required = every_patient, consent_required
        tenant.care_after, tenant.software = care_after, f"{canonical_base}/NamingSystem/software"
    return tenants
