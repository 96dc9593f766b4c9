"""Makes a new dictionary of the body codec from the corpus: `python -m workers.demo.train`. Old ones are never touched.

Bodies name the dictionary they were written with (`storage/codec.py`), so a new one only changes what is written from then on.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import zstandard

from fhir_server.kit import clock, ids, json
from fhir_server.storage import codec
from fhir_server.storage.prepare import stamped
from workers.demo.corpus import corpus

SEED: Final = 20260
SIZE: Final = 112 * 1024
LARGEST: Final = 24_000
"""Bytes of a sample at most: what is larger compresses well by itself and would crowd out the small ones."""


def samples(seed: int) -> Iterator[bytes]:
    """Yield the corpus as bodies are stored: with id, version and time stamped."""
    moment = clock.instant(clock.now())
    for resource in corpus(seed):
        body = json.encode(stamped(resource, resource["resourceType"], ids.new_id(), 1, moment))
        if len(body) <= LARGEST:
            yield body


def train(folder: Path) -> Path:
    """Write the next dictionary into `folder` and return where it is."""
    data = zstandard.train_dictionary(SIZE, list(samples(SEED)), k=200, d=8, f=20, accel=1, level=3, split_point=1.0)
    path = folder / f"{codec.newest() + 1:04d}.zdict"
    path.write_bytes(data.as_bytes())
    return path


if __name__ == "__main__":
    codec.FOLDER.mkdir(exist_ok=True)
    sys.stdout.write(f"{train(codec.FOLDER)}\n")
