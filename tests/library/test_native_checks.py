"""SageMaker's own checks and rules as steps: what they render to, compared with the SageMaker SDK, and what is refused.

The expected steps are those of the SDK's classes QualityCheckStep and ClarifyCheckStep, less keys that are left out
when nothing is given.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from mlops_constructs import pipeline_schema
from mlops_constructs.native_grants import grant_ask_models, grant_pull_image
from mlops_constructs.pipeline_definition import Parameter, PipelineDefinition
from mlops_constructs.pipeline_steps import (
    Baselines,
    BiasFacet,
    Caching,
    CheckJob,
    ClarifyAnalysis,
    ClarifyCheckStep,
    DebuggerRule,
    InvalidPipelineError,
    JobResources,
    ModelStep,
    NativeDebugger,
    Predictions,
    Predictor,
    QualityCheckStep,
    TrainingStep,
)

ROLE = "arn:aws:iam::123456789012:role/jobs"
IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-clarify-processing:1.0"
RESOURCES = JobResources(instance_type="ml.m5.xlarge", volume_gb=30, max_runtime_seconds=1800)
WORK = CheckJob(image_uri=IMAGE, role_arn=ROLE, resources=RESOURCES, kms_key_arn="key")
PREDICTOR = Predictor(instance_type="ml.m5.large", endpoint_prefix="check-delays", probability_threshold=0.5)
ORIGIN = BiasFacet(column="origin", values=[28000])
DATA_BIAS = ClarifyAnalysis(check_type="DATA_BIAS", label="late", facets=[ORIGIN])
MODEL_BIAS = ClarifyAnalysis(check_type="MODEL_BIAS", label="late", facets=[ORIGIN], predictor=PREDICTOR)
MODEL = ModelStep(name="Model", role_arn=ROLE, image_uri="image", model_artifact="s3://b/model.tar.gz")
GROUP = Parameter(name="Group", type="String", default="delays")


def clarify(analysis: ClarifyAnalysis = DATA_BIAS, **changes: Any) -> ClarifyCheckStep:
    options = {"name": "Bias", "dataset": "s3://b/rows", "output_path": "s3://b/bias"} | changes
    return ClarifyCheckStep(work=WORK, analysis=analysis, analysis_uri="s3://b/analysis_config.json", **options)


def rendered(*steps: Any) -> dict[str, Any]:
    """The first step, once SageMaker's own input shape has taken its arguments."""
    definition = PipelineDefinition(parameters=[GROUP], steps=steps)
    pipeline_schema.check(definition)
    return dict(definition.to_json()["Steps"][0])


def place(uri: str, path: str) -> dict[str, str]:
    return {
        "S3Uri": uri,
        "LocalPath": f"/opt/ml/processing/input/{path}",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
        "S3DataDistributionType": "FullyReplicated",
        "S3CompressionType": "None",
    }


def test_bias_of_data_is_what_the_sdk_renders() -> None:
    baselines = Baselines(skip=False, group_name=GROUP.value, constraints="s3://b/constraints.json", register_new=False)
    assert rendered(clarify(baselines=baselines, caching=Caching(days=1))) == {
        "Name": "Bias",
        "Type": "ClarifyCheck",
        "Arguments": {
            "AppSpecification": {"ImageUri": IMAGE},
            "ProcessingInputs": [
                {"InputName": "analysis_config", "S3Input": place("s3://b/analysis_config.json", "config")},
                {"InputName": "dataset", "S3Input": place("s3://b/rows", "data")},
            ],
            "ProcessingOutputConfig": {
                "Outputs": [
                    {
                        "OutputName": "analysis_result",
                        "S3Output": {
                            "S3Uri": "s3://b/bias",
                            "LocalPath": "/opt/ml/processing/output",
                            "S3UploadMode": "EndOfJob",
                        },
                    }
                ],
                "KmsKeyId": "key",
            },
            "ProcessingResources": {
                "ClusterConfig": {
                    "InstanceType": "ml.m5.xlarge",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 30,
                    "VolumeKmsKeyId": "key",
                }
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": 1800},
            "RoleArn": ROLE,
        },
        "CheckType": "DATA_BIAS",
        "SkipCheck": False,
        "FailOnViolation": False,
        "RegisterNewBaseline": False,
        "ModelPackageGroupName": {"Get": "Parameters.Group"},
        "SuppliedBaselineConstraints": "s3://b/constraints.json",
        "CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"},
    }


def test_a_check_of_a_model_names_it_and_runs_after_it() -> None:
    step = clarify(MODEL_BIAS, model_name=MODEL.model_name)
    assert rendered(step, MODEL)["ModelName"] == {"Get": "Steps.Model.ModelName"}
    with pytest.raises(InvalidPipelineError, match="reference to step 'Model' doesn't exist"):
        PipelineDefinition(parameters=[], steps=[step])


def test_what_clarify_is_to_do_is_its_analysis_config() -> None:
    assert MODEL_BIAS.to_json() == {
        "dataset_type": "text/csv",
        "label": "late",
        "label_values_or_threshold": [1],
        "facet": [{"name_or_index": "origin", "value_or_threshold": [28000]}],
        "predictor": {
            "endpoint_name_prefix": "check-delays",
            "instance_type": "ml.m5.large",
            "initial_instance_count": 1,
            "content_type": "text/csv",
            "accept_type": "text/csv",
        },
        "probability_threshold": 0.5,
        "methods": {
            "post_training_bias": {"methods": "all"},
            "report": {"name": "report", "title": "Analysis Report"},
        },
    }
    explain = ClarifyAnalysis(
        check_type="MODEL_EXPLAINABILITY",
        label="late",
        dataset_type="application/x-parquet",
        predictor=PREDICTOR,
        excluded=["day"],
        shap_samples=50,
        shap_baseline=[[1.0, 2.0]],
        shap_seed=0,
    ).to_json()
    assert explain["excluded_columns"] == ["day"]
    shap = explain["methods"]["shap"]
    assert (shap["num_samples"], shap["baseline"], shap["seed"]) == (50, [[1.0, 2.0]], 0)
    assert not {"facet", "label_values_or_threshold", "probability_threshold"} & explain.keys()
    assert BiasFacet(column="distance", threshold=1000).to_json()["value_or_threshold"] == [1000]


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: ClarifyAnalysis(check_type="DATA_BIAS", label="late"), "DATA_BIAS needs facets"),
        (
            lambda: ClarifyAnalysis(check_type="DATA_BIAS", label="late", facets=[ORIGIN], predictor=PREDICTOR),
            "DATA_BIAS can't have a predictor",
        ),
        (lambda: ClarifyAnalysis(check_type="MODEL_BIAS", label="late", facets=[ORIGIN]), "needs a predictor"),
        (
            lambda: ClarifyAnalysis(
                check_type="MODEL_EXPLAINABILITY", label="late", facets=[ORIGIN], predictor=PREDICTOR
            ),
            "can't have facets",
        ),
        (lambda: BiasFacet(column="origin"), "'origin' needs either values or a threshold"),
        (lambda: clarify(MODEL_BIAS), "step 'Bias': MODEL_BIAS needs a model_name"),
        (lambda: clarify(model_name="m"), "step 'Bias': DATA_BIAS can't have a model_name"),
        (lambda: clarify(baselines=Baselines(statistics="s3://b/s")), "constraints, without statistics"),
        (lambda: Baselines(skip=False), "needs a group_name, or constraints"),
        (lambda: DebuggerRule(name="LossNotDecreasin"), "'LossNotDecreasin' is no built-in rule"),
        (lambda: NativeDebugger(rule_image="i", output_path="s3://b", rules=[]), "takes 1 to 20 rules"),
    ],
)
def test_what_sagemaker_would_refuse_is_refused(build: Callable[[], Any], reason: str) -> None:
    with pytest.raises(InvalidPipelineError, match=reason):
        build()


def test_quality_of_data_and_of_predictions_is_what_the_sdk_renders() -> None:
    data = rendered(
        QualityCheckStep(
            name="Data", work=WORK, dataset="s3://b/rows", output_path="s3://b/quality", baselines=Baselines()
        )
    )
    assert (data["Type"], data["CheckType"], data["SkipCheck"]) == ("QualityCheck", "DATA_QUALITY", True)
    assert data["Arguments"]["ProcessingInputs"] == [
        {"InputName": "baseline_dataset_input", "S3Input": place("s3://b/rows", "baseline_dataset_input")}
    ]
    assert data["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["OutputName"] == "quality_check_output"
    assert data["Arguments"]["Environment"] == {
        "output_path": "/opt/ml/processing/output",
        "publish_cloudwatch_metrics": "Disabled",
        "dataset_format": '{"csv": {"header": true, "output_columns_position": "START"}}',
        "dataset_source": "/opt/ml/processing/input/baseline_dataset_input",
    }
    predictions = Predictions(problem="BinaryClassification", label="late", probability="score", threshold=0.5)
    step = QualityCheckStep(
        name="Model",
        work=WORK,
        dataset="s3://b/rows",
        output_path="s3://b/q",
        predictions=predictions,
        dataset_format="json_lines",
    )
    model = rendered(step)
    assert model["CheckType"] == "MODEL_QUALITY"
    assert (
        model["Arguments"]["Environment"].items()
        >= {
            "analysis_type": "MODEL_QUALITY",
            "problem_type": "BinaryClassification",
            "ground_truth_attribute": "late",
            "probability_attribute": "score",
            "probability_threshold_attribute": "0.5",
        }.items()
    )
    assert json.loads(model["Arguments"]["Environment"]["dataset_format"]) == {"json": {"lines": True}}
    assert step.constraints.path == "Steps.Model.CalculatedBaselineConstraints"


def test_debugger_watches_a_training_job_without_profiling_it() -> None:
    rules = [DebuggerRule(name="Overfit", parameters={"ratio_threshold": "0.1"})]
    debugger = NativeDebugger(rule_image="rules", output_path="s3://b/tensors", rules=rules, save_rounds=5)
    step = TrainingStep(
        name="Train",
        image_uri="image",
        role_arn=ROLE,
        resources=RESOURCES,
        channels={"train": "s3://b/train"},
        output_path="s3://b/model",
        debugger=debugger,
    )
    job = rendered(step)["Arguments"]
    assert job["DebugRuleConfigurations"] == [
        {
            "RuleConfigurationName": "Overfit",
            "RuleEvaluatorImage": "rules",
            "RuleParameters": {"rule_to_invoke": "Overfit", "ratio_threshold": "0.1"},
        }
    ]
    assert job["DebugHookConfig"]["S3OutputPath"] == "s3://b/tensors"
    assert {"CollectionName": "metrics", "CollectionParameters": {"save_interval": "5"}} in job["DebugHookConfig"][
        "CollectionConfigurations"
    ]
    assert job["ProfilerConfig"] == {"DisableProfiler": True}


def test_a_role_pulls_the_one_image_and_asks_endpoints_of_its_prefix(
    stack: Stack, statements: Callable[..., list[dict[str, Any]]]
) -> None:
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("sagemaker.amazonaws.com"))
    grant_pull_image(role, IMAGE)
    grant_ask_models(role, ["check-delays"])
    found = statements()
    (pull,) = [each["Resource"] for each in found if "ecr:BatchGetImage" in each["Action"]]
    assert ":ecr:eu-west-1:111122223333:repository/sagemaker-clarify-processing" in json.dumps(pull)
    assert [each["Resource"] for each in found if "ecr:GetAuthorizationToken" in each["Action"]] == [["*"]]
    (ask,) = [each["Resource"] for each in found if "sagemaker:InvokeEndpoint" in each["Action"]]
    assert "endpoint/check-delays*" in json.dumps(ask)
    with pytest.raises(ValueError, match=r"'python:3\.11' is no image in ECR"):
        grant_pull_image(role, "python:3.11")
