"""Batch inference of a model: when it runs, and on what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from .setting_types import InstanceType, Positive, Section
from .trigger_settings import CheckedSchedule

MOST_PAYLOAD_MB = 100


class Batch(Section):
    """Predictions for whole days into the table <model>_predictions, by the released version; one run at a time."""

    schedule: CheckedSchedule | None = "cron(0 9 * * ? *)"
    """When it takes up the days that are due, in UTC: cron(0 9 * * ? *), every day at nine, or rate(1 day); null for
    none."""
    new_data: bool = True
    """Whether it takes up the days that are due when days are published."""
    catch_up_days: Annotated[int, Field(ge=1, le=366)] = 7
    """How many of the newest published days are due when they have no predictions, or were published anew since; older
    ones are predicted when somebody asks for them."""
    instance_type: InstanceType = "ml.m5.large"
    """Machine of each of the jobs, as ml.m5.large."""
    instance_count: Positive = 1
    """Number of machines that ask the model; they share the rows of a day."""
    max_concurrent_transforms: Positive = 2
    """How many requests each of them sends at the same time."""
    max_payload_mb: Annotated[int, Field(ge=1, le=MOST_PAYLOAD_MB)] = 6
    """MiB of rows that a request has at most."""
    max_runtime_minutes: Positive = 60
    """Minutes after which the jobs that select rows and publish predictions are stopped."""

    @model_validator(mode="after")
    def _fits_together(self) -> Batch:
        together = self.max_concurrent_transforms * self.max_payload_mb
        if together > MOST_PAYLOAD_MB:
            raise PydanticCustomError(
                "payload",
                "times max_payload_mb may be {most} at most, as SageMaker wants it, got {together}; lower one of them",
                {"most": MOST_PAYLOAD_MB, "together": together, "at": ("max_concurrent_transforms",)},
            )
        return self
