"""A query's result on disk, and its rows page by page."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_aws.json_api import ApiError

_TOKEN = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True)
class Result:
    """Rows as lines of JSON lists of texts. `columns` are ColumnInfo; `header` adds their names as first row."""

    rows: Path
    count: int
    columns: list[dict[str, Any]]
    header: bool


def page(result: Result, token: str | None, most: int) -> dict[str, Any]:
    """Return GetQueryResults's answer; the token counts the rows shown so far and the bytes they take."""
    shown, offset = _position(token)
    rows = [[column["Name"] for column in result.columns]] if result.header and token is None else []
    with result.rows.open("rb") as file:
        file.seek(offset)
        while len(rows) < most and (line := file.readline()):
            rows.append(json.loads(line))
            offset += len(line)
            shown += 1
    return {
        "UpdateCount": 0,
        "ResultSet": {
            "Rows": [{"Data": [_datum(text) for text in row]} for row in rows],
            "ResultSetMetadata": {"ColumnInfo": result.columns},
        },
        "NextToken": f"{shown}-{offset}" if shown < result.count else None,
    }


def _position(token: str | None) -> tuple[int, int]:
    if token is None:
        return 0, 0
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise ApiError("InvalidRequestException", f"NextToken {token!r} is not a token of this operation")
    return int(found[1]), int(found[2])


def _datum(text: str | None) -> dict[str, str]:
    return {} if text is None else {"VarCharValue": text}
