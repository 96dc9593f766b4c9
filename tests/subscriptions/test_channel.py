"""Channels: what is served and what is refused, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.subscriptions import channel
from fhir_server.subscriptions.refusal import Refusal


def of(endpoint: str = "https://example.org/hook", **more: Any) -> dict[str, Any]:
    return {"channel": {"type": "rest-hook", "endpoint": endpoint} | more}


@pytest.mark.parametrize(
    ("endpoint", "origin", "plain", "below"),
    [
        ("https://example.org", "https://example.org:443", "/", "/Observation/1"),
        ("https://example.org:8443/a/b?c=d", "https://example.org:8443", "/a/b?c=d", "/a/b/Observation/1?c=d"),
        ("http://127.0.0.1:9/x/", "http://127.0.0.1:9", "/x/", "/x/Observation/1"),
        ("https://[::1]:9/x", "https://::1:9", "/x", "/x/Observation/1"),
    ],
)
def test_an_endpoint_is_taken_apart(endpoint: str, origin: str, plain: str, below: str) -> None:
    found = channel.parse(of(endpoint))
    assert (found.origin, found.target(), found.target("Observation/1")) == (origin, plain, below)


@pytest.mark.parametrize(
    "endpoint",
    [
        "ftp://example.org", "https:///x", "https://a:b@example.org", "https://example.org/#x", "//example.org", "example.org",
        "https://example.org:99999", "https://exa mple.org", "https://example.org/\r\nX: y", "https://ex\u00e4mple.org", "file:///etc",
    ],
)  # fmt: skip
def test_endpoints_that_are_none(endpoint: str) -> None:
    with pytest.raises(Refusal) as error:
        channel.parse(of(endpoint))
    assert error.value.reason == "endpoint-invalid"


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ({"channel": {"type": "email", "endpoint": "mailto:a@b"}}, "channel-not-supported"),
        ({"channel": {"type": "rest-hook"}}, "endpoint-missing"),
        (of(payload="application/fhir+xml"), "payload-not-supported"),
        (of(header=["no colon"]), "header-invalid"),
        (of(header=["A: b\r\nC: d"]), "header-invalid"),
        (of(header=["Host: other"]), "header-not-allowed"),
        (of(header=["content-length: 0"]), "header-not-allowed"),
        (of(header=["Webhook-Id: 1"]), "header-not-allowed"),
        (of(header=["A: 1"] * 21), "header-not-allowed"),
    ],
)
def test_channels_that_are_not_served(resource: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refusal) as error:
        channel.parse(resource)
    assert error.value.reason == reason


def test_headers_are_conveyed_as_written() -> None:
    found = channel.parse(of(header=["Authorization: Bearer  a=b ", "X-Empty:"]))
    assert found.headers == (("Authorization", "Bearer  a=b"), ("X-Empty", ""))
