"""The built apps under `/apps/`: policy, caching, compression, and what is not there."""

from __future__ import annotations

import gzip
import re

import httpx
import pytest

from fhir_server.app import application
from fhir_server.http import apps
from tests.rest_fixtures import services

__all__ = ["services"]
LIMIT = 150_000


@pytest.fixture
async def site(services):
    transport = httpx.ASGITransport(app=application(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://clarity.test") as client:
        yield client


async def test_a_page_runs_nothing_but_its_own_files(site):
    page = await site.get("/apps/twin/")
    assert page.status_code == 200
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "<style" not in page.text
    assert not re.search(r"<script(?![^>]*src=)|style=|onclick", page.text)


async def test_pages_are_asked_for_again_and_files_are_kept(site):
    page = await site.get("/apps/twin/")
    assert page.headers["cache-control"] == "no-cache"
    again = await site.get("/apps/twin/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    script = re.search(r'src="(/apps/assets/[^"]+\.js)"', page.text)
    assert script
    file = await site.get(script[1])
    assert file.status_code == 200
    assert "immutable" in file.headers["cache-control"]
    assert file.headers["content-encoding"] == "gzip"
    plain = await site.get(script[1], headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == file.content


@pytest.mark.parametrize(
    "path", ["/apps/none/", "/apps/twin/none.js", "/apps/../pyproject.toml", "/apps/%2e%2e/README.md"]
)
async def test_what_is_not_an_app_is_not_there(site, path):
    assert (await site.get(path)).status_code == 404


async def test_addresses_without_their_slash_lead_on_with_their_query(site):
    moved = await site.get("/apps/twin?iss=x&launch=y")
    assert (moved.status_code, moved.headers["location"]) == (307, "/apps/twin/?iss=x&launch=y")
    assert (await site.get("/apps/")).headers["location"] == f"/apps/{apps.FIRST}/"


def loaded(page: str, files: dict[str, apps.File]) -> int:
    """Return how many compressed bytes a page loads: itself, its style sheets and scripts, and the modules that those name."""
    waiting, seen = [f"{page}/index.html"], set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in files:
            continue
        seen.add(name)
        waiting += [f"assets/{found}" for found in re.findall(r"([\w-]+\.(?:js|css))", files[name].body.decode())]
    return sum(len(gzip.compress(files[name].body, 9)) for name in seen)


def test_no_app_is_heavier_than_it_may_be():
    files = apps.read()
    pages = [name.removesuffix("/index.html") for name in files if name.endswith("/index.html")]
    assert "twin" in pages
    sizes = {page: loaded(page, files) for page in pages}
    assert all(1_000 < size < LIMIT for size in sizes.values()), sizes
