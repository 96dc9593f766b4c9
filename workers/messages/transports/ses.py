"""E-mail by Amazon SES (API v2, SendEmail), by boto3 in a thread. The ref travels as a tag, which the events of SES bring back.

SES takes no idempotency key and lists nothing: after a broken connection nobody knows until an event comes. So boto3 never tries
again by itself.
"""

from __future__ import annotations

import asyncio
import functools
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
)

from fhir_server.settings import Settings
from workers.messages.port import Later, Never, Outgoing, Unsure

TAG: Final = "clarity-ref"
_SECONDS: Final = 10
_NEVER: Final = frozenset({"MessageRejected", "BadRequestException", "ValidationException"})
_NOT_SENT: Final = (EndpointConnectionError, ConnectTimeoutError, NoCredentialsError, PartialCredentialsError)


@functools.lru_cache(maxsize=4)
def _client(region: str, endpoint: str | None, key: str | None, secret: str | None) -> Any:
    config = Config(
        connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1, "mode": "standard"}
    )
    return boto3.session.Session().client(
        "sesv2",
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


@dataclass(frozen=True, slots=True)
class Ses:
    """One sender of one account."""

    sender: str
    configuration_set: str | None
    client: Any
    name: str = "ses"
    remembers: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Ses:
        """Return the sender of the settings."""
        assert settings.ses_from is not None
        key = settings.aws_access_key_id and settings.aws_access_key_id.get_secret_value()
        secret = settings.aws_secret_access_key and settings.aws_secret_access_key.get_secret_value()
        client = _client(settings.ses_region, settings.aws_endpoint_url, key, secret)
        return cls(settings.ses_from, settings.ses_configuration_set, client)

    async def send(self, message: Outgoing) -> str:
        """Send a plain text mail; the `MessageId` that it gets is the id."""
        return await asyncio.to_thread(self._send, message)

    def _send(self, message: Outgoing) -> str:
        given: dict[str, Any] = {
            "FromEmailAddress": self.sender,
            "Destination": {"ToAddresses": [message.to]},
            "Content": {"Simple": {"Subject": _text(message.subject), "Body": {"Text": _text(message.text)}}},
            "EmailTags": [{"Name": TAG, "Value": message.ref}],
        }
        if self.configuration_set:
            given["ConfigurationSetName"] = self.configuration_set
        try:
            return str(self.client.send_email(**given)["MessageId"])
        except ClientError as error:
            raise _failure(error) from error
        except _NOT_SENT as error:
            credentials = isinstance(error, NoCredentialsError | PartialCredentialsError)
            raise Later("credentials" if credentials else "connection") from error
        except (BotoCoreError, KeyError, OSError) as error:
            raise Unsure("broken-answer") from error

    async def find(self, message: Outgoing, since: datetime) -> str | None:  # noqa: ARG002  the port's words
        """Return None: SES lists nothing."""
        return None


def _text(data: str) -> dict[str, str]:
    return {"Data": data, "Charset": "UTF-8"}


def _failure(error: ClientError) -> Later | Never:
    """Return what an answer of SES means: only what it says of this mail is for ever."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    if code in _NEVER:
        return Never("provider-refused")
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    text = str(headers.get("retry-after", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return Later(f"status-{status}", float(text) if text.isdecimal() and len(text) < 7 else None)
