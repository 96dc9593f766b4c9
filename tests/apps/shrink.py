"""Pictures of screens as small PNG: their 256 most frequent colours, which are nearly all, and no filter, for flat grounds."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page

Pixels = NDArray[np.uint8]
_MOST = 256
_READ = """async text => {
  const image = await createImageBitmap(await (await fetch("data:image/png;base64," + text)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height), context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data, parts = [];
  for (let at = 0; at < data.length; at += 32768) parts.push(String.fromCharCode(...data.subarray(at, at + 32768)));
  return [image.width, image.height, btoa(parts.join(""))];
}"""


def shrunk(png: bytes, blank: Page) -> bytes:
    """Return an 8-bit PNG with a palette, without alpha; a blank page of a browser reads the picture."""
    width, height, data = blank.evaluate(_READ, base64.b64encode(png).decode())
    pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)[:, :, :3]
    palette, index = _palette(pixels)
    rows = np.zeros((height, width + 1), np.uint8)
    rows[:, 1:] = index
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    parts = ((b"IHDR", head), (b"PLTE", palette.tobytes()), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _palette(pixels: Pixels) -> tuple[Pixels, Pixels]:
    """Return the most frequent colours, and for each pixel which of them is nearest."""
    wide = pixels.astype(np.uint32)
    flat = (wide[:, :, 0] << 16 | wide[:, :, 1] << 8 | wide[:, :, 2]).ravel()
    colours, place, counts = np.unique(flat, return_inverse=True, return_counts=True)
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)
    kept = rgb[np.argsort(-counts, kind="stable")[:_MOST]]
    nearest = np.empty(len(rgb), np.uint8)
    for start in range(0, len(rgb), 4096):
        part = rgb[start : start + 4096]
        nearest[start : start + 4096] = ((part[:, None] - kept[None]) ** 2).sum(axis=2).argmin(axis=1)
    return kept.astype(np.uint8), nearest[place.ravel()].reshape(pixels.shape[:2])
