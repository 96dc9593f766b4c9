"""What is to be shown next, and what comes of a form: sign in, choose the patient, choose the encounter, decide.

Every step begins from the sealed flow and asks everything again that can have changed: client, session, roles, what the person
may see. A form adds one choice; what it says beside that is not believed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec

from fhir_server.auth import clients
from fhir_server.auth.clients import Client
from fhir_server.auth.flow import codes, launches, records, state
from fhir_server.auth.flow.asked import Asked, by_client, by_context, by_person, chosen
from fhir_server.auth.flow.authorizations import Authorization
from fhir_server.auth.flow.records import Ask, Records
from fhir_server.auth.flow.request import Error, Params, Returned, Shown, back, read
from fhir_server.auth.flow.state import Flow
from fhir_server.auth.pages import screens
from fhir_server.auth.pages.screens import Form
from fhir_server.auth.people import login, sessions
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.people.login import LoginRefused
from fhir_server.auth.people.sessions import Session
from fhir_server.auth.redirects import origin
from fhir_server.kit import clock, ids
from fhir_server.kit.html import Html
from fhir_server.storage.tenants import Tenant

ALONE: Final = ("Patient/", "RelatedPerson/", "Person/")
"""Who signs in as one of these is asked for a patient only when there are several."""

Fields = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class Told:
    """An event for the audit: what happened, in which app's flow, and whose doing (or, of a refused login, in whose name)."""

    detail: dict[str, str]
    client_id: str | None
    account: Account | None


@dataclass(slots=True)
class Visit:
    """One request of a browser: its cookie (one that was just made, when it had none), and who is signed in."""

    tenant: Tenant
    ask: Ask
    cookie: str
    session: Session | None
    request_id: str
    address: str | None = None
    told: list[Told] = field(default_factory=list)
    """What the audit is to be told before the answer leaves."""

    def form(self, flow: Flow | None) -> Form:
        """Return what the forms of the next page carry."""
        return Form(sessions.form_token(self.cookie), state.seal(self.tenant, flow) if flow else None)

    def tell(self, event: str, flow: Flow | None = None, app: str | None = None, **more: str) -> None:
        """Note an event for the audit, as the doing of who is signed in; `app` is a registered client where there is no flow."""
        account = self.session.account if self.session else None
        self.told.append(_told(event, flow.client_id if flow else app, more, account))

    def tell_refused(self, flow: Flow | None, refused: LoginRefused) -> None:
        """Note that somebody was not let in: named is who they said they are, when there is such a person."""
        client_id = flow.client_id if flow else None
        self.told.append(_told("login refused", client_id, {"waits": "yes" if refused.wait else ""}, refused.account))


def _told(event: str, client_id: str | None, more: dict[str, str], account: Account | None) -> Told:
    detail = {"event": event, "client": client_id or ""} | more | {"person": account.id if account else ""}
    return Told({name: value for name, value in detail.items() if value}, client_id, account)


@dataclass(frozen=True, slots=True)
class Screen:
    """A page to be shown."""

    title: str
    inside: Html
    status: int = 200
    form_target: str | None = None
    wait: int = 0


@dataclass(frozen=True, slots=True)
class Away:
    """Where the browser goes instead."""

    url: str


Next = Screen | Away


@dataclass(frozen=True, slots=True)
class Settled:
    """A flow to which only the decision is missing."""

    flow: Flow
    client: Client
    asked: Asked
    session: Session
    subject: str | None


def refused(error: Shown) -> Screen:
    """Return the page for what may lead nowhere."""
    return Screen("This cannot go on", screens.wrong("This cannot go on", error.text, error.advice), 400)


def target(redirect_uri: str) -> str:
    """Return where a form may lead in the end, as a source of Content-Security-Policy."""
    return origin(redirect_uri) or redirect_uri.partition(":")[0] + ":"


def returned(flow: Flow, error: Error, text: str) -> Returned:
    """Return the refusal of a flow, for the app."""
    return Returned(error, text, flow.redirect_uri, flow.state, flow.client_id)


async def authorize(visit: Visit, params: Params) -> Next:
    """Begin: the request is read, and the first page that it needs is shown."""
    try:
        request = await read(visit.tenant, params)
        if request.silent:
            error: Error = "login_required" if visit.session is None else "interaction_required"
            raise returned(request.flow, error, "prompt=none cannot be met: the person has to sign in and to decide.")
        return await proceed(visit, request.flow)
    except Shown as error:
        visit.tell("authorize refused", reason=error.text, client=error.client_id or "")
        return refused(error)
    except Returned as error:
        visit.tell("authorize refused", app=error.client_id, reason=error.description)
        return Away(error.location(visit.tenant))


async def proceed(visit: Visit, flow: Flow) -> Next:
    """Return the page that a flow needs next; Shown and Returned end it."""
    settled = await settle(visit, flow)
    if not isinstance(settled, Settled):
        return settled
    where, client, asked = target(settled.flow.redirect_uri), settled.client, settled.asked
    person = settled.session.account.name
    inside = screens.consent(
        visit.form(settled.flow), client.name, where, asked, person=person, subject=settled.subject
    )
    return Screen(f"Allow {client.name}?", inside, form_target=where)


async def settle(visit: Visit, flow: Flow) -> Settled | Screen:
    """Return the flow as far as it needs but the decision, or the page on which something is still to be said."""
    client = await clients.get(visit.tenant, flow.client_id, fresh=True)
    if client is None or flow.redirect_uri not in client.redirect_uris:
        raise Shown("The app is not registered any more.", client_id=flow.client_id)
    session = visit.session
    if session is None or (flow.fresh_login and session.began_at.timestamp() < flow.began):
        return Screen("Sign in", screens.login(visit.form(flow), client.name))
    if not await launches.is_for(visit.tenant, flow, session.account.id):
        raise returned(flow, "access_denied", "The launch was made for another person than the one who signed in.")
    asked = by_context(by_person(by_client(client, flow.scope), session.account), flow.context)
    if not asked.resources and not asked.special:
        raise returned(flow, "access_denied", f"Nothing is left to grant. {asked.why()}")
    record = await records.as_person(visit.ask, visit.tenant, session.account, visit.request_id, visit.address)
    chosen_patient = await _patient(visit, client, flow, asked, record)
    if isinstance(chosen_patient, Screen):
        return chosen_patient
    flow, subject = chosen_patient
    chosen_encounter = await _encounter(visit, client, flow, asked, record)
    if isinstance(chosen_encounter, Screen):
        return chosen_encounter
    return Settled(chosen_encounter, client, asked, session, subject)


async def _patient(
    visit: Visit, client: Client, flow: Flow, asked: Asked, record: Records
) -> tuple[Flow, str | None] | Screen:
    """Return the flow with its patient and what that one is called, or the picker."""
    if flow.patient is not None:
        found = await record.patient(flow.patient)
        if found is None:
            raise returned(flow, "access_denied", "The person who signed in may not see the patient of this launch.")
        return flow, found.name
    if not asked.wants_patient:
        return flow, None
    assert visit.session is not None
    few, more = await record.patients("")
    if len(few) == 1 and not more and (visit.session.account.fhir_user or "").startswith(ALONE):
        return msgspec.structs.replace(flow, patient=few[0].id), few[0].name
    return Screen("Choose the patient", screens.patient(visit.form(flow), client.name, few, asked="", more=more))


async def _encounter(visit: Visit, client: Client, flow: Flow, asked: Asked, record: Records) -> Flow | Screen:
    """Return the flow with its encounter, or the picker."""
    if flow.encounter:
        if flow.patient is None or await record.encounter(flow.encounter, flow.patient) is None:
            raise returned(flow, "access_denied", "The person who signed in may not see the encounter of this launch.")
        return flow
    if flow.encounter is not None or not asked.wants_encounter or flow.patient is None or flow.launch is not None:
        return flow
    found = await record.encounters(flow.patient)
    return Screen("Choose the visit", screens.encounter(visit.form(flow), client.name, found))


# ---- forms ----


def first(form: Fields, name: str) -> str:
    """Return a field of a form; empty when it is not there."""
    return form.get(name, [""])[0]


def flow_of(visit: Visit, form: Fields) -> Flow:
    """Return the flow that a form carries; Shown when it is over or was not made here."""
    flow = state.unseal(visit.tenant, first(form, "flow"))
    if flow is None:
        minutes = state.SECONDS // 60
        raise Shown(f"This page is older than {minutes} minutes, or was changed. Open the app again.")
    return flow


async def signed_in(visit: Visit, form: Fields) -> Next:
    """Judge name, password and code; begin a session under a new cookie."""
    flow = flow_of(visit, form) if first(form, "flow") else None
    name = first(form, "login")
    try:
        account = await login.sign_in(visit.tenant, name, first(form, "password"), first(form, "code"), visit.address)
    except LoginRefused as error:
        visit.tell_refused(flow, error)
        client = await clients.get(visit.tenant, flow.client_id) if flow else None
        inside = screens.login(visit.form(flow), client.name if client else None, problem=error.text, name=name[:120])
        return Screen("Sign in", inside, 429 if error.wait else 401, wait=error.wait)
    if visit.session is not None:
        await sessions.end(visit.tenant, visit.session)
    visit.cookie, visit.session = await sessions.begin(visit.tenant, account)
    visit.tell("login", flow)
    return await proceed(visit, flow) if flow else Away("apps")


async def patient_chosen(visit: Visit, form: Fields) -> Next:
    """Take the patient that was chosen, or search by name."""
    flow = flow_of(visit, form)
    if flow.patient is not None or visit.session is None:
        return await proceed(visit, flow)
    record = await records.as_person(visit.ask, visit.tenant, visit.session.account, visit.request_id, visit.address)
    if id_ := first(form, "patient"):
        if await record.patient(id_) is None:
            visit.tell("patient refused", flow)
            text = "You may not open the record that was asked for."
            return Screen("Not possible", screens.wrong("Not possible", text), 403)
        return await proceed(visit, msgspec.structs.replace(flow, patient=id_))
    client = await clients.get(visit.tenant, flow.client_id)
    name = first(form, "name")
    found, more = await record.patients(name)
    inside = screens.patient(visit.form(flow), client.name if client else "", found, asked=name[:100], more=more)
    return Screen("Choose the patient", inside)


async def encounter_chosen(visit: Visit, form: Fields) -> Next:
    """Take the encounter that was chosen; an empty one means none."""
    flow = flow_of(visit, form)
    if flow.encounter is None:
        flow = msgspec.structs.replace(flow, encounter=first(form, "encounter")[:64])
    return await proceed(visit, flow)


async def decided(visit: Visit, form: Fields) -> Next:
    """Take the decision: a code for what is ticked, or the refusal; either goes back to the app."""
    settled = await settle(visit, flow_of(visit, form))
    if not isinstance(settled, Settled):
        return settled
    flow = settled.flow
    left = chosen(settled.asked, frozenset(form.get("scope", ())))
    if first(form, "decision") != "allow":
        raise returned(flow, "access_denied", "The person refused.")
    if not left.resources and not left.special:
        raise returned(flow, "access_denied", "The person left nothing ticked.")
    made = _authorization(settled, left)
    try:
        code = await codes.issue(visit.tenant, flow, made)
    except codes.DecidedAlready:
        raise Shown("This was decided already. Open the app again to decide anew.", client_id=flow.client_id) from None
    visit.tell("allowed", flow, authorization=made.id, scope=made.scope)
    return Away(back(visit.tenant, flow.redirect_uri, flow.state, {"code": code}))


def _authorization(settled: Settled, left: Asked) -> Authorization:
    """Return the authorization of what was left ticked, with the context that goes with it."""
    flow, session = settled.flow, settled.session
    launched = "launch" in left.special
    context = {
        "nonce": flow.nonce, "auth_time": int(session.began_at.timestamp()), "dropped": left.dropped,
        "encounter": flow.encounter if launched or "launch/encounter" in left.special else None,
    }  # fmt: skip
    if launched:
        context |= {name: flow.context.get(name) for name in ("fhirContext", "intent", "need_patient_banner")}
    return Authorization(
        ids.new_id(), flow.client_id, session.account.id, session.digest, left.scope,
        flow.patient if launched or left.wants_patient else None,
        {name: value for name, value in context.items() if value is not None}, clock.now(),
    )  # fmt: skip
