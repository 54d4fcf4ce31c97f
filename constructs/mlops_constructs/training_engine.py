"""How a training job uses its machines: several at once, spare ones, ones that stay warm, data that is streamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .pipeline_expressions import Value
from .pipeline_step import InvalidPipelineError

LONGEST_WARM_SECONDS = 3600
CHECKPOINT_FOLDER = "/opt/ml/checkpoints"


@dataclass(frozen=True, kw_only=True)
class TrainingEngine:
    """How a training job uses its machines. Left out, a job has its machines to itself and copies its data to them.

    Parameters
    ----------
    spot_wait_seconds
        Runs on spare capacity, which is cheaper and may be taken away: the longest time from the request to the end,
        waiting included. Needs `checkpoints`, from which the job goes on. On demand when left out.
    checkpoints
        S3 URI that /opt/ml/checkpoints is copied to while the job runs, and from before it starts; none when left out.
    streamed
        Channels whose objects look like files and are fetched as they are read (FastFile); all others are copied to the
        disk before the job starts (File).
    sharded
        Channels whose objects are dealt out to the machines, each to one; all others are there on every machine.
    isolated
        No network but between the machines of the job; SageMaker itself copies data and model.
    keep_alive_seconds
        Keeps the machines for the next job so long after this one, at their price; let go when left out.
    """

    spot_wait_seconds: int | None = None
    checkpoints: Value | None = None
    streamed: Sequence[str] = ()
    sharded: Sequence[str] = ()
    isolated: bool = False
    keep_alive_seconds: int | None = None

    def __post_init__(self) -> None:
        """Refuse what SageMaker refuses, and spot jobs that would begin again with each interruption."""
        if self.spot_wait_seconds is not None and self.keep_alive_seconds is not None:
            raise InvalidPipelineError("machines of spot jobs can't be kept alive: set one of the two")
        if self.spot_wait_seconds is not None and self.checkpoints is None:
            raise InvalidPipelineError("a spot job needs checkpoints, or each interruption starts it anew")
        if self.keep_alive_seconds is not None and not 1 <= self.keep_alive_seconds <= LONGEST_WARM_SECONDS:
            raise InvalidPipelineError(
                f"keep_alive_seconds must be 1 to {LONGEST_WARM_SECONDS}, got {self.keep_alive_seconds}"
            )

    def check(self, step: str, channels: Sequence[str], max_runtime_seconds: int) -> None:
        """Refuse what doesn't go with the job that it is for."""
        for channel in (*self.sharded, *self.streamed):
            if channel not in channels:
                raise InvalidPipelineError(
                    f"step {step!r}: there is no channel {channel!r} to shard or stream; there are {sorted(channels)}"
                )
        if self.spot_wait_seconds is not None and self.spot_wait_seconds < max_runtime_seconds:
            raise InvalidPipelineError(
                f"step {step!r}: spot_wait_seconds, {self.spot_wait_seconds}, must be at least max_runtime_seconds, "
                f"{max_runtime_seconds}, which it contains"
            )

    def added_to(self, body: dict[str, Any]) -> dict[str, Any]:
        """The input of CreateTrainingJob with what this adds."""
        for channel in body["InputDataConfig"]:
            if channel["ChannelName"] in self.streamed:
                channel["InputMode"] = "FastFile"
            if channel["ChannelName"] in self.sharded:
                channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] = "ShardedByS3Key"
        if self.spot_wait_seconds is not None:
            body["EnableManagedSpotTraining"] = True
            body["StoppingCondition"]["MaxWaitTimeInSeconds"] = self.spot_wait_seconds
        if self.checkpoints is not None:
            body["CheckpointConfig"] = {"S3Uri": self.checkpoints, "LocalPath": CHECKPOINT_FOLDER}
        if self.isolated:
            body["EnableNetworkIsolation"] = True
        if self.keep_alive_seconds is not None:
            body["ResourceConfig"]["KeepAlivePeriodInSeconds"] = self.keep_alive_seconds
        if body["ResourceConfig"]["InstanceCount"] > 1:
            body["EnableInterContainerTrafficEncryption"] = True
        return body
