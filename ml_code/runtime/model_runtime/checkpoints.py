"""Checkpoints: the state of a training in files that an interrupted job goes on from.

A checkpoint is one file, `<stage>-<identity>-<rounds>.checkpoint`: a zip, whose checksums tell a broken one, with the
booster and what early stopping has seen so far. It gets its name when it is complete. SageMaker copies the folder to S3
while the job runs, and brings it back before it starts a job again: training-job parameter `CheckpointConfig`,
https://docs.aws.amazon.com/sagemaker/latest/dg/model-checkpoints.html.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import xgboost as xgb
from xgboost import collective
from xgboost.callback import EarlyStopping

KEPT = 2
"""How many of a stage stay in the folder: the newest, and one in case that it is broken."""

FOOTER_BYTES = 64 * 1024

History: TypeAlias = dict[str, dict[str, Any]]
"""Scores by data set, metric and round, in XGBoost's form."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A training after some rounds: XGBoost's own form of the model, and what callbacks have to know."""

    rounds: int
    ended: bool
    model: bytes = field(repr=False)
    attributes: Mapping[str, str | None]
    history: History
    best_scores: History
    rounds_without_improvement: int

    @classmethod
    def of(
        cls, booster: xgb.Booster, rounds: int, history: History, stopping: EarlyStopping | None, *, ended: bool
    ) -> Checkpoint:
        """The state after `rounds` complete rounds; the trees of one that was interrupted are left out."""
        whole = booster if booster.num_boosted_rounds() == rounds else booster[:rounds]
        metrics = {name: {metric: scores[:rounds] for metric, scores in by.items()} for name, by in history.items()}
        return cls(
            rounds=rounds,
            ended=ended,
            model=bytes(whole.save_raw("ubj")),
            attributes=booster.attributes(),
            history=metrics,
            best_scores=stopping.best_scores if stopping else {},
            rounds_without_improvement=stopping.current_rounds if stopping else 0,
        )

    def booster(self, parameters: Mapping[str, Any], cache: Sequence[xgb.DMatrix] = ()) -> xgb.Booster:
        """The booster as it was."""
        booster = xgb.Booster(dict(parameters), list(cache), model_file=bytearray(self.model))
        booster.set_attr(**self.attributes)
        return booster


class Checkpoints:
    """The checkpoints of one job in a folder.

    Parameters
    ----------
    folder
        Where they are; it is made when it isn't there.
    every_rounds
        How many rounds lie between two.
    identity
        What the training depends on: data, code and hyperparameters. Checkpoints of another identity are not used.
    """

    def __init__(self, folder: Path, *, every_rounds: int, identity: str) -> None:
        if every_rounds < 1:
            raise ValueError(f"every_rounds must be at least 1, got {every_rounds}")
        self._folder = folder
        self._every = every_rounds
        self._identity = identity
        folder.mkdir(parents=True, exist_ok=True)

    def due(self, rounds: int) -> bool:
        """Whether one has to be saved after so many rounds."""
        return rounds % self._every == 0

    def save(self, stage: str, checkpoint: Checkpoint) -> None:
        """Write a checkpoint, complete or not at all; of several machines the first one writes."""
        if collective.get_rank() != 0:
            return
        values = asdict(checkpoint)
        model = values.pop("model")
        target = self._folder / f"{stage}-{self._identity}-{checkpoint.rounds:06d}.checkpoint"
        unfinished = target.with_suffix(".unfinished")
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr("model.ubj", model)
            archive.writestr("state.json", json.dumps(values))
        unfinished.replace(target)
        for old in self._files(stage)[KEPT:]:
            old.unlink(missing_ok=True)

    def newest(self, stage: str) -> Checkpoint | None:
        """The newest sound checkpoint of a stage; None when there is none. Says why others are left out.

        Several machines go on from the one that the first of them finds.
        """
        found = self._find(stage) if collective.get_rank() == 0 else None
        if collective.is_distributed():
            (found,) = collective.broadcast((found,), 0)
        return found

    def _find(self, stage: str) -> Checkpoint | None:
        for file in self._files(stage):
            try:
                checkpoint = _read(file)
            except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile, xgb.core.XGBoostError) as error:
                print(f"checkpoint {file.name} is broken and not used: {str(error).splitlines()[0]}", flush=True)
                continue
            ended = " and has ended" if checkpoint.ended else ""
            print(f"going on from checkpoint {file.name}: {stage} has {checkpoint.rounds} rounds{ended}", flush=True)
            return checkpoint
        others = len(list(self._folder.glob(f"{stage}-*.checkpoint"))) - len(self._files(stage))
        if others:
            print(f"{others} checkpoints are of other data, code or hyperparameters and not used", flush=True)
        return None

    def _files(self, stage: str) -> list[Path]:
        """The checkpoints of a stage of this training, the newest first."""
        return sorted(self._folder.glob(f"{stage}-{self._identity}-*.checkpoint"), reverse=True)


def identity_of(data: Sequence[Path], code: Path, hyperparameters: Mapping[str, Any]) -> str:
    """What a training depends on as one short text: data files, the model's code, hyperparameters, XGBoost's version.

    Of a Parquet file its name, its size and its end are looked at, which holds counts and bounds of all columns, so
    that files that are streamed aren't read twice.
    """
    digest = hashlib.sha256(json.dumps([xgb.__version__, dict(hyperparameters)], sort_keys=True, default=str).encode())
    for file in sorted(data):
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(size - FOOTER_BYTES, 0))
            digest.update(f"{file.name} {size}".encode() + opened.read())
    for source in sorted(code.rglob("*.py")):
        digest.update(source.relative_to(code).as_posix().encode() + source.read_bytes())
    return digest.hexdigest()[:16]


def _read(file: Path) -> Checkpoint:
    with zipfile.ZipFile(file) as archive:
        state = json.loads(archive.read("state.json"))
        model = archive.read("model.ubj")
    checkpoint = Checkpoint(model=model, **state)
    rounds = checkpoint.booster({}).num_boosted_rounds()
    if rounds != checkpoint.rounds:
        raise ValueError(f"it says {checkpoint.rounds} rounds, its model has {rounds}")
    return checkpoint
