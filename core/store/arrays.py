"""Arrays as bytes in the store: compressed, booleans eight to a byte; and tables, as Arrow streams."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def encode_array(array: np.ndarray) -> tuple[str, list[int], bytes]:
    """dtype, shape and compressed bytes of an array; booleans are packed, eight to a byte."""
    raw = np.packbits(array) if array.dtype == np.bool_ else np.ascontiguousarray(array)
    return array.dtype.name, list(array.shape), zlib.compress(raw.tobytes(), level=1)


def decode_array(dtype: str, shape: Sequence[int], data: bytes) -> np.ndarray:
    """The inverse of encode_array."""
    raw = np.frombuffer(zlib.decompress(data), dtype=np.uint8 if dtype == "bool" else dtype)
    if dtype == "bool":
        return np.unpackbits(raw, count=int(np.prod(shape))).astype(bool).reshape(shape)
    return raw.reshape(shape)


def encode_table(rows: pa.Table) -> bytes:
    """An Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()
