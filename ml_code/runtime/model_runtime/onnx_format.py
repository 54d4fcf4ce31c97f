"""The few parts of ONNX that a tree model needs, written in its binary form.

The package `onnx` would bring compiled code of many megabytes into the image for what is a handful of messages. Their
numbers are fixed by https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3, and the wire format is that of
https://protobuf.dev/programming-guides/encoding/. ONNX Runtime reads what is written here, and refuses what is
malformed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FLOAT, UINT8 = 1, 2
_TENSOR_TYPES: Mapping[str, int] = {"float32": FLOAT, "uint8": UINT8}
_IR_VERSION = 10
_BYTES, _VARINT = 2, 0
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_STRING, _ATTRIBUTE_TENSOR, _ATTRIBUTE_INTS = 1, 2, 3, 4, 7

Attribute = int | float | str | Sequence[int] | npt.NDArray[np.float32] | npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator; `domain` is that of ONNX itself when left out."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    domain: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


def model_bytes(
    nodes: Iterable[Node],
    *,
    rows: tuple[str, int],
    result: tuple[str, int],
    constants: Mapping[str, npt.NDArray[np.float32]],
    versions: Mapping[str, int],
    notes: Mapping[str, str],
) -> bytes:
    """A model that takes one float matrix and gives one.

    Parameters
    ----------
    rows, result
        The name and the number of columns of what goes in and what comes out; any number of rows.
    constants
        Lists of numbers that nodes take as inputs, by name.
    versions
        The version of the operators of each domain.
    notes
        What the model says of itself, by key.
    """
    graph = b"".join(_message(1, _node(node)) for node in nodes)
    graph += _text(2, "model")
    graph += b"".join(_message(5, _tensor(values) + _text(8, name)) for name, values in constants.items())
    graph += _message(11, _matrix(*rows)) + _message(12, _matrix(*result))
    content = _number(1, _IR_VERSION) + _text(2, "model_runtime") + _message(7, graph)
    for domain, version in versions.items():
        content += _message(8, _text(1, domain) + _number(2, version))
    for key, value in notes.items():
        content += _message(14, _text(1, key) + _text(2, value))
    return content


def _node(node: Node) -> bytes:
    content = b"".join(_text(1, name) for name in node.inputs) + b"".join(_text(2, name) for name in node.outputs)
    content += _text(4, node.operator)
    content += b"".join(_message(5, _attribute(name, value)) for name, value in node.attributes.items())
    return content + (_text(7, node.domain) if node.domain else b"")


def _attribute(name: str, value: Attribute) -> bytes:
    head = _text(1, name)
    if isinstance(value, np.ndarray):
        return head + _message(5, _tensor(value)) + _number(20, _ATTRIBUTE_TENSOR)
    if isinstance(value, str):
        return head + _text(4, value) + _number(20, _ATTRIBUTE_STRING)
    if isinstance(value, float):
        return head + b"\x15" + struct.pack("<f", value) + _number(20, _ATTRIBUTE_FLOAT)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    return head + _message(8, b"".join(map(_varint, value))) + _number(20, _ATTRIBUTE_INTS)


def _tensor(values: npt.NDArray[np.float32] | npt.NDArray[np.uint8]) -> bytes:
    raw = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).tobytes()
    return _message(1, _varint(values.size)) + _number(2, _TENSOR_TYPES[values.dtype.name]) + _message(9, raw)


def _matrix(name: str, columns: int) -> bytes:
    dimensions = _message(1, _text(2, "rows")) + _message(1, _number(1, columns))
    return _text(1, name) + _message(2, _message(1, _number(1, FLOAT) + _message(2, dimensions)))


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; only numbers that aren't negative occur."""
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _number(field_number: int, value: int) -> bytes:
    return _varint(field_number << 3 | _VARINT) + _varint(value)


def _message(field_number: int, content: bytes) -> bytes:
    return _varint(field_number << 3 | _BYTES) + _varint(len(content)) + content


def _text(field_number: int, text: str) -> bytes:
    return _message(field_number, text.encode())
