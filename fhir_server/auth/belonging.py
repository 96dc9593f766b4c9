"""Whose new content is: a token writes into no record but those that its scopes give it."""

from __future__ import annotations

from fhir_server.auth import care
from fhir_server.auth.granted import UNREACHABLE, base_of, has_care
from fhir_server.auth.reach import about_patients, in_patient_compartment, owned
from fhir_server.context import RequestContext, ScopeLevel
from fhir_server.search.parameters import table
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.ident import known_rid
from fhir_server.storage.visibility import Grant


async def belongs(ctx: RequestContext, level: ScopeLevel, type_: str, index: IndexRows, resource_id: str) -> bool:
    """Tell whether new content is the token's to write: `patient/` writes into no record but that of its patient, `user/`
    into none but those of people in the user's care, not even together with one that is.
    """
    principal = ctx.principal
    if level == "system":
        return True
    if index.unseen:
        return False
    cared = await care.of(ctx.tenant, principal.user) if has_care(ctx) else care.NOBODY
    base = base_of(ctx, level, type_, cared)
    if base is None:
        return False
    patients = set(index.patients)
    if type_ == "Patient":
        patients.add(resource_id)
    if level == "patient":
        return base != UNREACHABLE and patients == {principal.patient}
    if base == Grant():
        return True
    if owned(type_):
        return base.admits(frozenset(index.keys))
    if not in_patient_compartment(type_):
        about = about_patients(type_)
        patients = {id_ for param, to, id_ in index.references if to == "Patient" and param in about}
    rids = {id_: await known_rid(ctx.tenant, "Patient", id_) for id_ in patients}
    strangers = {id_ for id_, rid in rids.items() if rid is None or not cared.sees(rid)}
    if type_ == "Patient" and strangers == {resource_id}:
        # A patient who is new, or not in anybody's care, is taken into care by naming the user: nobody else can be meant.
        return any(name in cared.names for name in _practitioners(index))
    return bool(patients) and not strangers


def _practitioners(index: IndexRows) -> set[tuple[str, str]]:
    params = {source.id for source in table("Patient").sources["general-practitioner"]}
    return {(to, id_) for param, to, id_ in index.references if param in params}
