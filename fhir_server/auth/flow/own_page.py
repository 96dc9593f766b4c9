"""The person's own page: which apps have access in their name, taking that back, signing out (SMART `management_endpoint`)."""

from __future__ import annotations

from fhir_server.auth import bearer, clients
from fhir_server.auth.flow import authorizations
from fhir_server.auth.flow.steps import Away, Fields, Next, Screen, Visit, first
from fhir_server.auth.pages import screens
from fhir_server.auth.pages.screens import App
from fhir_server.auth.people import sessions
from fhir_server.kit import clock


async def sign_in(visit: Visit) -> Next:
    """Show the form by which a person signs in, without an app."""
    if visit.session is not None:
        return Away("apps")
    return Screen("Sign in", screens.login(visit.form(None), None))


async def show(visit: Visit) -> Next:
    """Show the apps that hold an authorization of the person."""
    if visit.session is None:
        return Away("login")
    account = visit.session.account
    found = [
        App(each.id, await _called(visit, each.client_id), clock.instant(each.created_at)[:10], each.scope.split())
        for each in await authorizations.of_person(visit.tenant, account)
    ]
    return Screen("Your apps", screens.apps(visit.form(None), account.name, found))


async def _called(visit: Visit, client_id: str) -> str:
    client = await clients.get(visit.tenant, client_id)
    return client.name if client else client_id


async def take_back(visit: Visit, form: Fields) -> Next:
    """End an authorization of the person: refresh tokens at once, access tokens within a minute everywhere."""
    if visit.session is None:
        return Away("login")
    id_ = first(form, "authorization")
    if await authorizations.end(visit.tenant, id_, person=visit.session.account.id):
        bearer.forget(visit.tenant)
        visit.tell("taken back", authorization=id_)
    return Away("apps")


async def signed_out(visit: Visit, _form: Fields) -> Next:
    """End the session; apps with `online_access` get no more tokens."""
    if visit.session is not None:
        await sessions.end(visit.tenant, visit.session)
        visit.tell("logout")
        visit.cookie, visit.session = sessions.new_cookie(), None
    return Away("login")
