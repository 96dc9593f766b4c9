"""Blobs in S3, or in what speaks like it (MinIO, Ceph): boto3, which blocks, in threads; it retries by itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fhir_server.settings import Settings
from fhir_server.storage.blobs.stores import BlobMissing, StoreAway

if TYPE_CHECKING:
    from collections.abc import Callable

_GONE = frozenset({"NoSuchKey", "404", "NoSuchVersion"})
_SECONDS = 10


class Bucket:
    """One bucket; the client is made when it is first needed, for boto3 takes half a second to load."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def _opened(self) -> Any:
        if self._client is None:
            import boto3
            from boto3.session import Config

            key, secret = self._settings.aws_access_key_id, self._settings.aws_secret_access_key
            self._client = boto3.client(
                "s3",
                endpoint_url=self._settings.aws_endpoint_url,
                region_name=self._settings.aws_region,
                aws_access_key_id=key.get_secret_value() if key else None,
                aws_secret_access_key=secret.get_secret_value() if secret else None,
                config=Config(
                    connect_timeout=_SECONDS, read_timeout=60, retries={"max_attempts": 3, "mode": "standard"}
                ),
            )
        return self._client

    async def _call(self, work: Callable[[Any], Any]) -> Any:
        """Do something with the client in a thread; errors of botocore and of the network become ours, without its words."""
        try:
            return await asyncio.to_thread(lambda: work(self._opened()))
        except OSError as error:
            raise StoreAway(f"S3 cannot be reached: {type(error).__name__}") from None
        except Exception as error:
            if not type(error).__module__.startswith("botocore"):
                raise
            said: dict[str, Any] = getattr(error, "response", None) or {}
            code = str(said.get("Error", {}).get("Code", type(error).__name__))
            if code in _GONE:
                raise BlobMissing("a blob is not in its bucket") from None
            raise StoreAway(f"S3 answers {code}") from None

    async def put(self, name: str, data: bytes) -> None:
        """Put an object."""
        await self._call(lambda s3: s3.put_object(Bucket=self._settings.s3_bucket, Key=name, Body=data))

    async def part(self, name: str, start: int, length: int) -> bytes:
        """Get a range of an object."""
        asked = f"bytes={start}-{start + length - 1}"
        found: bytes = await self._call(
            lambda s3: s3.get_object(Bucket=self._settings.s3_bucket, Key=name, Range=asked)["Body"].read()
        )
        return found

    async def delete(self, name: str) -> None:
        """Delete an object."""
        await self._call(lambda s3: s3.delete_object(Bucket=self._settings.s3_bucket, Key=name))
