"""The addresses of an app: what may be registered, and what is said to one that names another (RFC 6749 §3.1.2, RFC 8252).

A redirect URI is compared letter for letter with those registered; no prefix, case or port rule bends it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

MAX_REDIRECTS: Final = 20
MAX_LENGTH: Final = 1000
_PRINTABLE = re.compile(r"[!-~]+")
_PRIVATE_SCHEME = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
"""RFC 8252 §7.1: a scheme of an app is a domain name turned around, so it has a dot; `javascript:` and `data:` have none."""
_ANSWERS: Final = frozenset({"code", "state", "iss", "error", "error_description", "error_uri"})
"""What the answer of the authorize endpoint adds (RFC 6749 §4.1.2, RFC 9207): an app that read a registered one would be fooled."""
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class ClientError(ValueError):
    """A client that cannot be registered; the text says why and what to do."""


def _parts(url: str) -> SplitResult | None:
    """Return a URL taken apart; None for what is none, or holds a user name, a fragment or anything but printable ASCII."""
    if not _PRINTABLE.fullmatch(url) or len(url) > MAX_LENGTH or set('"<>\\^`{|}#') & set(url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return None if "@" in parts.netloc else parts


def checked_url(url: str, what: str) -> str:
    """Return an http(s) URL; ClientError unless it is whole."""
    parts = _parts(url)
    if parts is None or not parts.hostname or parts.scheme not in ("https", "http"):
        raise ClientError(f"{what} is https://host/path, without user name or fragment")
    return url


def checked_key_url(url: str) -> str:
    """Return the address of a JWK set; ClientError unless it is https, or http on this very machine (while developing)."""
    parts = urlsplit(checked_url(url, "the JWK set's URL"))
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        raise ClientError("the JWK set's URL is https: keys that came by http would be anybody's")
    return url


def checked_redirects(urls: Sequence[str]) -> tuple[str, ...]:
    """Return redirect URIs that may be registered; ClientError says what is wrong with one."""
    if len(urls) > MAX_REDIRECTS:
        raise ClientError(f"a client has {MAX_REDIRECTS} redirect URIs at most")
    for url in urls:
        parts = _parts(url)
        web = parts is not None and bool(parts.hostname) and parts.scheme == "https"
        local = parts is not None and parts.scheme == "http" and parts.hostname in _LOOPBACK
        app = parts is not None and _PRIVATE_SCHEME.fullmatch(parts.scheme) is not None
        if not (web or local or app):
            raise ClientError(
                "a redirect URI is https://host/path, http:// on this very machine (127.0.0.1, [::1], localhost), or has a"
                " scheme of the app's own such as org.example.app:/callback; without user name and fragment"
            )
        if parts is not None and (
            said := _ANSWERS & {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        ):
            raise ClientError(f"a redirect URI has no parameter {sorted(said)[0]}: that is for the answer to say")
    return tuple(dict.fromkeys(urls))


def nearest(asked: str, registered: Iterable[str]) -> str | None:
    """Return the registered URI that looks most like the one asked for."""
    found = get_close_matches(asked[:MAX_LENGTH], list(registered), n=1, cutoff=0.5)
    return found[0] if found else None


def origin(url: str) -> str | None:
    """Return the web origin of a URL as browsers write it; None for an app's own scheme."""
    parts = _parts(url)
    if parts is None or parts.scheme not in ("https", "http") or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port and parts.port != usual else "")
