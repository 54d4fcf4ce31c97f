"""The life of an AutoML job: rows in, a search, the best candidate's model out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from local_aws.jobs.process import Outcome
from local_aws.jobs.s3_files import S3_ERRORS, S3Uri, upload_file, write_archive
from local_aws.sagemaker.automl.container import BINARY, OUTPUTS
from local_aws.sagemaker.automl.plan import plan_of
from local_aws.sagemaker.container_job import ContainerJob, JobFailure
from local_aws.sagemaker.workspace import AUTOPILOT_REPOSITORY, Record, Workspace
from local_aws.service import Image

INPUT = PurePosixPath("/opt/ml/input")
LEADERBOARD = "leaderboard.json"
_SECONDARY = {
    "Downloading": "AnalyzingData",
    "Training": "TrainingModels",
    "Uploading": "GeneratingModelInsightsReport",
    "Stopping": "Stopping",
}


class AutoMLJob(ContainerJob):
    """One AutoML job; what it leaves lies under `<S3OutputPath>/<name>`: the best model, and all candidates."""

    kind = "automl"
    log_group = "/aws/sagemaker/AutoMLJobs"
    name_member = "AutoMLJobName"
    arn_member = "AutoMLJobArn"
    status_member = "AutoMLJobStatus"
    event = ""

    def __init__(self, workspace: Workspace, record: Record) -> None:
        super().__init__(workspace, record)
        self._plan = plan_of({name: record[name] for name in record["Asked"]})
        self.candidates: list[Record] = []
        record["AutoMLJobSecondaryStatus"] = "Starting"
        # the search ends by itself: this is for one that doesn't
        record["StoppingCondition"] = {"MaxRuntimeInSeconds": 2 * self._plan.seconds + 600}

    def _image_uri(self) -> str:
        return f"{self._workspace.account}.dkr.ecr.{self._workspace.region}.amazonaws.com/{AUTOPILOT_REPOSITORY}:1"

    def _command(self, image: Image) -> list[str]:
        return [*image.entrypoint, "search"]

    def _instance_count(self) -> int:
        return 1

    def _environment(self) -> Mapping[str, str]:
        return {}

    def _prepare(self) -> None:
        for name, channel in self._plan.channels.items():
            source = channel.get("DataSource", {}).get("S3DataSource")
            if source is None:
                raise JobFailure(f"ClientError: the channel {name!r} has no S3DataSource")
            self._download_input(source["S3Uri"], source["S3DataType"], self._path(INPUT / "data" / name))
        self._write_json(INPUT / "config/automl.json", self._plan.to_json(self._features()))

    def _features(self) -> list[str]:
        """The names in the feature specification; none for all columns but the target."""
        source = self._plan.features_uri
        if source is None:
            return []
        try:
            uri = S3Uri.parse(source)
            body = self._client("s3").get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read()
            return [str(name) for name in json.loads(body)["FeatureAttributeNames"]]
        except (*S3_ERRORS, ValueError, KeyError, TypeError) as error:
            raise JobFailure(f"ClientError: the feature specification {source} can't be read: {error}") from error

    def _upload(self, outcome: Outcome) -> None:
        if outcome.ended_by != "exit":
            return
        found = json.loads(self._path("/opt/ml/candidates.json").read_text())
        config = self.record["OutputDataConfig"]
        target = S3Uri.parse(config["S3OutputPath"]).child(self.name_)
        archive, leaderboard = self._directory / "model.tar.gz", self._directory / LEADERBOARD
        write_archive(self._path("/opt/ml/model"), archive)
        leaderboard.write_text(json.dumps(found["tried"], indent=1))
        client, key = self._client("s3"), config.get("KmsKeyId")
        model = target.child(f"{self._candidate_name(found['tried'][0])}/model.tar.gz")
        try:
            upload_file(client, archive, model, key)
            upload_file(client, leaderboard, target.child(LEADERBOARD), key)
        except (*S3_ERRORS, ValueError) as error:
            raise JobFailure(f"ClientError: Artifact upload failed: {target}: {error}") from error
        with self._lock:
            self._take_candidates(found, str(model))

    def _take_candidates(self, found: Mapping[str, Any], model: str) -> None:
        kind = "Minimize" if found["objective"] in ("MSE", "RMSE") else "Maximize"
        moment = self._workspace.now()
        for tried in found["tried"]:
            metric = {"MetricName": found["objective"], "Value": tried["value"]}
            self.candidates.append(
                {
                    "CandidateName": self._candidate_name(tried),
                    "FinalAutoMLJobObjectiveMetric": {"Type": kind, **metric},
                    "ObjectiveStatus": "Succeeded",
                    "CandidateStatus": "Completed",
                    "CandidateSteps": [],
                    "CandidateProperties": {"CandidateMetrics": [{**metric, "Set": "Validation"}]},
                    "CreationTime": self.record["CreationTime"],
                    "LastModifiedTime": moment,
                    "EndTime": moment,
                    "ObjectiveValue": tried["value"],
                }
            )
        best = self.candidates[0]
        best["InferenceContainers"] = [self._container(best["CandidateName"], model, found["problem"])]
        resolved = {"AutoMLJobObjective": {"MetricName": found["objective"]}, "ProblemType": found["problem"]}
        self.record.update(BestCandidate=best, ResolvedAttributes=resolved)

    def _container(self, name: str, model: str, problem: str) -> Record:
        """The container of the best candidate, with the variables that Autopilot's have in ensembling mode."""
        environment = {
            "MODEL_NAME": name,
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "text/csv",
            "SAGEMAKER_PROGRAM": "serve",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
        }
        if problem == BINARY:
            environment["SAGEMAKER_INFERENCE_OUTPUT"] = OUTPUTS[0]
            environment["SAGEMAKER_INFERENCE_SUPPORTED"] = ",".join(OUTPUTS)
        return {"Image": self._image_uri(), "ModelDataUrl": model, "Environment": environment}

    def _candidate_name(self, tried: Mapping[str, Any]) -> str:
        return f"{self.name_}-{tried['number']:03d}-{tried['learner'].replace('_', '-')}"

    def _transition(self, phase: str) -> None:
        self.record["AutoMLJobSecondaryStatus"] = _SECONDARY[phase]
        super()._transition(phase)

    def _interrupted(self, outcome: Outcome) -> str:  # noqa: ARG002
        return "Stopped"

    def _finish(self, status: str) -> None:
        self.record["AutoMLJobSecondaryStatus"] = status
        self.record["EndTime"] = self._workspace.now()
        super()._finish(status)

    def _announce(self) -> None:
        """Say nothing: SageMaker documents no event of AutoML jobs."""
