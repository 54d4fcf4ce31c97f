"""An endpoint in a mocked AWS: its captured traffic, the registry with its version, and the monitor's job on them."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import polars as pl

from model_runtime.monitor import job
from model_runtime.monitor.baseline import write_baseline
from model_runtime.monitor.served_version import served_by
from model_runtime.paths import ContainerPaths
from model_runtime.prediction_baseline import PredictionBaseline
from tests.runtime.container import Container, json_file
from tests.runtime.test_champion import described
from tests.runtime.test_evaluate import archive

LAKE, ARTIFACTS, GROUP, ENDPOINT = "captured", "artifacts", "dev-toy", "dev-toy"
FEATURES = ("hour", "distance", "carrier")
NOW = datetime(2030, 3, 10, 10, 30, tzinfo=UTC)
REPORTS = f"s3://{ARTIFACTS}/toy/monitoring/reports"
SETTINGS: Mapping[str, Any] = {"window_days": 2, "least_rows": 100, "drift": {"psi": 0.2}}


def features(count: int, seed: int = 1) -> pl.DataFrame:
    """Rows as in the training of the toy."""
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "hour": random.integers(5, 23, count).astype(np.float64),
            "distance": random.random(count) * 2000,
            "carrier": random.integers(360, 372, count).astype(np.float64),
        }
    )


def answers(rows: pl.DataFrame) -> list[float]:
    """What the toy's endpoint answers: later is likelier late."""
    return [round(float(hour) / 30, 6) for hour in rows["hour"]]


def capture(body: str, answer: str | None, moment: datetime, inference_id: str | None, **side: str) -> dict[str, Any]:
    """A line of a capture file."""
    captured: dict[str, Any] = {
        "endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": body, "encoding": "CSV", **side}
    }
    if answer is not None:
        output = {"observedContentType": "text/csv", "mode": "OUTPUT", "data": answer, "encoding": "CSV"}
        captured["endpointOutput"] = output
    event = {"eventId": f"event-{moment.timestamp()}-{hash(body)}", "inferenceTime": f"{moment:%Y-%m-%dT%H:%M:%SZ}"}
    if inference_id is not None:
        event["inferenceId"] = inference_id
    return {"captureData": captured, "eventMetadata": event, "eventVersion": "0"}


def captures(
    rows: pl.DataFrame, start: datetime, end: datetime, prefix: str = "row"
) -> list[tuple[datetime, dict[str, Any]]]:
    """One request for each row, at twelve times from `start` on before `end`, with the ids `<prefix>-<number>`."""
    step = (end - start) / 12
    texts = rows.fill_nan(None).write_csv(include_header=False).splitlines()
    found = []
    for number, (text, answer) in enumerate(zip(texts, answers(rows), strict=True)):
        moment = start + (number * 12 // rows.height) * step
        found.append((moment, capture(text, f"{answer}\n", moment, f"{prefix}-{number}")))
    return found


def label(key: str, value: Any, encoding: str = "CSV") -> dict[str, Any]:
    """A line of a file of ground truth."""
    return {
        "groundTruthData": {"data": str(value), "encoding": encoding},
        "eventMetadata": {"eventId": key},
        "eventVersion": "0",
    }


def lines(records: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of them."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


class Monitored:
    """The endpoint `dev-toy` with a version that was trained on `features(4000)`, and nothing captured yet."""

    paths: ContainerPaths

    def __init__(self, trained: Path, directory: Path) -> None:
        self._trained, self._directory = trained, directory
        self.s3, self.sagemaker, self.sns = boto3.client("s3"), boto3.client("sagemaker"), boto3.client("sns")
        for bucket in (LAKE, ARTIFACTS):
            self.s3.create_bucket(Bucket=bucket)
        self.sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
        self.package = self.register()

    def begin(self, container: Container, monkeypatch: Any) -> None:
        """Forget what was captured and reported, and serve the first version since a month."""
        self.paths = ContainerPaths(container.base)
        for bucket, prefix in ((LAKE, ""), (ARTIFACTS, "toy/")):
            for name in self.objects(bucket):
                if name.startswith(prefix):
                    self.s3.delete_object(Bucket=bucket, Key=name)
        self.serve(self.package, days_before(30), monkeypatch)

    def register(
        self,
        change: Callable[[Path], None] = lambda _: None,
        quality: Any = None,
        baseline: pl.DataFrame | None = None,
        reports: Mapping[str, Any] | None = None,
        with_baseline: bool = True,
    ) -> str:
        """Register a version with its baselines; returns its ARN."""
        model = self._directory / f"version-{len(list(self._directory.glob('version-*')))}"
        shutil.copytree(self._trained, model)
        described(days={})(model)
        rows = features(4000) if baseline is None else baseline
        PredictionBaseline.of(np.array(answers(rows))).write(model)
        change(model)
        packed = self._directory / f"{model.name}.tar.gz"
        archive(model, packed)
        self.s3.upload_file(str(packed), ARTIFACTS, f"{model.name}/model.tar.gz")
        write_baseline(rows, FEATURES, {"carrier"}, self._directory / f"baseline-{model.name}")
        files: dict[str, Any] = {
            name: json_file(self._directory / f"baseline-{model.name}" / f"{name}.json")
            for name in ("statistics", "constraints")
        }
        files |= {"evaluation": quality, **(reports or {})}
        for name, content in files.items():
            self.put(f"{model.name}/{name}.json", json.dumps(content).encode(), ARTIFACTS)

        def file(name: str) -> dict[str, str]:
            return {"ContentType": "application/json", "S3Uri": f"s3://{ARTIFACTS}/{model.name}/{name}.json"}

        checks: dict[str, Any] = {"ModelQuality": {"Statistics": file("evaluation")}}
        if with_baseline:
            checks["ModelDataQuality"] = {"Statistics": file("statistics"), "Constraints": file("constraints")}
        if reports and "bias" in reports:
            checks["Bias"] = {"PostTrainingConstraints": file("bias")}
        if reports and "explainability" in reports:
            checks["Explainability"] = {"Constraints": file("explainability")}
        place = {"Image": "mlops-runtime", "ModelDataUrl": f"s3://{ARTIFACTS}/{model.name}/model.tar.gz"}
        inference = {"Containers": [place], "SupportedContentTypes": ["text/csv"]}
        inference["SupportedResponseMIMETypes"] = ["text/csv"]
        made = self.sagemaker.create_model_package(
            ModelPackageGroupName=GROUP,
            InferenceSpecification=inference,
            ModelApprovalStatus="Approved",
            DriftCheckBaselines=checks,
        )
        return str(made["ModelPackageArn"])

    def serve(self, package: str, since: datetime, monkeypatch: Any) -> None:
        """Have the endpoint serve a version since a moment, which a mocked SageMaker can't be told."""
        role = "arn:aws:iam::123456789012:role/serving"
        name = f"model-{uuid.uuid4()}"
        self.sagemaker.create_model(
            ModelName=name, ExecutionRoleArn=role, PrimaryContainer={"ModelPackageName": package}
        )
        variant = {"VariantName": "live", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        self.sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
        self.sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName=name)
        found = served_by

        def served(endpoint: str) -> Any:
            said = found(endpoint)
            return said and type(said)(**{**said.__dict__, "since": since})

        monkeypatch.setattr(job, "served_by", served)

    def put(self, key: str, body: bytes, bucket: str = LAKE) -> None:
        """Put an object."""
        self.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def send(self, found: Sequence[tuple[datetime, Mapping[str, Any]]], variant: str = "live") -> None:
        """Capture requests: a file for each hour."""
        hours: dict[str, list[Mapping[str, Any]]] = {}
        for moment, record in found:
            hours.setdefault(f"{moment:%Y/%m/%d/%H}", []).append(record)
        for hour, records in hours.items():
            name = f"{ENDPOINT}/{variant}/{hour}/00-00-000-{len(self.objects(LAKE))}.jsonl"
            self.put(name, lines(records))

    def tell(self, labels: Sequence[Mapping[str, Any]], hour: datetime, name: str = "00-00-000") -> None:
        """Upload ground truth."""
        self.put(f"ground-truth/toy/{hour:%Y/%m/%d/%H}/{name}.jsonl", lines(labels))

    def objects(self, bucket: str) -> list[str]:
        return [each["Key"] for each in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])]

    def run(self, *arguments: str, settings: Mapping[str, Any] | None = None, now: datetime = NOW) -> dict[str, Any]:
        """Run the monitor; returns its report."""
        given = ["--endpoint", ENDPOINT, "--captures", f"s3://{LAKE}", "--workers", "1", "--now", now.isoformat()]
        given += ["--settings", json.dumps(SETTINGS if settings is None else settings)]
        job.main(self.paths, [*given, *arguments])
        return dict(json_file(self.paths.processing_output("report") / "report.json"))


def days_before(days: float, now: datetime = NOW) -> datetime:
    """A moment some days before the end of the window."""
    return now.replace(minute=0, second=0, microsecond=0) - timedelta(days=days)
