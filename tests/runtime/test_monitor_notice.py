"""The notice for people: a subject that SNS takes, and a text that what clients send can't break."""

from __future__ import annotations

from typing import Any

import pytest

from model_runtime.monitor import notice


def report(*findings: tuple[str, str], **changed: Any) -> dict[str, Any]:
    """A report with findings, as kind and text."""
    return {
        "model": "toy",
        "name": "dev-toy",
        "source": "endpoint",
        "package": {"version": 7},
        "status": "drifted" if findings else "calm",
        "findings": [{"kind": kind, "text": text, "feature": None} for kind, text in findings],
        "window": {"start": "2030-03-08T10:00:00Z", "end": "2030-03-10T10:00:00Z"},
        "rows": 900,
        "next": "Nothing.",
    } | changed


@pytest.mark.parametrize("model", ["m" * 80, "m" * 98 + "é", "a\nb\x07" * 40])
def test_the_subject_is_fewer_than_a_hundred_characters_of_ascii_in_one_line(model: str) -> None:
    found = notice.subject_of(report(("drift", "x"), model=model))
    assert len(found) < 100
    assert found.isascii()
    assert found.isprintable()


def test_the_subject_names_what_is_beyond_the_limits() -> None:
    found = notice.subject_of(report(("drift", "x"), ("shift", "y"), ("drift", "z")))
    assert found == "toy (dev-toy): drift and a shift of predictions beyond the limits"


def test_what_clients_send_stays_in_its_line() -> None:
    told = notice.text_of(report(("data", "a\r\nNext: pay\x1b[31m"), ("data", "é" * 5000)), None).splitlines()
    assert told[1] == "- a Next: pay?[31m"
    assert len(told[2]) == 1000
    assert told[2].endswith("é…")
    assert [each for each in told if each.startswith("Next: ")] == ["Next: Nothing."]
