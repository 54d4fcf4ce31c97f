"""What a transform job does with records beside its container: it filters them, and joins them with the answers.

Source: "Associate Prediction Results with Input Records",
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from local_aws.sagemaker.workspace import Record

CSV = "text/csv"
JSON = "application/json"
JSON_LINES = "application/jsonlines"
WHOLE = "$"
JOINED = "SageMakerOutput"

Part: TypeAlias = Callable[[Any], Any]

_CHILD = re.compile(r"\.(?:\*|([A-Za-z_][\w-]*))")
_BRACKETS = re.compile(r"\.?\[([^\]]*)\]")
_NAMES = re.compile(r"'[^']*'(?:\s*,\s*'[^']*')*")
_INDEXES = re.compile(r"-?\d+(?:\s*,\s*-?\d+)*")


class FilterError(ValueError):
    """A filter that isn't understood, or a record that it doesn't fit; the text says which."""


def parse_filter(text: str) -> Part:
    """Read a JSONPath of SageMaker's subset; FilterError for another one."""
    if not text.startswith(WHOLE):
        raise FilterError(f"the filter {text!r} must begin with $")
    parts: list[Part] = []
    position = 1
    while position < len(text):
        child = _CHILD.match(text, position)
        if child:
            parts.append(_named(child[1]) if child[1] else _everything)
        else:
            child = _BRACKETS.match(text, position)
            if child is None:
                raise FilterError(f"the filter {text!r} can't be read from {text[position:]!r} on")
            parts.append(_bracketed(text, child[1].strip()))
        position = child.end()

    def select(value: Any) -> Any:
        for part in parts:
            try:
                value = part(value)
            except (LookupError, TypeError):
                raise FilterError(f"the filter {text!r} finds nothing in {json.dumps(value)[:80]}") from None
        return value

    return select


def _bracketed(text: str, inside: str) -> Part:
    if inside == "*":
        return _everything
    if _NAMES.fullmatch(inside):
        names = re.findall(r"'([^']*)'", inside)
        return _named(names[0]) if len(names) == 1 else lambda value: {name: value[name] for name in names}
    if _INDEXES.fullmatch(inside):
        indexes = [int(index) for index in inside.split(",")]
        return _at(indexes[0]) if len(indexes) == 1 else lambda value: [_at(index)(value) for index in indexes]
    start, colon, end = inside.partition(":")
    if colon and re.fullmatch(r"-?\d*", start) and not end:
        return lambda value: _list(value)[int(start or 0) :]
    if colon and end:
        raise FilterError(
            f"the filter {text!r} has a slice with an end, which SageMaker's guide counts in and the JSONPath that it "
            "refers to doesn't: list the indexes instead"
        )
    raise FilterError(f"the filter {text!r} has [{inside}]: it takes indexes, names in quotes, [n:] and *")


def _named(name: str) -> Part:
    return lambda value: value[name]


def _at(index: int) -> Part:
    return lambda value: _list(value)[index]


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _everything(value: Any) -> Any:
    return list(value.values()) if isinstance(value, Mapping) else _list(value)


@dataclass(frozen=True)
class RecordProcessing:
    """The filters of one job; `sent` is what the container gets of a record, `kept` what the output does."""

    content_type: str
    input_filter: str = WHOLE
    joins: bool = False
    output_filter: str = WHOLE

    @classmethod
    def of(cls, request: Record) -> RecordProcessing | None:
        """What a request for a job asks for, None for nothing; FilterError for what SageMaker or this doesn't do."""
        asked = request.get("DataProcessing") or {}
        found = cls(
            content_type=request["TransformInput"].get("ContentType", ""),
            input_filter=asked.get("InputFilter") or WHOLE,
            joins=asked.get("JoinSource") == "Input",
            output_filter=asked.get("OutputFilter") or WHOLE,
        )
        if (found.input_filter, found.joins, found.output_filter) == (WHOLE, False, WHOLE):
            return None
        accept, types = request["TransformOutput"].get("Accept"), (CSV, JSON, JSON_LINES)
        if found.content_type not in types or accept != found.content_type:
            raise FilterError(
                f"DataProcessing needs the same ContentType and Accept, one of {', '.join(types)}; "
                f"got {found.content_type or None} and {accept}"
            )
        lines = "None" if found.content_type == JSON else "Line"
        split = request["TransformInput"].get("SplitType", "None")
        assemble = request["TransformOutput"].get("AssembleWith", "None")
        if (split, assemble) != (lines, lines):
            raise FilterError(
                f"DataProcessing of {found.content_type} needs the SplitType and AssembleWith {lines}, "
                f"got {split} and {assemble}"
            )
        for path in (found.input_filter, found.output_filter):
            parse_filter(path)
            if found.content_type == CSV and re.search(r"[.'*]", path):
                raise FilterError(f"the filter {path!r} is of CSV, whose columns have indexes alone: $[0,2], $[1:]")
        return found

    def sent(self, record: bytes) -> bytes:
        """What the container is sent of a record; FilterError when the filter doesn't fit it."""
        if self.input_filter == WHOLE:
            return record
        return self._write(parse_filter(self.input_filter)(self._read(record)))

    def kept(self, record: bytes, answer: bytes) -> bytes:
        """What the output has for a record and its answer; FilterError when the filter doesn't fit them."""
        if not self.joins and self.output_filter == WHOLE:
            return answer
        value = self._read(answer)
        if self.joins:
            value = self._joined(self._read(record), value)
        return self._write(value if self.output_filter == WHOLE else parse_filter(self.output_filter)(value))

    def _joined(self, record: Any, answer: Any) -> Any:
        if self.content_type == CSV:
            return [*record, *answer]
        if isinstance(record, Mapping):
            return {**record, JOINED: answer}
        return {"SageMakerInput": record, JOINED: answer}

    def _read(self, record: bytes) -> Any:
        try:
            text = record.decode()
            return next(csv.reader([text]), []) if self.content_type == CSV else json.loads(text)
        except (ValueError, csv.Error) as error:
            raise FilterError(f"{record[:80]!r} can't be read as {self.content_type}: {error}") from error

    def _write(self, value: Any) -> bytes:
        if self.content_type != CSV:
            return json.dumps(value).encode()
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(value if isinstance(value, list) else [value])
        return line.getvalue().encode()
