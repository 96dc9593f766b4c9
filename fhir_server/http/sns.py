"""Notifications of Amazon SNS: the signature by Amazon's certificate, the topic that is ours, the confirmation of a subscription.

Anybody may have SNS sign a message of a topic of their own: what counts is signature **and** topic (SES_TOPIC_ARN).
The certificate comes from Amazon's host by https and is kept, or from a file (SES_TOPIC_CERTIFICATE) where nothing may be fetched.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any, Final
from urllib.parse import urlsplit

import httpcore
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from fhir_server.errors import FhirError, Forbidden, Unavailable
from fhir_server.kit import addresses, clock, json
from fhir_server.kit.addresses import Closed, Reach
from fhir_server.settings import Settings

Fetch = Callable[[str], Awaitable[bytes]]
"""Gets what an address of Amazon's holds; OSError when it cannot."""

_HOST: Final = re.compile(r"sns\.[a-z0-9-]{3,40}\.amazonaws\.com(?:\.cn)?")
_SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
    "UnsubscribeConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
_HASHES: Final = {"1": SHA1, "2": SHA256}
_MOST: Final = 64 * 1024
_KEPT: Final = 16
_SECONDS: Final = 10.0


class Sns:
    """Takes what SNS posts, for one topic."""

    def __init__(self, settings: Settings, fetch: Fetch | None = None) -> None:
        self._topic = settings.ses_topic_arn
        self._pinned = settings.ses_topic_certificate
        self._fetch = fetch or _get
        self._certificates: dict[str, x509.Certificate] = {}

    async def event(self, body: bytes) -> str | None:
        """Return the message of a notification, None when a subscription was confirmed; Forbidden unless all of it holds."""
        envelope = _envelope(body)
        if self._topic is None or not hmac.compare_digest(envelope["TopicArn"].encode(), self._topic.encode()):
            raise _refused("The message is not of the topic SES_TOPIC_ARN.")
        certificate = await self._certificate(_amazons(envelope.get("SigningCertURL", ""), ".pem"))
        if not genuine(envelope, certificate):
            raise _refused("The signature is not that of Amazon SNS over this message.")
        if envelope["Type"] == "SubscriptionConfirmation":
            await self._get(_amazons(envelope["SubscribeURL"], ""))
        return envelope["Message"] if envelope["Type"] == "Notification" else None

    async def _certificate(self, url: str) -> x509.Certificate:
        if url not in self._certificates:
            if len(self._certificates) >= _KEPT:
                self._certificates.clear()
            pem = await asyncio.to_thread(self._pinned.read_bytes) if self._pinned else await self._get(url)
            try:
                self._certificates[url] = x509.load_pem_x509_certificate(pem)
            except ValueError:
                raise _refused("The certificate cannot be read.") from None
        return self._certificates[url]

    async def _get(self, url: str) -> bytes:
        try:
            return await self._fetch(url)
        except OSError:
            raise Unavailable("Amazon SNS does not answer now; send it again.", "hook-away") from None


def genuine(envelope: dict[str, str], certificate: x509.Certificate) -> bool:
    """Tell whether the certificate holds now and its key has signed the message (SNS signature versions 1 and 2)."""
    now, key = clock.now().astimezone(UTC), certificate.public_key()
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False
    kind = _HASHES.get(envelope.get("SignatureVersion", ""))
    if kind is None or not isinstance(key, RSAPublicKey):
        return False
    names = [name for name in _SIGNED[envelope["Type"]] if name in envelope]
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names)
    try:
        signature = base64.b64decode(envelope.get("Signature", ""), validate=True)
        key.verify(signature, text.encode(), PKCS1v15(), kind())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _envelope(body: bytes) -> dict[str, str]:
    try:
        found: Any = json.decode(body)
    except FhirError:
        found = None
    if not isinstance(found, dict) or found.get("Type") not in _SIGNED:
        raise _refused("The body is no message of Amazon SNS.")
    texts = {name: value for name, value in found.items() if isinstance(value, str)}
    needed = [name for name in _SIGNED[texts["Type"]] if name != "Subject"]
    if any(name not in texts for name in needed):
        raise _refused("The body is no whole message of Amazon SNS.")
    return texts


def _amazons(url: str, suffix: str) -> str:
    """Return the address, if it is one of SNS itself by https."""
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "https" and parts.netloc == parts.hostname
    except ValueError:
        plain = False
    if not plain or not _HOST.fullmatch(parts.netloc) or not parts.path.endswith(suffix):
        raise _refused("The message names an address that is not of Amazon SNS.")
    return url


def _refused(text: str) -> Forbidden:
    return Forbidden(text, "hook-signature")


async def _get(url: str) -> bytes:
    """Get what is public on the Internet, a little of it."""
    try:
        async with (
            addresses.connections(Reach()) as client,
            asyncio.timeout(_SECONDS),
            client.stream("GET", url) as answer,
        ):
            body = b""
            async for chunk in answer.aiter_stream():
                body += chunk
                if len(body) > _MOST:
                    raise OSError("too long")
            if answer.status != 200:
                raise OSError("not there")
            return body
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, TimeoutError, Closed) as error:
        raise OSError("no answer") from error
