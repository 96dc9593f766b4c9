"""Accounts: what can be made, what is kept of it, and what roles allow."""

from __future__ import annotations

import asyncio

import pytest

from fhir_server.auth.people import accounts, failures, roles, totp
from fhir_server.auth.people.accounts import AccountError
from fhir_server.auth.people.login import LoginRefused, sign_in
from fhir_server.auth.people.roles import AGGREGATE, ROLES
from tests.auth.conftest import quick_hashes

PASSWORD = "correct horse battery staple"


async def test_what_is_kept_tells_no_name(tenant, unique):
    made = await accounts.add(
        tenant,
        login=f"Ada-{unique}",
        password=PASSWORD,
        roles=["patient"],
        name="Ada Lovelace",
        fhir_user="Patient/ada",
    )
    assert (made.login, made.name, made.fhir_user) == (f"Ada-{unique}", "Ada Lovelace", "Patient/ada")
    row = await tenant.pool.fetchrow(tenant.sql("SELECT * FROM {s}.person WHERE id = $1"), made.id)
    kept = " ".join(map(str, row.values()))
    for word in ("Ada", "ada-", "Lovelace", PASSWORD):
        assert word not in kept
    assert (await accounts.find(tenant, f" aDA-{unique} ")) == made


async def test_a_tenants_people_are_nobody_to_another(tenants, unique):
    one, other = tenants.values()
    await accounts.add(one, login=f"x-{unique}", password=PASSWORD, roles=["patient"])
    assert await accounts.find(other, f"x-{unique}") is None
    await accounts.add(other, login=f"x-{unique}", password=PASSWORD, roles=["patient"])


WRONG = [
    ({"password": "short"}, "12 to 256"),
    ({"password": "x" * 257}, "12 to 256"),
    ({"password": "the-LOGIN-is-in-here", "login": "login"}, "hold the login"),
    ({"roles": []}, "needs a role"),
    ({"roles": ["king"]}, "no role king"),
    ({"fhir_user": "Observation/1"}, "Practitioner"),
    ({"fhir_user": "https://other.example/Patient/1"}, "Practitioner"),
    ({"fhir_user": "Patient"}, "Practitioner"),
    ({"login": ""}, "printable"),
    ({"login": "a\nb"}, "printable"),
    ({"login": "x" * 121}, "printable"),
]


@pytest.mark.smart(198)
@pytest.mark.parametrize(("change", "why"), WRONG, ids=str)
async def test_what_cannot_be_made(tenant, unique, change, why):
    given = {"login": unique, "password": PASSWORD, "roles": ["patient"]} | change
    with pytest.raises(AccountError, match=why):
        await accounts.add(tenant, **given)


async def test_a_login_is_taken_once_whatever_its_case(tenant, unique):
    await accounts.add(tenant, login=f"a{unique}", password=PASSWORD, roles=["patient"])
    with pytest.raises(AccountError, match="taken"):
        await accounts.add(tenant, login=f"A{unique}".upper(), password=PASSWORD, roles=["patient"])


# ---- signing in ----


async def test_guesses_at_the_same_time_are_counted_too(tenant, unique):
    await accounts.add(tenant, login=unique, password=PASSWORD, roles=["patient"])

    async def guess(number: int) -> int:
        try:
            await sign_in(tenant, unique, f"guess number {number}", "", f"addr-{unique}")
        except LoginRefused as refused:
            return refused.wait
        raise AssertionError("a guess was right")

    waits = await asyncio.gather(*(guess(number) for number in range(40)))
    assert sum(wait == 0 for wait in waits) == failures.ACCOUNT.free


async def test_waits_grow_and_end(tenant, unique, monkeypatch):
    limit, now = failures.Limit("test", 2), failures.clock.now()
    monkeypatch.setattr(failures.clock, "now", lambda: now)
    assert [await failures.attempt(tenant, limit, unique) for _ in range(3)] == [0, 0, 15]
    waits = []
    for _ in range(9):
        wait = await failures.attempt(tenant, limit, unique)
        waits.append(wait)
        now = now + failures.clock.now().resolution * 1_000_000 * wait
        assert await failures.attempt(tenant, limit, unique) == 0
    assert waits == [15, 30, 60, 120, 240, 480, 900, 900, 900]


async def test_success_forgets_the_failures_of_the_account_only(tenant, unique):
    await accounts.add(tenant, login=unique, password=PASSWORD, roles=["patient"])
    for number in range(4):
        with pytest.raises(LoginRefused):
            await sign_in(tenant, unique, f"guess number {number}", "", f"a-{unique}")
    await sign_in(tenant, unique, PASSWORD, "", f"a-{unique}")
    key = failures._key(tenant, failures.ADDRESS, f"a-{unique}")
    count = await tenant.pool.fetchval(tenant.sql("SELECT count FROM {s}.failure WHERE key = $1"), key)
    assert count == 4
    for number in range(4):
        with pytest.raises(LoginRefused) as refused:
            await sign_in(tenant, unique, f"guess number {number}", "", f"a-{unique}")
        assert refused.value.wait == 0


# RFC 6238 appendix B, SHA-1, the last six of its eight digits
VECTORS = [
    (59, "287082"),
    (1111111109, "081804"),
    (1111111111, "050471"),
    (1234567890, "005924"),
    (20000000000, "353130"),
]


@pytest.mark.parametrize(("at", "digits"), VECTORS)
def test_totp_by_the_vectors_of_its_rfc(at, digits, monkeypatch):
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    assert totp.code(secret, at // totp.STEP) == digits
    monkeypatch.setattr(totp.clock, "seconds", lambda: float(at))
    assert totp.step_of(secret, digits, after=0) == at // totp.STEP
    assert totp.step_of(secret, digits, after=at // totp.STEP) is None
    assert totp.step_of(secret, "ü", after=0) is None


# ---- roles ----


def test_the_roles_are_those_that_were_asked_for():
    asked = "psychiatrist clinician patient device auditor administrator researcher"
    assert set(ROLES) == set(asked.split())


@pytest.mark.parametrize("name", ROLES)
def test_no_role_reaches_beyond_a_person(name):
    assert {scope.level for scope in roles.rights(frozenset({name}))} <= {"patient", "user"}


def test_only_the_auditor_sees_a_type_of_everybody():
    unlimited = {name: set(role.unlimited) for name, role in ROLES.items() if role.unlimited}
    assert unlimited == {"auditor": {"AuditEvent"}, "researcher": {AGGREGATE}}


def test_who_manages_sees_no_record():
    words = {right.partition(".")[0] for right in ROLES["administrator"].rights}
    assert not words & {"*", "Patient", "Observation", "Condition"}


__all__ = ["quick_hashes"]
