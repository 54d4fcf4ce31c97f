"""How a model's training job uses its machines, and which results of earlier executions its pipeline takes over."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from mlops_constructs.pipeline_expressions import Value
from mlops_constructs.step_policies import Caching
from mlops_constructs.training_engine import LONGEST_WARM_SECONDS, TrainingEngine

from .setting_types import Positive, Section

SHARDED = ("train", "validation")
"""Channels of which each of several machines gets a part: the rows that a model is grown on."""
FILES_PER_MACHINE = 4
"""Parts that Prepare writes for each machine, so that all get about the same, however their names are dealt out."""
ROUNDS_VARIABLE = "CHECKPOINT_ROUNDS"
"""Tells the runtime's `train` how often to keep its state."""


class Spot(Section):
    """Spare capacity, which costs less and may be taken away at any time."""

    max_wait_minutes: Positive
    """The longest time from request to end, with all waiting: at least max_runtime_minutes."""


class Checkpoints(Section):
    """The state of the training, kept in S3 while the job runs."""

    every_rounds: Positive = 25
    """Rounds between two."""


class WarmPool(Section):
    """Machines that are kept for the next training job, at their price; it starts within seconds then."""

    keep_alive_minutes: Annotated[int, Field(ge=1, le=LONGEST_WARM_SECONDS // 60)]
    """Minutes after the job, at most 60."""


class Engine(Section):
    """The part of `training` that says how its job uses machines."""

    max_runtime_minutes: Positive = 60
    """Minutes after which a job is stopped."""
    instance_count: Positive = 1
    """Machines that train one model together, each on its part of the rows."""
    spot: Spot | None = None
    """Spare capacity; left out: machines on demand."""
    checkpoints: Checkpoints | None = None
    """The state of the training in S3, which a job that was interrupted or failed goes on from; left out: none."""
    warm_pool: WarmPool | None = None
    """Machines that stay for the next job; left out: none."""
    input_mode: Literal["File", "FastFile"] = "File"
    """File copies all rows to the disk before the training starts; FastFile reads them from S3 as they are needed."""
    network_isolation: bool = False
    """Whether the jobs that prepare and train have no network. The one that evaluates asks the registry, and has."""
    cache_days: Positive | None = 30
    """Days in which an execution takes over prepared rows and the model of an earlier one that was made of the same
    data, code and hyperparameters; null: none."""

    @model_validator(mode="after")
    def _goes_together(self) -> Engine:
        spot = self.spot
        if spot and self.warm_pool:
            raise PydanticCustomError(
                "spot_and_warm", "can't be kept of spot machines; remove it, or spot", {"at": ("warm_pool",)}
            )
        if spot and not self.checkpoints:
            raise PydanticCustomError(
                "spot_without_checkpoints",
                "needs training.checkpoints, or each interruption starts the training anew; add it, as "
                "checkpoints: {every_rounds: 25}",
                {"at": ("spot",)},
            )
        if spot and spot.max_wait_minutes < self.max_runtime_minutes:
            raise PydanticCustomError(
                "spot_wait",
                "must be at least training.max_runtime_minutes, {runtime}, which it contains, got {wait}",
                {
                    "runtime": self.max_runtime_minutes,
                    "wait": spot.max_wait_minutes,
                    "at": ("spot", "max_wait_minutes"),
                },
            )
        return self

    @property
    def files(self) -> int:
        """How many files Prepare writes the rows of a part to."""
        return 1 if self.instance_count == 1 else self.instance_count * FILES_PER_MACHINE


def caching_of(engine: Engine) -> Caching | None:
    """The cache of steps whose inputs say all that they depend on."""
    return Caching(days=engine.cache_days) if engine.cache_days else None


def training_engine_of(engine: Engine, checkpoints: Value | None) -> TrainingEngine:
    """The settings as the library takes them; `checkpoints` is the S3 URI of the folder that they are kept in."""
    return TrainingEngine(
        spot_wait_seconds=engine.spot.max_wait_minutes * 60 if engine.spot else None,
        checkpoints=checkpoints,
        streamed=SHARDED if engine.input_mode == "FastFile" else (),
        sharded=SHARDED if engine.instance_count > 1 else (),
        isolated=engine.network_isolation,
        keep_alive_seconds=engine.warm_pool.keep_alive_minutes * 60 if engine.warm_pool else None,
    )
