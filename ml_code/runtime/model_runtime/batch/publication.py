"""The entry point `publish`: the answers of a transform job become the predictions of days, in their table.

A day is published when every answer for it is there and is what the model should give: its one object is replaced, so
that readers see the old predictions or the new ones, whole and once, also when the job ends in between. Days that were
asked for are published all or none. Of days that are due the good ones are, and the job fails with the others' reasons:
a day that is wrong would stop all that come after it otherwise.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import polars as pl

from model_runtime.autopilot_answers import score_of
from model_runtime.batch.plan import Plan, notes_of, predictions_uri
from model_runtime.batch.selection import KEYS_FILE, ROW
from model_runtime.batch.store import Store
from model_runtime.errors import JobError
from model_runtime.inference_ids import inference_ids
from model_runtime.paths import ContainerPaths
from model_runtime.problems import BINARY_CLASSIFICATION, Problem, problem_named

PREDICTION = "prediction"
POSITIVE_FROM = 0.5
"""The probability from which the predicted class is 1, as the reports of the evaluation have it."""
ANSWERS = "*.out"


def main(paths: ContainerPaths, argv: Sequence[str]) -> None:
    """Publish the days of the input `plan` from `keys` and `scores`, and say how many they are in the message."""
    table = parse_arguments(argv)
    plan = Plan.read(paths.processing_input("plan"))
    problem = problem_named(plan.problem, "plan.json: problem")
    now, store = datetime.now(UTC).replace(tzinfo=None), Store()
    problems = dict(plan.problems)
    with tempfile.TemporaryDirectory() as scratch:
        files = {}
        for day in plan.days:
            try:
                predictions = predicted_day(paths, plan, day, problem, now)
            except JobError as error:
                if plan.together:
                    raise JobError(f"{error}: nothing of this run is published") from error
                problems[day] = str(error)
                continue
            files[day] = Path(scratch) / f"{day}.parquet"
            predictions.write_parquet(files[day])
        for day, file in files.items():
            planned = plan.days[day]
            notes = notes_of(planned, plan.package, **{"predicted-at": now.isoformat(timespec="seconds")})
            store.replace(predictions_uri(table, day), file, notes)
            print(f"{day}: {planned.rows} predictions", flush=True)
    days, rows = len(files), sum(plan.days[day].rows for day in files)
    said = f"{rows:,} predictions of {days} day{'' if days == 1 else 's'} by version {plan.version}"
    if problems:
        raise JobError(f"{'; '.join(problems.values())}; {said}")
    print(said, flush=True)
    paths.message.parent.mkdir(parents=True, exist_ok=True)
    paths.message.write_text(said, encoding="utf-8")


def parse_arguments(argv: Sequence[str]) -> str:
    """The URI of the table of predictions; raises JobError when it isn't given."""
    parser = argparse.ArgumentParser(prog="publish", exit_on_error=False, allow_abbrev=False)
    parser.add_argument("--predictions", default="")
    known, unknown = parser.parse_known_args(list(argv))
    if unknown or not known.predictions:
        raise JobError(f"publish needs --predictions and no more, got {' '.join(argv) or 'nothing'}")
    return str(known.predictions)


def predicted_day(paths: ContainerPaths, plan: Plan, day: str, problem: Problem, now: datetime) -> pl.DataFrame:
    """The rows of a day as the table has them; raises JobError for a missing or double answer, or none of its kind."""
    folder = f"day={day}"
    keys = pl.read_parquet(paths.processing_input("keys") / folder / KEYS_FILE)
    answers = read_answers(paths.processing_input("scores"), day, plan, problem)
    numbers = answers[ROW]
    if answers.height != keys.height or not numbers.equals(keys[ROW].cast(numbers.dtype)):
        raise JobError(
            f"the transform job gave {numbers.n_unique()} of the {keys.height} rows of {day} an answer, "
            f"{answers.height} in all"
        )
    values = answers[PREDICTION]
    wrong = answers.filter(
        ~(pl.col(PREDICTION).is_finite() & pl.col(PREDICTION).is_between(problem.lowest, problem.highest)).fill_null(
            False
        )
    )
    if wrong.height:
        raise JobError(
            f"the model must give {problem.answer} for each row, it gave {wrong[PREDICTION][0]} for a row of {day}"
        )
    key = [pl.col(name) for name in plan.key]
    times = [name for name in plan.key if isinstance(keys.schema[name], pl.Datetime)]
    classes = [pl.col(PREDICTION).ge(POSITIVE_FROM).cast(pl.Int32).alias("predicted_class")]
    return (
        keys.with_columns(values)
        .select(
            *key,
            pl.col(PREDICTION),
            *(classes if problem is BINARY_CLASSIFICATION else []),
            pl.lit(plan.package).alias("model_package"),
            inference_ids(keys.with_columns(day=pl.lit(day)), plan.key),
            pl.lit(now, pl.Datetime("us")).alias("predicted_at"),
        )
        # queries know no finer times
        .with_columns(pl.col(name).dt.cast_time_unit("us") for name in times)
    )


def read_answers(directory: Path, day: str, plan: Plan, problem: Problem) -> pl.DataFrame:
    """The numbers of a day's rows and the answers for them, in the order of the numbers.

    A line is a row's number, its features, and what the container answered. Raises JobError for a line that isn't so.
    Files are told by their names: which folders of its input a transform job keeps isn't said for sure.
    """
    schema = {ROW: pl.Int64, PREDICTION: pl.Float64}
    files = sorted(directory.rglob(f"{day}-{ANSWERS}"))
    read = _searched_answers if plan.searched else _plain_answers
    return pl.concat([pl.DataFrame(schema=schema), *(read(file, plan, problem) for file in files)]).sort(ROW)


def _plain_answers(file: Path, plan: Plan, _: Problem) -> pl.DataFrame:
    place = f"the answers {file.parent.name}/{file.name}"
    # a line without anything may come between the answers to two requests
    text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if line)
    width = len(next(csv.reader([text.partition("\n")[0]]), []))
    if width != plan.features + 2:
        raise JobError(
            f"{place} must have {plan.features + 2} columns, a number, {plan.features} features and one answer, they "
            f"have {width}: the model's inference functions must answer a number per row"
        )
    features = {f"feature_{number}": pl.String for number in range(plan.features)}  # read by nobody
    try:
        schema = {ROW: pl.Int64, **features, PREDICTION: pl.Float64}
        return pl.scan_csv(BytesIO(text.encode()), has_header=False, schema=schema).select(ROW, PREDICTION).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise JobError(f"{place} can't be read: {' '.join(str(error).split())[:300]}") from error


def _searched_answers(file: Path, plan: Plan, problem: Problem) -> pl.DataFrame:
    rows, values = [], []
    with file.open(encoding="utf-8", newline="") as lines:
        for number, line in enumerate(csv.reader(lines), 1):
            if line:
                rows.append(int(line[0]))
                values.append(score_of(line[1 + plan.features :], number, problem))
    return pl.DataFrame({ROW: rows, PREDICTION: values}, schema={ROW: pl.Int64, PREDICTION: pl.Float64})
