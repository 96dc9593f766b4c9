"""Bytes of a checkpoint, from a path or S3; nothing is handed out whose digest and format are not the card's."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fhir_server.settings import Settings
from workers.ml.registry.card import Artefact
from workers.ml.registry.formats import CheckpointRefused, check, format_of

if TYPE_CHECKING:
    from collections.abc import Callable

S3 = "s3://"


def read(artefact: Artefact, folder: str, settings: Settings) -> bytes:
    """Return the checked bytes of a file of a model whose card lies in `folder` (a path or an s3:// prefix).

    What came from S3 is kept in the data folder under its digest, so that a restart needs no network.
    Raises CheckpointRefused (digest, format), FileNotFoundError (nothing there).
    """
    format_of(artefact.location)  # by its name, before anything of it is read
    place = beside(folder, artefact.location)
    kept = settings.data / "models" / artefact.sha256 if place.startswith(S3) else None
    data = kept.read_bytes() if kept is not None and kept.exists() else fetch(place, settings)
    found = hashlib.sha256(data).hexdigest()
    if found != artefact.sha256:
        raise CheckpointRefused(
            f"{artefact.location} has sha256 {found[:12]}…, its card says {artefact.sha256[:12]}…: "
            "it is another file or was damaged"
        )
    check(artefact.location, data, artefact.format)
    if kept is not None and not kept.exists():
        _keep(kept, data)
    return data


def beside(folder: str, location: str) -> str:
    """Return where a location that a card in `folder` names is."""
    if location.startswith(S3) or Path(location).is_absolute():
        return location
    return f"{folder.rstrip('/')}/{location}"


def fetch(place: str, settings: Settings) -> bytes:
    """Return what lies at a path or s3:// address; FileNotFoundError says where nothing is, OSError who did not answer."""
    if not place.startswith(S3):
        return Path(place).read_bytes()
    from botocore.exceptions import BotoCoreError

    parts, client = urlsplit(place), _client(settings)
    try:
        answer: bytes = client.get_object(Bucket=parts.netloc, Key=parts.path.lstrip("/"))["Body"].read()
    except client.exceptions.ClientError as error:
        raise FileNotFoundError(f"{place}: {error.response.get('Error', {}).get('Code', 'refused')}") from error
    except BotoCoreError as error:  # no credentials, no answer, no such host
        raise OSError(f"{place}: {type(error).__name__}") from error
    return answer


def artefact_of(path: Path, purpose: Any) -> Artefact:
    """Return the entry that a card has of a file beside it; checked like everything that is read later."""
    data = path.read_bytes()
    stated = format_of(path.name)
    check(path.name, data, stated)
    return Artefact(path.name, stated, hashlib.sha256(data).hexdigest(), purpose, len(data))


def _client(settings: Settings) -> Any:
    import boto3  # takes a second, and is needed only where S3 is used

    secret: Callable[[Any], str | None] = lambda value: value.get_secret_value() if value else None  # noqa: E731
    return boto3.client(
        "s3",
        endpoint_url=settings.aws_endpoint_url,
        aws_access_key_id=secret(settings.aws_access_key_id),
        aws_secret_access_key=secret(settings.aws_secret_access_key),
    )


def _keep(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(data)
    unfinished.replace(path)
