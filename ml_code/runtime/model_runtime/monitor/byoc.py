"""The monitor as the container of a native monitoring schedule: told by variables, everything in files.

Source: Amazon SageMaker developer guide, "Support for Your Own Containers With Amazon SageMaker Model Monitor", with
its pages on inputs, outputs, and metrics for CloudWatch. Without baseline files in the variables it is a job that makes
a baseline, and suggests constraints.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from model_runtime.errors import JobError
from model_runtime.monitor import native_quality
from model_runtime.monitor.captured_rows import BodyRows, RowParser, Unreadable, body_of
from model_runtime.monitor.captures import CaptureCounts, CaptureReader
from model_runtime.monitor.constraints import read_constraints, suggested_constraints
from model_runtime.monitor.distances import linf_simple
from model_runtime.monitor.lake import HourFile, Lake, local_files
from model_runtime.monitor.native_metrics import write_metrics
from model_runtime.monitor.sketches import TableSketch
from model_runtime.monitor.statistics import Statistics, read_statistics, statistics_json
from model_runtime.monitor.violations import violations
from model_runtime.monitor.window import instant
from model_runtime.paths import ContainerPaths

SOURCE, FORMAT = "dataset_source", "dataset_format"
CAPTURE, MERGED = "sagemakerCaptureJson", "sagemakerMergeJson"
"""Captures as they are, and as a merge job has joined them with their ground truth: lines of the same shape."""
QUALITY = "MODEL_QUALITY"
BATCH_ROWS = 50_000
Handler = Callable[[Any], Any]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The variables of the contract, read."""

    format: Mapping[str, Any]
    source: Path
    output: Path
    start: datetime | None
    end: datetime | None
    statistics: Any
    constraints: Any
    is_quality: bool
    publishes: bool
    endpoint: str
    schedule: str
    environment: Mapping[str, str]

    @classmethod
    def read(cls, paths: ContainerPaths, environment: Mapping[str, str]) -> Contract:
        """Read them; raises JobError, naming the variable, for what is missing or can't be read."""
        for name in (FORMAT, SOURCE, "output_path"):
            if not environment.get(name):
                raise JobError(f"the variable {name} isn't set, which a monitoring job needs")
        try:
            form = json.loads(environment[FORMAT])
        except ValueError as error:
            raise JobError(f"the variable {FORMAT} must be JSON, got {environment[FORMAT][:80]!r}: {error}") from error
        if not isinstance(form, dict) or not set(form) & {CAPTURE, MERGED, "csv", "json", "parquet"}:
            raise JobError(
                f"the variable {FORMAT} must name one of {CAPTURE}, {MERGED}, csv, json, parquet, got {form}"
            )

        def moment(name: str) -> datetime | None:
            return instant(name, environment[name]) if environment.get(name) else None

        return cls(
            format=form,
            source=paths.at(environment[SOURCE]),
            output=paths.at(environment["output_path"]),
            start=moment("start_time"),
            end=moment("end_time"),
            statistics=_file(paths, environment, "baseline_statistics"),
            constraints=_file(paths, environment, "baseline_constraints"),
            is_quality=environment.get("analysis_type") == QUALITY,
            publishes=environment.get("publish_cloudwatch_metrics") == "Enabled",
            endpoint=environment.get("sagemaker_endpoint_name", ""),
            schedule=environment.get("sagemaker_monitoring_schedule_name", ""),
            environment=environment,
        )

    @property
    def files(self) -> list[HourFile]:
        """The files of the window."""
        if not self.source.exists():
            return []
        return local_files(self.source, self.start, self.end)


def is_asked(environment: Mapping[str, str]) -> bool:
    """Whether the variables of the contract are there."""
    return bool(environment.get(SOURCE)) and bool(environment.get(FORMAT))


def main(paths: ContainerPaths, environment: Mapping[str, str]) -> None:
    """Write statistics, constraints and violations to the output, metrics for CloudWatch, and the message."""
    contract = Contract.read(paths, environment)
    contract.output.mkdir(parents=True, exist_ok=True)
    if contract.is_quality:
        outcome = native_quality.judge(contract.files, contract.constraints, environment, contract.start, contract.end)
        files, found, metrics, said = outcome.files, outcome.violations, outcome.metrics, outcome.told
    else:
        files, found, metrics, said = data_quality(paths, contract)
    for name, content in files.items():
        (contract.output / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if contract.publishes and contract.endpoint and contract.schedule:
        write_metrics(paths.base / "output" / "metrics" / "cloudwatch", metrics, contract.endpoint, contract.schedule)
    script = environment.get("post_analytics_processor_script")
    if script:
        handler_of(paths.at(script), "postprocess_handler")()
    message = f"CompletedWithViolations: {len(found)} violations; {said}" if found else f"Completed: {said}"
    print(message, flush=True)
    paths.message.parent.mkdir(parents=True, exist_ok=True)
    paths.message.write_text(message[:1024], encoding="utf-8")


def data_quality(
    paths: ContainerPaths, contract: Contract
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any], str]:
    """The files by name, the violations, the metrics, and what was looked at."""
    baseline = None if contract.statistics is None else read_statistics(contract.statistics)
    asked = None if contract.constraints is None else read_constraints(contract.constraints)
    script = contract.environment.get("record_preprocessor_script")
    handler = handler_of(paths.at(script), "preprocess_handler") if script else None
    names = tuple(asked.features if asked is not None else baseline.features if baseline is not None else ())
    table, counts = TableSketch(), CaptureCounts()
    for rows in tables(contract, names, handler, counts):
        table.update(rows)
    found = [] if asked is None else violations(asked, baseline, table)
    files: dict[str, Any] = {
        "statistics.json": statistics_json(table),
        "constraints.json": suggested_constraints(table),
    }
    if asked is not None:
        files["constraint_violations.json"] = {"violations": found}
    broken = f", {counts.broken} lines can't be used" if counts.broken else ""
    for example in counts.examples:
        print(f"{example['file']} line {example['line']}: {example['reason']}", flush=True)
    return files, found, feature_metrics(table, baseline), f"{table.rows} rows of {counts.files} files{broken}"


def tables(
    contract: Contract, names: tuple[str, ...], handler: Handler | None, counts: CaptureCounts
) -> Iterator[pl.DataFrame]:
    """The rows of the source, some at a time. Of captures `names` are the columns' names, in their order."""
    files = contract.files
    if CAPTURE in contract.format or MERGED in contract.format:
        yield from _captured_tables(contract, files, names, handler, counts)
        return
    for file in files:
        counts.files += 1
        path = Path(file.name)
        if not file.size:
            counts.broke(file.name, 0, "the file is empty")
        elif "json" in contract.format:
            yield from _json_tables(path, contract.format["json"] or {}, counts)
        else:
            try:
                yield from _scanned(path, contract.format, names).collect_batches(chunk_size=BATCH_ROWS)
            except pl.exceptions.PolarsError as error:
                kind = "Parquet" if "parquet" in contract.format else "CSV"
                raise JobError(f"{path} can't be read as {kind}: {' '.join(str(error).split())[:300]}") from error


def _scanned(path: Path, form: Mapping[str, Any], names: tuple[str, ...]) -> pl.LazyFrame:
    if "parquet" in form:
        return pl.scan_parquet(path, hive_partitioning=False)
    header = bool((form["csv"] or {}).get("header", True))
    lazy = pl.scan_csv(path, has_header=header, infer_schema=False)
    if header:
        return lazy
    columns = lazy.collect_schema().names()
    given = [*names, *(f"_c{index}" for index in range(len(names), len(columns)))]
    return lazy.rename(dict(zip(columns, given, strict=False)))


def _json_tables(path: Path, form: Mapping[str, Any], counts: CaptureCounts) -> Iterator[pl.DataFrame]:
    parser, rows = RowParser(()), []
    by_lines = bool(form.get("lines", form.get("line", True)))
    with path.open("rb") as content:
        texts: Sequence[bytes] | Any = content if by_lines else [content.read()]
        for number, text in enumerate(texts, 1):
            if not text.strip():
                continue
            try:
                document = json.loads(text)
            except (ValueError, RecursionError) as error:
                counts.broke(str(path), number, f"no JSON: {error}")
                continue
            for row in document if isinstance(document, list) else [document]:
                if isinstance(row, dict):
                    rows.append(row)
                else:
                    counts.broke(str(path), number, f"a row is no object: {json.dumps(row)[:80]}")
            if len(rows) >= BATCH_ROWS:
                yield parser.frame_of_named(rows)
                rows = []
    if rows:
        yield parser.frame_of_named(rows)


def _captured_tables(
    contract: Contract,
    files: Sequence[HourFile],
    names: tuple[str, ...],
    handler: Handler | None,
    counts: CaptureCounts,
) -> Iterator[pl.DataFrame]:
    form = contract.format.get(CAPTURE) or contract.format.get(MERGED) or {}
    sides = form.get("captureIndexNames") or ["endpointInput", "endpointOutput"]
    named = names

    def read(record: Mapping[str, Any], parser: RowParser) -> BodyRows:
        if handler is not None:
            return handled(handler, record, parser)
        return joined_rows(record["captureData"], sides, parser)

    reader = CaptureReader(RowParser(named), contract.start, contract.end, counts=counts, input_of=read)
    for batch in reader.read(Lake(), files):
        yield batch.rows


def joined_rows(captured: Mapping[str, Any], sides: Sequence[str], parser: RowParser) -> BodyRows:
    """The rows of a capture: of its request, or of answer and request side by side where the baseline has both.

    Model Monitor puts the answer's columns first.
    """
    width = len(parser.features)
    request = captured["endpointInput"]
    text, is_json = body_of(request)
    lines = [line for line in text.split("\n") if line.strip()]
    if is_json or not lines:
        return parser.rows(request)
    if not width:
        named = [{f"_c{index}": cell for index, cell in enumerate(line.split(","))} for line in lines]
        return BodyRows(named=named, places=range(len(named)))
    if lines[0].count(",") + 1 == width or "endpointOutput" not in sides or "endpointOutput" not in captured:
        return parser.rows(request)
    try:
        answer, answer_is_json = body_of(captured["endpointOutput"])
    except Unreadable:
        return parser.rows(request)
    answered = [line for line in answer.split("\n") if line.strip()]
    both = [f"{first.strip()},{second}" for first, second in zip(answered, lines, strict=False)]
    if answer_is_json or len(answered) != len(lines) or both[0].count(",") + 1 != width:
        return parser.rows(request)
    return parser.rows({**request, "data": "\n".join(both), "encoding": "CSV"})


def handled(handler: Handler, record: Mapping[str, Any], parser: RowParser) -> BodyRows:
    """What the user's `preprocess_handler` makes of a record: a row by names, several of them, or values in order."""
    found = handler(InferenceRecord(record))
    rows = [found] if isinstance(found, dict) else list(found or [])
    if rows and not isinstance(rows[0], dict | list):
        rows = [rows]
    named = [row if isinstance(row, dict) else dict(zip(parser.features, row, strict=False)) for row in rows]
    return BodyRows(named=named, places=range(len(named)))


class InferenceRecord:
    """A captured record as user scripts know it: `endpoint_input.data`, `event_metadata.event_id`, and the like."""

    def __init__(self, record: Mapping[str, Any]) -> None:
        captured = record["captureData"]
        self.endpoint_input = _Attributes(captured.get("endpointInput") or {})
        self.endpoint_output = _Attributes(captured.get("endpointOutput") or {})
        event = record["eventMetadata"]
        self.event_metadata = _Attributes(
            {
                **event,
                "event_id": event.get("eventId"),
                "inference_id": event.get("inferenceId"),
                "inference_time": event.get("inferenceTime"),
                "custom_attributes": event.get("customAttributes"),
            }
        )
        self.event_version = record.get("eventVersion")


class _Attributes:
    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def handler_of(script: Path, name: str) -> Callable[..., Any]:
    """The function `name` of a user's script; raises JobError when it isn't there."""
    spec = importlib.util.spec_from_file_location(script.stem.replace("-", "_"), script)
    if spec is None or spec.loader is None or not script.is_file():
        raise JobError(f"the script {script} isn't there, or is no Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise JobError(f"the script {script} has no function {name}")
    found: Callable[..., Any] = function
    return found


def feature_metrics(table: TableSketch, baseline: Statistics | None) -> dict[str, Any]:
    """The metrics that Model Monitor publishes of each feature: its values, how many there are, how far they moved."""
    found: dict[str, Any] = {}
    for name, column in table.columns.items():
        found[f"feature_non_null_{name}"] = float(column.present)
        numbers = column.numbers
        if numbers.count:
            found[f"feature_data_{name}"] = {
                "SampleCount": float(numbers.count),
                "Sum": numbers.mean * numbers.count,
                "Minimum": numbers.minimum,
                "Maximum": numbers.maximum,
            }
        then = baseline.features.get(name) if baseline is not None else None
        now = numbers.distribution()
        if then is not None and then.distribution is not None and now is not None:
            found[f"feature_baseline_drift_{name}"] = linf_simple(then.distribution, now)
    return found


def _file(paths: ContainerPaths, environment: Mapping[str, str], name: str) -> Any:
    if not environment.get(name):
        return None
    file = paths.at(environment[name])
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise JobError(f"{name} can't be read: {error}") from error
