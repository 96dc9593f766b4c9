"""Sessions of browsers: a random cookie of which the database knows the hash, new at every login, ended by logout.

The token that every form carries is a hash keyed by the cookie: who cannot read the cookie cannot make one.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from fhir_server.auth.people import accounts
from fhir_server.auth.people.accounts import Account
from fhir_server.kit import clock
from fhir_server.storage.tenants import Tenant

IDLE: Final = timedelta(minutes=30)
"""So long a browser stays signed in without anybody touching a page."""
LONGEST: Final = timedelta(hours=12)
"""So long it stays signed in at most, and so long an app with `online_access` gets new tokens."""
_COOKIE = re.compile(r"[A-Za-z0-9_-]{43}")
_SEEN_EVERY = timedelta(minutes=1)

_FIND = """
SELECT person, began_at, seen_at FROM {s}.session
WHERE digest = $1 AND ended_at IS NULL AND began_at > $2 AND seen_at > $3
"""


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, since when; `digest` is what the database knows the session by."""

    account: Account
    digest: bytes
    began_at: datetime


def new_cookie() -> str:
    """Return a value for the cookie of a browser."""
    return secrets.token_urlsafe(32)


def is_cookie(value: str) -> bool:
    """Tell whether it has the form of a cookie of ours."""
    return _COOKIE.fullmatch(value) is not None


def form_token(cookie: str) -> str:
    """Return what a form of this browser must carry."""
    return urlsafe_b64encode(hmac.digest(cookie.encode(), b"form", "sha256")).decode().rstrip("=")


def form_token_holds(cookie: str, given: str) -> bool:
    """Tell whether a form came from a page that this browser was shown."""
    return bool(cookie) and hmac.compare_digest(form_token(cookie).encode(), given.encode())


def _digest(cookie: str) -> bytes:
    return sha256(cookie.encode()).digest()


async def begin(tenant: Tenant, account: Account) -> tuple[str, Session]:
    """Begin a session under a new cookie, whatever the browser had before."""
    cookie, now = new_cookie(), clock.now()
    text = "INSERT INTO {s}.session (digest, person, began_at, seen_at) VALUES ($1, $2, $3, $3)"
    await tenant.pool.execute(tenant.sql(text), _digest(cookie), account.id, now)
    return cookie, Session(account, _digest(cookie), now)


async def current(tenant: Tenant, cookie: str) -> Session | None:
    """Return the session of a cookie, if it is not over and its account not disabled."""
    if not is_cookie(cookie):
        return None
    digest, now = _digest(cookie), clock.now()
    row = await tenant.pool.fetchrow(tenant.sql(_FIND), digest, now - LONGEST, now - IDLE)
    account = await accounts.get(tenant, row["person"]) if row else None
    if account is None or account.disabled:
        return None
    if now - row["seen_at"] > _SEEN_EVERY:
        await tenant.pool.execute(tenant.sql("UPDATE {s}.session SET seen_at = $2 WHERE digest = $1"), digest, now)
    return Session(account, digest, row["began_at"])


async def is_online(tenant: Tenant, digest: bytes) -> bool:
    """Tell whether a session goes on, for apps that may be active as long as it does."""
    text = "SELECT true FROM {s}.session WHERE digest = $1 AND ended_at IS NULL AND began_at > $2"
    return bool(await tenant.pool.fetchval(tenant.sql(text), digest, clock.now() - LONGEST))


async def end(tenant: Tenant, session: Session) -> None:
    """End a session."""
    text = "UPDATE {s}.session SET ended_at = $2 WHERE digest = $1 AND ended_at IS NULL"
    await tenant.pool.execute(tenant.sql(text), session.digest, clock.now())
