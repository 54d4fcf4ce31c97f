"""The entry point `monitor`: a processing job that compares what a model was asked with what it was trained on.

It reads the captures of an endpoint, or the published rows beside their batch predictions, of a window; then writes the
output `report`, the same files to their place for good, metrics to its log, and a notice when things turned.

    report/statistics.json, constraints.json, constraint_violations.json     in Model Monitor's schemas
    report/report.json, report.html                                          all that was found, and its page

Without arguments, and with the variables of Model Monitor's contract for containers, it is the analyzer of a native
monitoring schedule (see byoc).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from model_runtime.errors import JobError
from model_runtime.lineage import job_of
from model_runtime.monitor import byoc, notice
from model_runtime.monitor.constraints import suggested_constraints
from model_runtime.monitor.findings import JUDGED, LOOKED_BACK
from model_runtime.monitor.ground_truth import GroundTruth, read_labels
from model_runtime.monitor.lake import Lake, hour_floor
from model_runtime.monitor.monitor_metrics import metric_lines
from model_runtime.monitor.published_predictions import PublishedPredictions
from model_runtime.monitor.report import Run, Watched
from model_runtime.monitor.report_page import report_page
from model_runtime.monitor.served_version import Version, find_version, served_by
from model_runtime.monitor.settings import MonitorSettings, settings_text
from model_runtime.monitor.statistics import statistics_json
from model_runtime.monitor.traffic import Question, Traffic, read_batches, read_traffic
from model_runtime.monitor.window import AUTO, NOW, Window, shown
from model_runtime.paths import ContainerPaths
from model_runtime.problems import asked_problem
from model_runtime.rule_metrics import MODEL_VARIABLE

OUTPUT = "report"
LIVE = "live"
LATEST = "latest.json"
TYPES = {".json": "application/json", ".html": "text/html; charset=utf-8"}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The command line. Either `endpoint` and `captures`, or `predictions`, `manifest` and `key` are given.

    `looks_back` says that somebody asks of another time or another version than those of now, which tells nothing of
    how things stand: its report is written, and nothing else.
    """

    endpoint: str | None
    captures: str | None
    predictions: str | None
    manifest: str | None
    key: Sequence[str]
    package: str
    ground_truth: str | None
    settings: MonitorSettings
    window: Window
    reports: str | None
    topic: str | None
    execution: str | None
    workers: int
    looks_back: bool = False


def parse_arguments(argv: Sequence[str]) -> Asked:
    """Read the command line; raises JobError for what is missing, doesn't fit together, or is no time or number."""
    parser = argparse.ArgumentParser(prog="monitor", exit_on_error=False, allow_abbrev=False)
    for name in ("endpoint", "captures", "predictions", "manifest", "key", "ground-truth", "reports", "topic", "group"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--package", default=LIVE)
    parser.add_argument("--execution")
    parser.add_argument("--labels-within-hours", default="48")
    parser.add_argument("--settings", default="{}")
    parser.add_argument("--now", default=shown(datetime.now(UTC)))
    parser.add_argument("--start", default=AUTO)
    parser.add_argument("--end", default=AUTO)
    parser.add_argument("--workers", default=str(len(os.sched_getaffinity(0))))
    try:
        known, unknown = parser.parse_known_args(list(argv))
    except argparse.ArgumentError as error:
        raise JobError(f"monitor: {error}") from error
    if unknown:
        raise JobError(f"monitor doesn't know the arguments {' '.join(unknown)}")
    if (known.endpoint is None) == (known.predictions is None):
        raise JobError("monitor needs either --endpoint, with --captures, or --predictions, with --manifest and --key")
    needed = ("captures",) if known.endpoint else ("manifest", "key")
    missing = [f"--{name}" for name in needed if not getattr(known, name)]
    if missing:
        raise JobError(f"monitor needs {', '.join(missing)}")
    settings = MonitorSettings.parse(settings_text(known.settings), asked_problem())
    within = _number("--labels-within-hours", known.labels_within_hours)
    return Asked(
        endpoint=known.endpoint,
        captures=known.captures,
        predictions=known.predictions,
        manifest=known.manifest,
        key=(known.key or "").split(","),
        package=known.package,
        ground_truth=known.ground_truth,
        settings=settings,
        window=Window.parse(known.start, known.end, known.now, settings.window_days, within),
        reports=known.reports,
        topic=known.topic,
        execution=known.execution,
        workers=_number("--workers", known.workers, least=1),
        looks_back=known.end not in (AUTO, NOW) or known.package != LIVE,
    )


def _number(name: str, text: str, least: int = 0) -> int:
    if not text.isdecimal() or int(text) < least:
        raise JobError(f"{name} must be a whole number of at least {least}, got {text!r}")
    return int(text)


def main(paths: ContainerPaths, argv: Sequence[str]) -> None:
    """Write the report, and say in the message how things stand."""
    if not argv and byoc.is_asked(os.environ):
        byoc.main(paths, os.environ)
        return
    asked, lake = parse_arguments(argv), Lake()
    with tempfile.TemporaryDirectory() as scratch:
        run = look(asked, lake, paths, Path(scratch))
        report = {**run.report(), "looks_back": asked.looks_back}
        if asked.looks_back:
            report["next"] = LOOKED_BACK
    files = write_files(paths.processing_output(OUTPUT), report, run)
    place = keep(asked, lake, report, files, paths)
    if asked.looks_back:
        print("this run was asked for another time or version than now: no metrics, no notice, no newest report")
    else:
        for line in metric_lines(report):
            print(line, flush=True)
    said = summary(report)
    print(said, flush=True)
    paths.message.parent.mkdir(parents=True, exist_ok=True)
    paths.message.write_text(said, encoding="utf-8")
    if place is not None:
        print(f"the report is at {place}", flush=True)


def look(asked: Asked, lake: Lake, paths: ContainerPaths, scratch: Path) -> Run:
    """Read what there is of the window."""
    problem, window = asked_problem(), asked.window
    model = os.environ.get(MODEL_VARIABLE) or asked.endpoint or "model"
    name = asked.endpoint or str(asked.predictions)
    source = "endpoint" if asked.endpoint else "batch"
    run = Run(
        Watched(model=model, problem=problem.name, source=source, name=name), window=window, settings=asked.settings
    )
    if asked.endpoint:
        _look_at_endpoint(asked, run, lake, paths, scratch)
    else:
        _look_at_predictions(asked, run, lake, paths, scratch)
    return run


def _look_at_endpoint(asked: Asked, run: Run, lake: Lake, paths: ContainerPaths, scratch: Path) -> None:
    assert asked.endpoint is not None
    served = served_by(asked.endpoint)
    if served is None:
        run.reasons.append(f"there is no endpoint {asked.endpoint}: it is made when a version is released")
        return
    package, since = (served.package(), served.since) if asked.package == LIVE else (asked.package, None)
    if since is not None and since > asked.window.start:
        # rows of before were made for another version, whose features may be others
        run.window = asked.window.since(since)
        said = f"what serves was configured {shown(since)}: requests from before are left out"
        run.reasons.append(said)
        print(said, flush=True)
    run.version = find_version(package, scratch / "version", lake)
    window = run.window
    question = _question(asked, run.version, window, since, paths)
    folder = f"{str(asked.captures).rstrip('/')}/{asked.endpoint}/{served.variant}"
    files = lake.hour_files(folder, min(window.start, window.judged_from), window.end)
    run.traffic = read_traffic(question, files, asked.workers, lake)
    run.watched = replace(run.watched, since=None if since is None else shown(since))
    run.truth = _labels(asked, lake, run.traffic)


def _look_at_predictions(asked: Asked, run: Run, lake: Lake, paths: ContainerPaths, scratch: Path) -> None:
    window = asked.window
    source = PublishedPredictions(str(asked.predictions), str(asked.manifest), asked.key, lake)
    first = min(window.start, window.judged_from)
    package = source.newest_package(first, window.end) if asked.package == LIVE else asked.package
    if package is None:
        run.reasons.append(f"no day from {first.date()} to {window.end.date()} has predictions")
        return
    run.version = find_version(package, scratch / "version", lake)
    question = _question(asked, run.version, window, None, paths)
    description = run.version.description
    batches = source.batches(first, window.end, description.features, description.label, package)
    run.traffic = read_batches(question, batches)
    run.traffic.counts = source.counts
    run.truth = _labels(asked, lake, run.traffic)


def _question(
    asked: Asked, version: Version, window: Window, since: datetime | None, paths: ContainerPaths
) -> Question:
    baseline = version.baselines.predictions
    code = version.code_directory(paths)
    facets = asked.settings.facets
    if code is None and any(isinstance(value, str) for facet in facets for value in facet.values):
        print("warning: groups aren't compared, their names need encoders that only the input 'code' has", flush=True)
        facets = ()
    return Question(
        window=window,
        features=version.description.features,
        problem=version.problem.name,
        code=code,
        package=version.description.model if code else None,
        since=since,
        edges=baseline.edges if baseline else (),
        facets=facets,
        searched=not version.has_trees,
        explains=asked.settings.minimum_ndcg is not None and version.has_trees,
    )


def _labels(asked: Asked, lake: Lake, traffic: Traffic) -> GroundTruth | None:
    """The labels that have come from the first judged prediction until now; those that came with the rows else."""
    if asked.ground_truth is None:
        truth = read_labels(lake, [], traffic.predictions)
        return truth if truth.labelled else None
    window = traffic.question.window
    until = max(hour_floor(window.now) + timedelta(hours=1), window.end)
    files = lake.hour_files(asked.ground_truth, hour_floor(window.judged_from), until)
    return read_labels(lake, files, traffic.predictions, traffic.unjudged)


def write_files(directory: Path, report: Mapping[str, Any], run: Run) -> list[Path]:
    """Write the files of a report; returns them."""
    directory.mkdir(parents=True, exist_ok=True)
    contents = {
        "statistics.json": statistics_json(run.table),
        "constraints.json": suggested_constraints(run.table),
        "constraint_violations.json": {"violations": report["violations"]},
        "report.json": report,
    }
    for name, content in contents.items():
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (directory / "report.html").write_text(report_page(report), encoding="utf-8")
    return [directory / name for name in (*contents, "report.html")]


def keep(
    asked: Asked, lake: Lake, report: Mapping[str, Any], files: Sequence[Path], paths: ContainerPaths
) -> str | None:
    """Put the files where reports stay, tell people when things turned, and note the newest report.

    Returns the URI of the page. The note is written last: a run that is ended before it tells people again. One that
    can't tell them leaves what they know of as it was, so that the next run tells them.
    """
    if asked.reports is None:
        if asked.topic is not None:
            raise JobError("--topic needs --reports, which tell whether things have turned since the last run")
        return None
    root = asked.reports.rstrip("/")
    execution = asked.execution or job_of(paths.processing_configuration).get("ProcessingJobName", "run")
    folder = f"{root}/{asked.window.now:%Y/%m/%d/%H}/{execution}"
    for file in files:
        lake.write(f"{folder}/{file.name}", file.read_bytes(), TYPES[file.suffix])
    page = f"{folder}/report.html"
    if asked.looks_back:
        return page
    latest = lake.read_json(f"{root}/{LATEST}") or {}
    last = latest.get("judged")
    status = report["status"]
    known = status in JUDGED
    if asked.topic is not None and notice.is_due(status, last):
        known = notice.send(asked.topic, report, page)
    note = {
        "report": f"{folder}/report.json",
        "page": page,
        "status": status,
        "judged": status if known else last,
        "window": report["window"],
        "at": shown(asked.window.now),
    }
    lake.write(f"{root}/{LATEST}", (json.dumps(note, indent=1) + "\n").encode(), TYPES[".json"])
    return page


def summary(report: Mapping[str, Any]) -> str:
    """How things stand, in a line."""
    found = report["findings"]
    said = f"{report['status'].replace('_', ' ')}: {report['rows']:,} rows"
    return f"{said}; {'; '.join(each['text'] for each in found[:3])}" if found else said
