"""What a checkpoint may be: safetensors, ONNX or XGBoost JSON, told by its content; whatever runs code is refused."""

from __future__ import annotations

import io
import pickletools
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Final

import msgspec

from workers.ml.registry.card import Format

NAMES: Final[Mapping[str, Format]] = MappingProxyType(
    {".safetensors": "safetensors", ".onnx": "onnx", ".json": "xgboost-json"}
)
_RUNS_CODE: Final = frozenset(
    {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".bin", ".ckpt", ".npy", ".npz", ".sav", ".dill"}
)
_HEADER_LIMIT: Final = 100 << 20
_MODEL_FIELDS: Final = frozenset({*range(1, 9), 14, 20, 25, 26})
"""Field numbers of ONNX' ModelProto."""
_GRAPH, _OPSETS = 7, 8


class CheckpointRefused(ValueError):
    """A checkpoint that is not read; the text says why and what would be."""


def format_of(location: str) -> Format:
    """Return the format that a file's name states; CheckpointRefused for every name that may stand for a pickle."""
    ending = PurePosixPath(location).suffix.lower()
    if ending in _RUNS_CODE:
        raise CheckpointRefused(f"{_name(location)} may be a pickle, which runs code when it is read: use safetensors")
    if ending not in NAMES:
        raise CheckpointRefused(f"{_name(location)} is no checkpoint: its name must end in {', '.join(NAMES)}")
    return NAMES[ending]


def check(location: str, data: bytes, stated: Format) -> None:
    """Pass when name and content are of the stated format; CheckpointRefused otherwise."""
    if (named := format_of(location)) != stated:
        raise CheckpointRefused(f"{_name(location)} is called {named}, its card says {stated}")
    if _IS[stated](data):
        return
    found = "a pickle, which runs code when it is read" if _is_pickle(data) else "something else"
    raise CheckpointRefused(f"the content of {_name(location)} is not {stated} but {found}")


def _name(location: str) -> str:
    return PurePosixPath(location).name


def _is_safetensors(data: bytes) -> bool:
    size = int.from_bytes(data[:8], "little") if len(data) >= 8 else 0
    if not 2 <= size <= min(_HEADER_LIMIT, len(data) - 8) or data[8:9] != b"{":
        return False
    try:
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, dict[str, msgspec.Raw]])
    except msgspec.MsgspecError:
        return False
    return all("data_offsets" in entry for name, entry in header.items() if name != "__metadata__")


def _is_xgboost(data: bytes) -> bool:
    try:
        found = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    except msgspec.MsgspecError:
        return False
    return {"learner", "version"} <= found.keys()


def _is_onnx(data: bytes) -> bool:
    """Return whether the bytes are the fields of a ModelProto, with a graph and its operator sets."""
    try:
        fields = set(_fields(data))
    except ValueError:
        return False
    return {_GRAPH, _OPSETS} <= fields <= _MODEL_FIELDS


def _fields(data: bytes) -> Iterator[int]:
    """Yield the field numbers of a protobuf message; ValueError when it is none."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(data, place)
        elif kind == 2:
            size, place = _varint(data, place)
            place += size
        else:
            raise ValueError("a ModelProto has numbers and messages only")
        if place > len(data):
            raise ValueError("cut off")
        yield tag >> 3


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(data):
            raise ValueError("cut off")
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("no varint")


def _is_pickle(data: bytes) -> bool:
    """Return whether the bytes are a pickle, or a torch archive with one; its instructions are read, never run."""
    if zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith(".pkl") for name in archive.namelist())
    try:
        return any(code.name == "STOP" for code, _, _ in pickletools.genops(data))
    except (ValueError, IndexError, UnicodeDecodeError, KeyError):
        return False


_IS: Final[Mapping[Format, Callable[[bytes], bool]]] = MappingProxyType(
    {"safetensors": _is_safetensors, "onnx": _is_onnx, "xgboost-json": _is_xgboost}
)
