"""The API of AutoML jobs, of both versions."""

from __future__ import annotations

from local_aws.sagemaker.automl.automl_job import AutoMLJob
from local_aws.sagemaker.automl.plan import plan_of, refused
from local_aws.sagemaker.job_operations import JobOperations
from local_aws.sagemaker.listing import listed
from local_aws.sagemaker.workspace import Operation, Record, Workspace


class AutoMLOperations(JobOperations[AutoMLJob]):
    """The AutoML jobs by name. DescribeAutoMLJobV2 describes jobs of both versions, DescribeAutoMLJob its own only."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace, AutoMLJob, "AutoMLJob")

    def operations(self) -> dict[str, Operation]:
        """Return the operations by their names in the API."""
        return {
            **super().operations(),
            "DescribeAutoMLJob": self._describe_first_version,
            "CreateAutoMLJobV2": lambda request: {"AutoMLJobArn": self.create(request).record["AutoMLJobArn"]},
            "DescribeAutoMLJobV2": lambda request: self.job(request["AutoMLJobName"]).record,
            "ListCandidatesForAutoMLJob": self._list_candidates,
        }

    def create(self, request: Record) -> AutoMLJob:
        """Start a job; ApiError says what is wrong with it, or what the local AWS doesn't do."""
        plan = plan_of(request)
        inputs = [{**channel, "TargetAttributeName": plan.target} for channel in plan.channels.values()]
        tabular = {"TargetAttributeName": plan.target, "ProblemType": plan.problem}
        described = {
            "InputDataConfig": inputs,
            "AutoMLJobInputDataConfig": list(plan.channels.values()),
            "AutoMLProblemTypeConfig": {"TabularJobConfig": tabular},
            "AutoMLProblemTypeConfigName": "Tabular",
            "Asked": sorted(set(request) - {"Tags"}),
        }
        return super().create({**described, **request})

    def _describe_first_version(self, request: Record) -> Record:
        record = self.job(request["AutoMLJobName"]).record
        if "InputDataConfig" not in record["Asked"]:
            raise refused("the job was made by CreateAutoMLJobV2: DescribeAutoMLJobV2 describes it")
        return record

    def _list_candidates(self, request: Record) -> Record:
        job = self.job(request["AutoMLJobName"])
        wanted = request.get("CandidateNameEquals")
        records = [each for each in job.candidates if wanted in (None, each["CandidateName"])]
        found, token = listed(
            records,
            request,
            name="CandidateName",
            status="CandidateStatus",
            sort_fields={"FinalObjectiveMetricValue": "ObjectiveValue", "Status": "CandidateStatus"},
        )
        return {"Candidates": found, "NextToken": token}
