"""Boosting for models of this runtime: `boost` is XGBoost's `train` inside of a training job.

What surrounds a training is the job's business and not the model's: checkpoints, rules that watch it, other machines
that train the same model. The entry point `train` says so with `training`, and a model's `fit` only calls `boost`.
Outside of a job, as in a notebook, `boost` does what `xgboost.train` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import xgboost as xgb
from xgboost import collective
from xgboost.callback import CallbackContainer, EarlyStopping, EvaluationMonitor, TrainingCallback

from model_runtime.checkpoints import Checkpoint, Checkpoints

Watch = Callable[[str], Sequence[TrainingCallback]]
"""Gives the callbacks that watch one stage of a training, by the stage's name."""


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a job adds to each training: where its state is kept, and what watches it. Nothing when left out."""

    checkpoints: Checkpoints | None = None
    watch: Sequence[Watch] = ()


_surroundings: ContextVar[Surroundings] = ContextVar("surroundings")


@contextmanager
def training(surroundings: Surroundings) -> Iterator[None]:
    """Add something to every `boost` inside of the block."""
    token = _surroundings.set(surroundings)
    try:
        yield
    finally:
        _surroundings.reset(token)


def boost(
    parameters: Mapping[str, Any],
    rows: xgb.DMatrix,
    rounds: int,
    *,
    stage: str = "model",
    evals: Sequence[tuple[xgb.DMatrix, str]] = (),
    early_stopping_rounds: int | None = None,
    verbose_eval: int | None = 25,
) -> xgb.Booster:
    """Grow up to `rounds` trees (or rounds of trees), as `xgboost.train` does with the same arguments.

    A job that was interrupted goes on after its last checkpoint: rounds and early stopping count on. With checkpoints
    each round draws its rows from the seed and its own number, so that the rounds after an interruption don't repeat
    the draws of the first ones; the model becomes as good as without an interruption, and not the same to the bit.

    Parameters
    ----------
    stage
        Names this training among those of one `fit`, as checkpoints are kept for each. Two need different names.
    early_stopping_rounds
        Stops when the last metric of the last of `evals` hasn't improved for so many rounds; `best_iteration` of the
        result is the best round, counted from 0. Never when left out.
    verbose_eval
        Prints the metrics of `evals` every so many rounds; never when None.
    """
    around = _surroundings.get(Surroundings())
    checkpoints, options = around.checkpoints, dict(parameters)
    if checkpoints:
        options["seed_per_iteration"] = True
    resumed = checkpoints.newest(stage) if checkpoints else None
    if resumed and resumed.ended:
        return resumed.booster(options)
    watching = [callback for watch in around.watch for callback in watch(stage)]
    if verbose_eval and evals:
        watching.append(EvaluationMonitor(period=verbose_eval))
    stopping = EarlyStopping(rounds=early_stopping_rounds) if early_stopping_rounds else None
    callbacks = CallbackContainer([*watching, stopping] if stopping else watching)
    cache = [rows, *(each for each, _ in evals)]
    booster = resumed.booster(options, cache) if resumed else xgb.Booster(options, cache)
    if resumed:
        callbacks.history.update(deepcopy(resumed.history))
    callbacks.before_training(booster)
    if stopping:
        stopping.starting_round = 0  # rounds are counted from the very first one
        if resumed:
            stopping.stopping_history, stopping.best_scores = deepcopy(resumed.history), deepcopy(resumed.best_scores)
            stopping.current_rounds = resumed.rounds_without_improvement

    def state(ended: bool = False) -> Checkpoint:
        return Checkpoint.of(booster, done, callbacks.history, stopping, ended=ended)

    done = resumed.rounds if resumed else 0
    try:
        while done < rounds:
            if callbacks.before_iteration(booster, done, rows, list(evals)):
                break
            booster.update(rows, iteration=done)
            enough = callbacks.after_iteration(booster, done, rows, list(evals))
            done += 1
            if enough:
                break
            if checkpoints and checkpoints.due(done) and done < rounds:
                checkpoints.save(stage, state())
    except KeyboardInterrupt:  # the job is stopped, or its machine is taken away
        if checkpoints and done:
            checkpoints.save(stage, state())
        raise
    callbacks.after_training(booster)
    if checkpoints:
        checkpoints.save(stage, state(ended=True))
    return booster.reset()


def is_first() -> bool:
    """Whether this process is the one that writes: the only one, or the first of several that train together."""
    return int(collective.get_rank()) == 0
