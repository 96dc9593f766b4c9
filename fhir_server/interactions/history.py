"""history at three levels, newest first (R4 `http.html#history`); the next page hangs on a sealed cursor.

Each version is judged by what it held itself: one that lay outside of what the caller sees does not appear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import BadSearch
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.codes import interaction_of
from fhir_server.interactions.results import absent
from fhir_server.kit import base64url, clock, ids, json
from fhir_server.model import bundles
from fhir_server.model.primitives import date_range
from fhir_server.storage import reads
from fhir_server.storage.keystore import InvalidSeal
from fhir_server.storage.reads import Stored
from fhir_server.storage.visibility import Visibility

Position = tuple[datetime, int, int]
"""(last_updated, rid, version) of the last version that was shown."""

_KNOWN = frozenset({"_at", "_count", "_since", "_cursor"})


@dataclass(frozen=True, slots=True)
class _Wanted:
    count: int
    since: datetime | None
    at: tuple[datetime, datetime] | None
    narrowed: tuple[tuple[str, str], ...]
    """`_since` and `_at` as they were given."""
    cursor: str | None


async def history(ctx: RequestContext, call: Call) -> Result:
    """Answer `GET [Type[/id]]/_history`."""
    interaction = interaction_of("GET", call.address.kind)
    visibility = await _visibility(ctx, call, interaction)
    wanted = _read_params(call)
    before = _open(ctx, call, wanted) if wanted.cursor else None
    rows = await reads.history(
        ctx.tenant,
        visibility,
        id_=call.address.id,
        since=wanted.since,
        at=wanted.at,
        before=before,
        count=wanted.count + 1,
    )
    if not rows and call.address.id and before is None and not wanted.narrowed:
        raise absent()
    shown, more = rows[: wanted.count], len(rows) > wanted.count
    body = _bundle(ctx, call, wanted, shown, more=more)
    patients = sorted({patient for row in shown for patient in row.patients})
    rid = shown[0].rid if call.address.id and shown else None
    row = audit_row(ctx, interaction, 200, type=call.address.type, rid=rid, patients=patients)
    return Result(200, body, audit=[row])


async def _visibility(ctx: RequestContext, call: Call, interaction: str) -> Mapping[str, Visibility]:
    if call.address.type:
        return {call.address.type: await policy.visibility(ctx, call.address.type, interaction)}
    return await policy.visibilities(ctx, interaction)


def _read_params(call: Call) -> _Wanted:
    given: dict[str, str] = {}
    for name, value in call.params:
        if name not in _KNOWN:
            text = f"A history takes {', '.join(sorted(_KNOWN - {'_cursor'}))}; {name[:40]} is not one of these."
            raise BadSearch(text, "history-parameter", name[:40])
        if name in given:
            raise BadSearch(f"{name} may be given once (R4 http.html#history).", "history-parameter", name)
        given[name] = value
    since, at = _range(given, "_since"), _range(given, "_at")
    narrowed = tuple((name, given[name]) for name in ("_since", "_at") if name in given)
    return _Wanted(call.limits.count(given.get("_count")), since and since[0], at, narrowed, given.get("_cursor"))


def _range(given: dict[str, str], name: str) -> tuple[datetime, datetime] | None:
    if name not in given:
        return None
    try:
        return date_range(given[name])
    except ValueError as error:
        text = f"{name} is a date or an instant, as in 2026-11-22T10:00:00Z."
        raise BadSearch(text, "history-since", name) from error


def _aad(ctx: RequestContext, call: Call, wanted: _Wanted) -> bytes:
    address = call.address
    parts = ("history", str(ctx.principal.agent), address.type or "", address.id or "", *map("=".join, wanted.narrowed))
    return "\x1f".join(parts).encode()


def _open(ctx: RequestContext, call: Call, wanted: _Wanted) -> Position:
    try:
        sealed = base64url.decode(wanted.cursor or "")
        moment, rid, version = json.decode_trusted(ctx.tenant.keystore.open(sealed, _aad(ctx, call, wanted)))
    except (ValueError, InvalidSeal) as error:
        text = "This _cursor does not belong to this history; follow the next link of a page as it is."
        raise BadSearch(text, "cursor-invalid", "_cursor") from error
    return datetime.fromtimestamp(moment / 1_000_000, UTC), rid, version


def _seal(ctx: RequestContext, call: Call, wanted: _Wanted, last: Stored) -> str:
    micros = round(last.last_updated.timestamp() * 1_000_000)
    sealed = ctx.tenant.keystore.seal(json.encode([micros, last.rid, last.version]), _aad(ctx, call, wanted))
    return base64url.encode(sealed)


def _bundle(ctx: RequestContext, call: Call, wanted: _Wanted, rows: Sequence[Stored], *, more: bool) -> bytes:
    path = "/".join(part for part in (ctx.base, call.address.type, call.address.id, "_history") if part)
    params = [("_count", str(wanted.count)), *wanted.narrowed]
    links = [("self", f"{path}?{urlencode(params)}")]
    if more and rows:
        after = [*params, ("_cursor", _seal(ctx, call, wanted, rows[-1]))]
        links.append(("next", f"{path}?{urlencode(after)}"))
    entries = (bundles.history_entry(ctx.base, _version(row)) for row in rows)
    return bundles.bundle("history", entries, id_=ids.new_id(), moment=clock.now(), links=links)


def _version(row: Stored) -> bundles.Version:
    return bundles.Version(row.type, row.id, row.version, row.last_updated, row.method, row.body)
