"""Runs a cdk-nag pack on an app and compares its findings with the answers that constructs give to them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from aws_cdk import Acknowledgment, App, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

from mlops_constructs import findings


@dataclass(frozen=True)
class Answer:
    """What a construct says to a finding, for itself and everything in it."""

    path: str
    finding: str
    reason: str

    def covers(self, path: str, finding: str) -> bool:
        """Whether a finding at a construct is meant: a star in an answer stands for any text."""
        inside = path == self.path or path.startswith(f"{self.path}/")
        return inside and bool(re.fullmatch(re.escape(self.finding).replace(r"\*", ".*"), finding))


@dataclass(frozen=True)
class Audit:
    """Findings as (path, id), the answers to them, and the findings of other checks as they are printed."""

    assembly: Path
    found: list[tuple[str, str]]
    answers: list[Answer]
    others: list[Any]

    @property
    def unanswered(self) -> list[tuple[str, str]]:
        """Findings that no construct answers."""
        return [each for each in self.found if not any(answer.covers(*each) for answer in self.answers)]

    @property
    def stale(self) -> list[Answer]:
        """Answers to findings that nothing has anymore."""
        return [answer for answer in self.answers if not any(answer.covers(*each) for each in self.found)]


def audit(build: Callable[[], App]) -> Audit:
    """Build an app, and synthesize it under the AwsSolutions pack.

    The answers are noted down instead of handed to the CDK, so that the pack reports everything that it finds.
    """
    answers: list[Answer] = []

    class Notes:
        @staticmethod
        def of(construct: IConstruct) -> Notes:
            notes = Notes()
            notes.path = construct.node.path
            return notes

        path = ""

        def acknowledge(self, *given: Acknowledgment) -> None:
            answers.extend(Answer(self.path, each.id, each.reason or "") for each in given)

    with mock.patch.object(findings, "Validations", Notes):
        app = build()
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    report = Path(app.outdir) / "validation-report.json"
    try:
        app.synth()
    except RuntimeError as error:  # jsii's, when a plugin finds something
        if "ValidationFailed" not in str(error):
            raise
    plugins = json.loads(report.read_text(encoding="utf-8"))["pluginReports"]
    found = [
        (construct["constructPath"], violation["ruleName"])
        for plugin in plugins
        for violation in plugin["violations"]
        if plugin["pluginName"] == "AwsSolutions"
        for construct in violation["violatingConstructs"]
    ]
    others = [plugin for plugin in plugins if plugin["pluginName"] != "AwsSolutions" and plugin["violations"]]
    return Audit(Path(app.outdir), found, answers, others)
