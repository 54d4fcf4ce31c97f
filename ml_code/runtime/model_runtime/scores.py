"""Judges a model by the scores that another container gave for the test rows: one that this runtime can't load."""

from __future__ import annotations

from collections.abc import Sequence

from model_runtime.artifact import DESCRIPTION_FILE, check_problem, parse_description, write_description
from model_runtime.autopilot_answers import ANSWERS_FILE, read_scores
from model_runtime.datasets import read_rows
from model_runtime.errors import JobError
from model_runtime.evaluation_arguments import parse_arguments
from model_runtime.evaluation_reports import write_reports
from model_runtime.judged import Judged
from model_runtime.judgement import judge, statistics_of
from model_runtime.lineage import job_of
from model_runtime.model_code import load_model_code
from model_runtime.paths import ContainerPaths
from model_runtime.problems import asked_problem
from model_runtime.tables import DESCRIPTION
from model_runtime.tracking import track_search

SCORES = "scores"
ALGORITHM = "SageMaker Autopilot, the best candidate of a search"


def main(paths: ContainerPaths, argv: Sequence[str] = ()) -> None:
    """Write the reports to `processing/output/evaluation` from the inputs `scores`, `test`, `code` and `description`.

    They are those of a trained model, less attributions and rules of the training, which only a booster has; the
    description lies beside them, for whoever compares with this model later. Facets need the input `train` too. Where
    experiments are tracked, the model gets a run of its own.
    """
    problem = asked_problem()
    asked = parse_arguments(argv, problem)
    code = load_model_code(paths.processing_input("code"))
    description = parse_description(paths.processing_input(DESCRIPTION) / DESCRIPTION_FILE)
    check_problem(description, problem)
    if description.features != code.features or description.label != code.label:
        raise JobError(
            f"the search was given other columns than the code of {code.name} has: run the pipeline from its beginning"
        )
    test = read_rows(paths.processing_input("test"), [*code.features, code.label])
    labels = problem.labels(test[code.label])
    predictions = read_scores(paths.processing_input(SCORES) / ANSWERS_FILE, problem)
    judged = Judged(
        description=description,
        code=code,
        algorithm=ALGORITHM,
        statistics=statistics_of(problem, labels, predictions, test),
        test=test,
        labels=labels,
        predictions=predictions,
    )
    judged = judge(asked, judged, paths)
    write_reports(judged, paths)
    write_description(description, paths.processing_output("evaluation") / DESCRIPTION_FILE)
    job = job_of(paths.processing_configuration).get("ProcessingJobName", "search")
    track_search(description, ALGORITHM, judged.statistics, job)
