"""The training pipeline of a model whose algorithm is searched: tables, search, scores, evaluation, registration.

The best candidate runs in a container of AWS's own, so it is asked for its scores by a transform job, and registered
with that container. Evaluate judges the scores, and asks a champion that has such a container by a transform job too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mlops_constructs.automl_step import AutoMLStep, ProblemType
from mlops_constructs.batch_steps import ModelStep, TransformStep
from mlops_constructs.job_resources import JobNetwork, JobResources
from mlops_constructs.pipeline_definition import Parameter
from mlops_constructs.pipeline_expressions import Join, Value
from mlops_constructs.pipeline_steps import ProcessingStep, Step

from .automl_settings import AutoML, objective_of_search
from .gate_steps import BASELINE, OUTPUT, Registration, card_file, evaluate_arguments, gate_step, report_file
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
    names = ("training", "validation", "rows", "description")
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
    asking: list[Value] = ["--ask-containers"] if model.gate.champion else []
    evaluate = processing(
        "Evaluate",
        arguments=[*evaluate_arguments(model, bound, group_name), *asking],
        inputs={
            "code": code,
            "scores": Join("", [score.answers, "/"]),
            "test": prepare.folder("test"),
            "description": tables.folder("description"),
            **({"train": prepare.folder("train")} if model.fairness.facets else {}),
        },
        outputs={OUTPUT: artifact(OUTPUT)},
        environment=judging,
        property_files=[report_file(), card_file()],
    )
    registration = Registration(
        group_name=group_name,
        image_uri=search.image,
        model_artifact=search.model_artifact,
        environment=environment,
        metadata=metadata,
        baseline=prepare.output(BASELINE),
        content_types=["text/csv"],
        explained=False,
    )
    return [tables, search, candidate, score, evaluate, gate_step(model, evaluate, registration)]
