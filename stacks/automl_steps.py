"""The training pipeline of a model whose algorithm is searched: tables, search, scores, evaluation, registration.

The best candidate runs in a container of AWS's own, so it is asked for its scores by a transform job, and registered
with that container. Evaluate judges the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlops_constructs.automl_step import AutoMLStep, ProblemType
from mlops_constructs.batch_steps import ModelStep, TransformStep
from mlops_constructs.job_resources import JobNetwork, JobResources
from mlops_constructs.pipeline_definition import Parameter
from mlops_constructs.pipeline_expressions import Join, Value
from mlops_constructs.pipeline_steps import (
    Comparison,
    ConditionStep,
    FailStep,
    ProcessingStep,
    RegisterModelStep,
    Step,
)
from mlops_constructs.registration_step import ModelReports

from .automl_settings import AutoML, objective_of_search
from .gate_steps import OUTPUT, REGISTERED, REPORT, evaluate_arguments, report_file
from .model_settings import Model

ANSWERS = ("probabilities", "labels")
"""What the best candidate of a classification answers: the one of `probability` is that of whatever it predicts."""
_PROBLEMS: dict[str, ProblemType] = {"binary_classification": "BinaryClassification", "regression": "Regression"}


def automl_steps(
    model: Model,
    prepare: ProcessingStep,
    processing: Callable[..., ProcessingStep],
    *,
    role_arn: str,
    kms_key_arn: str,
    group_name: str,
    network: JobNetwork | None,
    resources: JobResources,
    artifact: Callable[[str], Join],
    bound: Parameter,
    code: str,
    metadata: Mapping[str, Value],
    judging: Mapping[str, Value],
) -> list[Step]:
    """The steps after Prepare.

    `processing` makes a step of the runtime; `artifact` says where an output lies; `judging` are variables of Evaluate.
    """
    automl = model.training.automl or AutoML()
    # a champion of this runtime and a container of AWS's can't be asked in one job
    alone = model.model_copy(update={"gate": model.gate.model_copy(update={"champion": None})})
    names = ("training", "validation", "rows")
    tables = processing(
        "Tables",
        inputs={"code": code} | {part: prepare.folder(part) for part in ("train", "validation", "test")},
        outputs={name: artifact(f"tables/{name}") for name in names},
    )
    search = AutoMLStep(
        name="Search",
        role_arn=role_arn,
        training=tables.folder("training"),
        validation=tables.folder("validation"),
        target=model.data.label,
        problem=_PROBLEMS[model.problem],
        objective=objective_of_search(model.problem, automl, model.gate.metric),
        output_path=artifact("search"),
        candidates=automl.candidates,
        max_runtime_seconds=automl.max_runtime_minutes * 60,
        kms_key_arn=kms_key_arn,
        network=network,
    )
    environment = search.environment(ANSWERS)
    candidate = ModelStep(
        name="Candidate",
        role_arn=role_arn,
        image_uri=search.image,
        model_artifact=search.model_artifact,
        environment=environment,
        network=network,
    )
    score = TransformStep(
        name="Score",
        model_name=candidate.model_name,
        data=tables.folder("rows"),
        output_path=artifact("scores"),
        resources=resources,
        kms_key_arn=kms_key_arn,
    )
    evaluate = processing(
        "Evaluate",
        arguments=evaluate_arguments(alone, bound, group_name),
        inputs={"code": code, "scores": Join("", [score.answers, "/"]), "test": prepare.folder("test")},
        outputs={OUTPUT: artifact(OUTPUT)},
        environment=judging,
        property_files=[report_file()],
    )
    serving = model.serving
    register = RegisterModelStep(
        name="Register",
        group_name=group_name,
        image_uri=search.image,
        model_artifact=search.model_artifact,
        environment=environment,
        content_types=["text/csv"],
        response_types=["text/csv"],
        instance_types=[serving.instance_type] if serving else [],
        reports=ModelReports(quality=Join("/", [evaluate.output(OUTPUT), "evaluation.json"])),
        life_cycle=REGISTERED,
        metadata={**metadata, "Gate": evaluate.read(REPORT, "gate.summary")},
    )
    gate = ConditionStep(
        name="Gate",
        conditions=[Comparison(operator="Equals", left=evaluate.read(REPORT, "gate.passed"), right=True)],
        then=[register],
        otherwise=[FailStep(name="Rejected", message=evaluate.read(REPORT, "gate.reason"))],
    )
    return [tables, search, candidate, score, evaluate, gate]
