"""transaction: all entries or none, in one commit (R4 `http.html#transaction`).

decode and check each resource -> plan (pure) -> resolve -> rewrite references -> commands -> one commit -> answers.
What others change meanwhile sends it back to `resolve`; the plan, and the ids in it, stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fhir_server.audit.record import audit_row
from fhir_server.auth import policy, traced
from fhir_server.context import RequestContext
from fhir_server.errors import FhirError, Issue
from fhir_server.interactions import commands, contents
from fhir_server.interactions.answers import answer_written, bundle_result, inner_call, perform_entry
from fhir_server.interactions.call import Call, Result
from fhir_server.interactions.conditions import stale
from fhir_server.interactions.envelope import Envelope, read_entries
from fhir_server.interactions.lookups import check_reads
from fhir_server.interactions.pace import Pace
from fhir_server.interactions.patch import read_patch, refuse_unpatched
from fhir_server.interactions.plan import Entry, Plan, choose_id, make_plan, reference_map
from fhir_server.interactions.provenance import commit_explained
from fhir_server.interactions.races import Claims
from fhir_server.interactions.resolve import Resolution, Resolver, Step
from fhir_server.interactions.retry import overtaken, tries
from fhir_server.interactions.update import is_unchanged
from fhir_server.kit import json
from fhir_server.model.bundles import response_entry
from fhir_server.model.references import (
    find_references,
    names_elsewhere,
    only_urns,
    rewrite,
    rewrite_links,
    settle_references,
    versioned,
    walk_references,
)
from fhir_server.storage.blobs import keep
from fhir_server.storage.commands import DELETE, PATCH, POST, PUT, AuditRow, Command, Written
from fhir_server.storage.errors import ClaimTaken, VersionConflict
from fhir_server.validation.validate import parse_resource, refusal

_WRITES = {"POST": ("create", POST), "PUT": ("update", PUT), "PATCH": ("patch", PATCH), "DELETE": ("delete", DELETE)}
_INTERACTIONS = {number: interaction for interaction, number in _WRITES.values()}


async def transaction(ctx: RequestContext, call: Call, envelope: Envelope) -> Result:
    """Answer a Bundle of type transaction."""
    plan = await read_plan(envelope, ctx, call)
    await _permit_reads(ctx, plan)
    taken = Claims(ctx)
    async for attempt in tries():
        if attempt:
            await _decode_again(plan)
        resolution = await Resolver(ctx, plan, taken).resolve()
        steps, prepared = await _prepare(ctx, plan, resolution)
        await check_reads(ctx, call, plan.entries, resolution.steps)
        try:
            names = reference_map(plan, resolution.targets()) | resolution.references if call.provenance else None
            written = await commit_explained(ctx, call, prepared, await _audit_rows(ctx, prepared), names)
        except VersionConflict as error:
            _refuse_stale(steps[error.position], error)
        except ClaimTaken:
            for step in steps:
                await taken.met(step.claim)
        else:
            return await _respond(ctx, call, plan, resolution, dict(zip(map(_position, steps), written, strict=True)))
    raise overtaken()


def _refuse_stale(step: Step, error: VersionConflict) -> None:
    """Raise when somebody changed what the entry's If-Match names: trying again cannot help."""
    if step.entry.conditions.if_match is not None:
        raise stale().within(f"{step.entry.where}.request") from error


def _position(step: Step) -> int:
    return step.entry.position


async def read_plan(envelope: Envelope, ctx: RequestContext, call: Call) -> Plan:
    """Decode and check every resource and make the plan; what is wrong in any entry is listed together."""
    pace = Pace()
    entries: list[Entry] = []
    errors: list[FhirError] = []
    for entry in read_entries(envelope, ctx.base):
        if isinstance(entry, FhirError):
            errors.append(entry)
            continue
        entries.append(entry)
        if entry.raw and entry.method in ("POST", "PUT", "PATCH"):
            try:
                _read_resource(entry, call)
            except FhirError as error:
                errors.append(error.within(f"{entry.where}.resource"))
            await pace.step()
    if errors:
        raise refusal([issue for error in errors for issue in error.issues])
    return make_plan(entries)


def _read_resource(entry: Entry, call: Call) -> None:
    """Decode and check what an entry writes; a patch has its resource when it is applied."""
    if entry.method == "PATCH":
        refuse_unpatched(entry.address.type or "")
        entry.patch = read_patch(inner_call(call, entry))
        return
    entry.resource = parse_resource(entry.raw, expect=None)
    entry.references = find_references(entry.resource, entry.raw)
    entry.id = choose_id(entry)


async def _permit_reads(ctx: RequestContext, plan: Plan) -> None:
    """Refuse reads that are not allowed before anything is written."""
    for entry in plan.entries:
        if entry.method in ("GET", "HEAD") and entry.address.type and entry.address.kind in ("instance", "type"):
            await policy.visibility(ctx, entry.address.type, "read" if entry.address.id else "search-type")


async def _decode_again(plan: Plan) -> None:
    pace = Pace()
    for entry in plan.entries:
        if entry.resource is not None and entry.patch is None:
            entry.resource = json.decode_trusted(entry.raw)
            entry.references = find_references(entry.resource, entry.raw)
            await pace.step()


async def _prepare(ctx: RequestContext, plan: Plan, resolution: Resolution) -> tuple[list[Step], list[Command]]:
    """Return the steps that write, and their commands; lists every reference that is wrong in any entry."""
    names = reference_map(plan, resolution.targets())
    all_names, urns = names | resolution.references, only_urns(names)
    versions = _pin_versions(plan, resolution, names)
    pace = Pace()
    issues: list[Issue] = []
    steps, prepared = [], []
    coming: dict[tuple[str, str], Command] = {}
    for step in sorted(
        resolution.steps, key=lambda step: step.name[0] == traced.TYPE
    ):  # what they are told of comes first
        if step.action == "write":
            issues += _settle(step.entry, names, all_names, versions, ctx.base, urns=urns)
        if not issues and (command := await _command(ctx, step, coming)) is not None:
            steps.append(step)
            prepared.append(command)
            coming[(command.type, command.id)] = command
        await pace.step()
    if issues:
        raise commands.refused(issues)
    await _check_held(ctx, steps, prepared)
    return steps, prepared


async def _check_held(ctx: RequestContext, steps: Sequence[Step], prepared: Sequence[Command]) -> None:
    """Refuse the deletion of what documents hold that stay."""
    going = {(command.type, command.id) for command in prepared if command.method == "delete"}
    for step, command in zip(steps, prepared, strict=True):
        if command.method == "delete" and command.type == keep.TYPE and step.current is not None:
            try:
                await contents.check_held(ctx, json.decode_trusted(step.current.body), going=going)
            except FhirError as error:
                raise error.within(f"{step.entry.where}.request") from error


def _pin_versions(plan: Plan, resolution: Resolution, names: Mapping[str, str]) -> dict[str, int]:
    """Return the versions of what references to versions name, and keep those steps from finding that nothing changes."""
    wanted = {name for entry in plan.entries for name in versioned(entry.references, names)}
    versions = {}
    for step in resolution.steps if wanted else ():
        name = "/".join(step.name)
        if name in wanted and step.action != "delete":
            step.pinned, versions[name] = True, step.version
    return versions


def _settle(
    entry: Entry,
    names: Mapping[str, str],
    all_names: Mapping[str, str],
    versions: Mapping[str, int],
    base: str,
    *,
    urns: bool,
) -> list[Issue]:
    """Rewrite and check the references of one entry: to entries by `names`, `all_names` has conditional ones too.

    `urns` tells that all `names` are urn:uuid.
    """
    assert entry.resource is not None
    if entry.patch is not None:  # what was stored before may only be hit by names that nothing else can have
        rewrite_links(entry.resource, {name: to for name, to in names.items() if name.startswith("urn:uuid:")})
    elif names and names_elsewhere(entry.raw, entry.references, urns=urns):
        rewrite_links(entry.resource, names)
    missing = rewrite(entry.resource, all_names, entry.references, versions)
    issues = _unresolved(entry.resource, set(missing)) if missing else []
    issues += settle_references(entry.resource, base, found=entry.references)
    return [issue.within(f"{entry.where}.resource") for issue in issues]


def _unresolved(resource: dict[str, object], missing: set[str]) -> list[Issue]:
    text = "This urn:uuid is the fullUrl of no entry of the Bundle."
    return [
        Issue("not-found", "reference-unresolved", text, f"{where}.reference")
        for where, holder in walk_references(resource)
        if holder["reference"] in missing
    ]


async def _command(ctx: RequestContext, step: Step, coming: Mapping[tuple[str, str], Command]) -> Command | None:
    """Return the command of a step; None when everything is as it should be."""
    if step.action == "keep" or (step.action == "delete" and step.current is None):
        return None
    try:
        if step.action == "delete":
            assert step.current is not None
            return await commands.removal(ctx, step.current)
        return await _write_command(ctx, step, coming)
    except FhirError as error:
        raise error.within(f"{step.entry.where}.resource") from error


async def _write_command(ctx: RequestContext, step: Step, coming: Mapping[tuple[str, str], Command]) -> Command | None:
    resource = step.entry.resource
    assert resource is not None
    interaction = "create" if step.entry.method == "POST" or step.fresh else _WRITES[step.entry.method][0]
    if step.current is not None and not step.pinned and is_unchanged(resource, step.current):
        step.action = "keep"
        return None
    command = commands.build(
        ctx.tenant,
        resource,
        step.name[1],
        current=step.current,
        claims=(step.claim,) if step.claim else (),
        http_method=_WRITES[step.entry.method][1],
        fresh=step.fresh,
        settled=True,
    )
    if step.current is not None and step.entry.conditional:
        await policy.visibility(ctx, step.name[0], "update")
    await commands.authorise(ctx, command, interaction, step.current, coming)
    return command


async def _audit_rows(ctx: RequestContext, prepared: Sequence[Command]) -> list[AuditRow]:
    """Return one row for each command; rows of one kind differ only in what the commit fills in."""
    pace = Pace()
    models: dict[tuple[str, int, str], AuditRow] = {}
    rows = []
    for command in prepared:
        interaction = _INTERACTIONS[command.http_method]
        status = {"create": 201, "update": 200, "delete": 204}[command.method]
        at = (interaction, status, command.type)
        if at not in models:
            models[at] = audit_row(ctx, interaction, status, type=command.type)
        rows.append(AuditRow(*models[at].values()))
        await pace.step()
    return rows


async def _respond(
    ctx: RequestContext, call: Call, plan: Plan, resolution: Resolution, written: dict[int, Written]
) -> Result:
    """Build the transaction-response in the order of the request; what is read is read after the writes."""
    steps = {step.entry.position: step for step in resolution.steps}
    by_name = {(done.type, done.id): done for done in written.values()}
    answers: list[bytes] = []
    rows: list[AuditRow] = []
    pace = Pace()
    for entry in plan.entries:
        await pace.step()
        if entry.method in ("GET", "HEAD"):
            answers.append(response_entry(await perform_entry(ctx, call, entry)))
            continue
        step = steps.get(entry.position)
        done = written.get(entry.position) or (by_name.get(step.name) if step else None)
        own = entry.position in written
        found = step.current if step else None
        answers.append(response_entry(answer_written(ctx, call, entry, found, done, own=own)))
        if not own:
            rows.append(_kept_row(ctx, entry, step, done))
    return bundle_result("transaction-response", answers, rows)


def _kept_row(ctx: RequestContext, entry: Entry, step: Step | None, done: Written | None) -> AuditRow:
    interaction = _WRITES[entry.method][0]
    status = 204 if entry.method == "DELETE" else 200
    known = (step.current if step else None) or done
    if known is None:
        return audit_row(ctx, interaction, status, type=entry.address.type)
    return audit_row(
        ctx, interaction, status, type=known.type, rid=known.rid, version=known.version, patients=known.patients
    )
