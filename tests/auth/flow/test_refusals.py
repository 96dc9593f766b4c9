"""What the authorize endpoint refuses: to the person when a redirect could lead to a stranger, else to the app; with advice."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from fhir_server.auth import clients
from fhir_server.auth.redirects import ClientError, origin
from tests.auth.flow.browser import Pkce, answer
from tests.auth.flow.conftest import CALLBACK, PASSWORD, SCOPE, to_consent

STRANGERS = [
    "https://evil.example/callback",
    CALLBACK + "/",
    CALLBACK + "/..",
    CALLBACK + "?x=1",
    CALLBACK + "#x",
    CALLBACK.upper(),
    "HTTPS://app.example/callback",
    "https://APP.example/callback",
    "https://app.example:443/callback",
    "https://app.example:8443/callback",
    "https://app.example@evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://app.example/callback%2f..%2f",
    "https://\u0430pp.example/callback",
    "http://app.example/callback",
    "//app.example/callback",
    "javascript:alert(1)",
    "data:text/html,x",
    CALLBACK + " ",
    CALLBACK + "\r\nSet-Cookie: a=b",
    "",
]


@pytest.mark.smart(18)
@pytest.mark.parametrize("uri", STRANGERS, ids=str)
async def test_a_redirect_uri_that_is_not_registered_goes_nowhere(browser, app, uri):
    page = await browser().open(app.url(redirect_uri=uri))
    assert page.status == 400
    assert "location" not in page.response.headers
    assert "code=" not in page.response.text


async def test_the_nearest_registered_redirect_uri_is_named(browser, app):
    page = await browser().open(app.url(redirect_uri="https://app.example/calback"))
    assert f"nearest that is registered is {CALLBACK}" in page.text


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "x" * 5000},
        {"client_id": "a\x00b"},
        {"client_id": "<script>"},
        {"redirect_uri": None},
        {"client_id": "nobody", "response_type": "token"},
        {"client_id": "nobody", "scope": "patient/*.sr"},
    ],
    ids=str,
)
async def test_an_unknown_client_goes_nowhere(browser, app, change):
    page = await browser().open(app.url(**change))
    assert page.status == 400
    assert "location" not in page.response.headers
    assert not any(tag == "script" for tag, _ in page.tags)


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_said_twice_goes_nowhere(browser, app, name):
    page = await browser().open(app.url() + "&" + urlencode({name: app.params()[name]}))
    assert page.status == 400
    assert "location" not in page.response.headers


SENT_BACK = [
    ({"response_type": "token"}, "unsupported_response_type", "code"),
    ({"response_type": None}, "unsupported_response_type", "code"),
    ({"response_mode": "fragment"}, "invalid_request", "query"),
    ({"state": None}, "invalid_request", "state"),
    ({"state": "x" * 2049}, "invalid_request", "2048"),
    ({"aud": None}, "invalid_request", "aud must be"),
    ({"aud": "https://other.example/fhir"}, "invalid_request", "it is https://other.example/fhir"),
    ({"aud": "SLASH"}, "invalid_request", "aud must be"),
    ({"scope": None}, "invalid_scope", "Send scope"),
    ({"scope": "patient/Observation.sr"}, "invalid_scope", "order"),
    ({"scope": "patient/Observation.rs?code:in=x"}, "invalid_scope", "modifiers"),
    ({"scope": "patient/Nonsense.rs"}, "invalid_scope", "not a resource type"),
    ({"scope": "patient/*.rs?"}, "invalid_scope", "filter"),
    ({"scope": "system/*.rs"}, "invalid_scope", "backend services"),
    ({"scope": "email address"}, "invalid_scope", "knows no such scope"),
    ({"scope": "__introspect"}, "invalid_scope", "client itself"),
    ({"code_challenge": None, "code_challenge_method": None}, "invalid_request", "PKCE"),
    ({"code_challenge": None}, "invalid_request", "PKCE"),
    ({"code_challenge_method": None}, "invalid_request", "S256"),
    ({"code_challenge_method": "plain"}, "invalid_request", "S256"),
    ({"code_challenge": "x" * 42}, "invalid_request", "43"),
    ({"code_challenge": "x" * 44}, "invalid_request", "43"),
    ({"code_challenge": Pkce("a-verifier-" * 6).challenge + "="}, "invalid_request", "43"),
    ({"launch": "x"}, "invalid_request", "scope launch"),
    ({"scope": "launch patient/*.rs"}, "invalid_request", "parameter launch"),
    ({"scope": "launch patient/*.rs", "launch": "guessed"}, "invalid_request", "open the app again"),
    ({"request": "x.y.z"}, "invalid_request", "request"),
    ({"prompt": "nonsense"}, "invalid_request", "prompt"),
    ({"prompt": "none login"}, "invalid_request", "none alone"),
    ({"nonce": "x" * 513}, "invalid_request", "nonce"),
]


@pytest.mark.smart(15, 96)
@pytest.mark.parametrize(("change", "error", "says"), SENT_BACK, ids=str)
async def test_what_is_sent_back_to_the_app(browser, app, change, error, says):
    if change.get("aud") == "SLASH":
        change = {"aud": app.tenant.base + "/"}
    back = answer(await browser().open(app.url(**change)))
    assert back["to"] == CALLBACK
    assert back["error"] == error
    assert says in back["error_description"]
    assert back["iss"] == app.root
    assert "code" not in back
    if "state" not in change:
        assert back["state"] == app.params()["state"]


async def test_the_expected_aud_is_named(browser, app):
    back = answer(await browser().open(app.url(aud="https://other.example/fhir")))
    assert app.tenant.base in back["error_description"]


async def test_resource_stands_for_aud(browser, app):
    page = await browser().open(app.url(aud=None, resource=app.tenant.base))
    assert page.form("login")
    assert answer(await browser().open(app.url(resource="https://other.example")))["error"] == "invalid_request"


async def test_a_scope_twice_is_one_and_a_parameter_twice_is_an_error(browser, app):
    assert (await browser().open(app.url(scope="patient/*.rs patient/*.rs"))).form("login")
    back = answer(await browser().open(app.url() + "&scope=patient%2F%2A.cruds"))
    assert back["error"] == "invalid_request"


async def test_what_was_dropped_is_said_with_the_reason(browser, app, ward):
    page = await to_consent(
        browser(), app, ward.own.login, scope="patient/*.rs email launch/patient openid profile system/*.rs"
    )
    assert "The app asked for more" in page.text
    assert "this server knows no such scope" in page.text
    assert "for backend services" in page.text


async def test_nothing_is_left_for_an_auditor(browser, app, tenant, unique):
    from fhir_server.auth.people import accounts

    await accounts.add(tenant, login=f"aud-{unique}", password=PASSWORD, roles=["auditor"])
    page = await to_consent(browser(), app, f"aud-{unique}", scope="user/Observation.rs")
    back = answer(page)
    assert back["error"] == "access_denied"
    assert "role" in back["error_description"]


async def test_a_wrong_password_says_nothing_about_whose(browser, app, ward, unique):
    b = browser()
    page = await b.open(app.url())
    known = await b.sign_in(page, ward.own.login, "wrong password 1")
    unknown = await b.sign_in(page, f"nobody-{unique}", "wrong password 1")
    assert known.status == unknown.status == 401
    assert known.text == unknown.text
    done = await b.sign_in(known, ward.own.login, PASSWORD)
    assert done.form("consent")


REDIRECTS = [
    ("https://app.example/cb", True),
    ("http://127.0.0.1:3000/cb", True),
    ("http://[::1]:3000/cb", True),
    ("http://localhost/cb", True),
    ("org.example.app:/cb", True),
    ("https://app.example/cb?tenant=1", True),
    ("http://app.example/cb", False),
    ("javascript:alert(1)", False),
    ("data:text/html,x", False),
    ("https://user@app.example/cb", False),
    ("https://app.example/cb#x", False),
    ("https:///cb", False),
    ("https://app.example:99999/cb", False),
    ("https://app.example/ cb", False),
    ("https://app.example/cb?state=1", False),
    ("https://app.example/cb?a=1&iss=https://evil.example", False),
    ("https://app.example/\u00fc", False),
    ("https://app.example\\@evil.example/", False),
    ("file:///etc/passwd", False),
    ("", False),
]


@pytest.mark.smart(18, 24, 316)
@pytest.mark.parametrize(("uri", "taken"), REDIRECTS, ids=str)
async def test_what_may_be_registered(tenant, uri, taken):
    if taken:
        client, _ = await clients.add(tenant, name="x", scope=SCOPE, public=True, redirect_uris=[uri])
        assert client.redirect_uris == (uri,)
        assert (await clients.get(tenant, client.client_id, fresh=True)) == client
    else:
        with pytest.raises(ClientError):
            await clients.add(tenant, name="x", scope=SCOPE, public=True, redirect_uris=[uri])


async def test_a_public_client_needs_a_redirect_uri(tenant):
    with pytest.raises(ClientError, match="redirect URI"):
        await clients.add(tenant, name="x", scope=SCOPE, public=True)
    with pytest.raises(ClientError, match="launch URL"):
        await clients.add(tenant, name="x", scope=SCOPE, public=True, redirect_uris=[CALLBACK], launch_url="ftp://x")


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("https://App.Example:443/x", "https://app.example"),
        ("http://127.0.0.1:3000/x", "http://127.0.0.1:3000"),
        ("http://[::1]:3000/x", "http://[::1]:3000"),
        ("org.example.app:/cb", None),
    ],
)
def test_origins_as_browsers_write_them(url, seen):
    assert origin(url) == seen


@pytest.mark.parametrize(
    "tail",
    ["&" + "&".join(f"a{n}=1" for n in range(120)), "&x=%ff", "&state=%ff%fe", "&x=" + "a" * 17_000],
    ids=["many", "no UTF-8", "state", "long"],
)
async def test_what_cannot_be_read_goes_nowhere(browser, app, tail):
    page = await browser().open(app.url() + tail)
    assert page.status == 400
    assert "location" not in page.response.headers
    assert "parameters in percent-encoded UTF-8" in page.text or "characters" in page.text


async def test_a_post_that_is_no_form_is_told_so(app):
    for kind in ("application/json", "multipart/form-data; boundary=x"):
        url = f"{app.root}/oauth2/authorize"
        answer = await app.http.post(url, content=urlencode(app.params()), headers={"content-type": kind})
        assert answer.status_code == 400
        assert "application/x-www-form-urlencoded" in answer.text
