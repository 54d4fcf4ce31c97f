"""What serves one endpoint configuration: its variants, each with its instances, and what is captured of them."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from local_aws.sagemaker.component_host import HostVariant
from local_aws.sagemaker.data_capture import DataCapture
from local_aws.sagemaker.endpoint_metrics import VariantKey
from local_aws.sagemaker.model_server import DRAIN_SECONDS
from local_aws.sagemaker.models import Models
from local_aws.sagemaker.serverless import ServerlessVariant
from local_aws.sagemaker.shadow import Shadow
from local_aws.sagemaker.variant import Variant
from local_aws.sagemaker.workspace import Record, Workspace

_random = random.SystemRandom()


class FleetRetired(Exception):
    """The fleet takes no more requests."""


class Fleet:
    """The variants of one endpoint configuration, and how requests are shared among them.

    `variants` are those that answer clients, and `shadows` those that get copies.
    """

    def __init__(self, workspace: Workspace, models: Models, endpoint: str, config: Record) -> None:
        self.config = config
        self._in_use = 0
        self._retired = False
        self._changed = threading.Condition()
        production = {item["VariantName"]: item for item in config["ProductionVariants"]}
        shadows = {item["VariantName"]: item for item in config.get("ShadowProductionVariants", [])}
        definitions = {**production, **shadows}
        containers = {name: _container(models, config, item) for name, item in definitions.items()}
        made = {
            name: _kind(definition)(
                workspace,
                key=VariantKey(endpoint, str(config["EndpointConfigName"]), name),
                definition=definition,
                container=containers[name],
                directory=workspace.context.state_dir / "endpoints" / endpoint,
            )
            for name, definition in definitions.items()
        }
        self.variants = {name: made[name] for name in production}
        self.shadows = {name: made[name] for name in shadows}
        # the API takes at most one of them, beside one production variant
        self.shadow = next(
            (Shadow(self.variants[next(iter(production))], each) for each in self.shadows.values()), None
        )
        self.capture: DataCapture | None = None
        capture = config.get("DataCaptureConfig")
        if capture and capture.get("EnableCapture", True):
            first = next(iter(production))
            client = workspace.client("s3", containers[first].get("ExecutionRoleArn"))
            self.capture = DataCapture(client, endpoint, capture, workspace.context.clock, self.variants[first].note)

    def start(self, counts: Mapping[str, int] | None = None) -> None:
        """Start every instance, or of each variant so many; ServerFailure when one isn't healthy.

        Whatever fails, none is left running.
        """
        for name, count in (counts or {}).items():
            self.variants[name].desired_count = count
        failures: list[Exception] = []

        def start(variant: Variant) -> None:
            try:
                variant.start()
            except Exception as failure:
                failures.append(failure)

        starters = [threading.Thread(target=start, args=(variant,)) for variant in self._all()]
        for starter in starters:
            starter.start()
        for starter in starters:
            starter.join()
        if failures:
            self.close(0)
            raise failures[0]

    @contextmanager
    def serving(self, target: str | None) -> Iterator[Variant]:
        """Lend a variant for a request: the named one, or one chosen by the weights.

        FleetRetired when the fleet is being closed: its successor is in place by then.
        """
        with self._changed:
            if self._retired:
                raise FleetRetired
            self._in_use += 1
        try:
            yield self.variants[target] if target else self._choose()
        finally:
            with self._changed:
                self._in_use -= 1
                self._changed.notify_all()

    def scale(self, variant: str, count: int) -> None:
        """Bring a variant to a number of instances, in the background and without losing a request."""
        self.variants[variant].scale(count)

    def scale_all(self, counts: Mapping[str, int]) -> None:
        """Bring each of the variants to its number of instances, as `scale` does."""
        for name, count in counts.items():
            self.scale(name, count)

    def counts(self) -> dict[str, int]:
        """Return how many instances each variant was asked to have last."""
        return {name: variant.desired_count for name, variant in self.variants.items()}

    def settle(self) -> None:
        """Wait until no variant scales."""
        for variant in self._all():
            variant.settle()

    def retain(self, before: Fleet, excluded: list[Mapping[str, str]]) -> None:
        """Take over weights and instance counts that were changed since the last configuration."""
        names = {item["VariantPropertyType"] for item in excluded}
        for name in self.variants.keys() & before.variants.keys():
            if "DesiredWeight" not in names:
                self.variants[name].weight = before.variants[name].weight
            if "DesiredInstanceCount" not in names:
                self.variants[name].desired_count = before.variants[name].desired_count

    def described(self, *, shadows: bool = False) -> list[dict[str, Any]]:
        """Return the production variants, or the shadow variants, as DescribeEndpoint shows them."""
        return [
            {
                "VariantName": name,
                "DeployedImages": [{"SpecifiedImage": variant.image, "ResolvedImage": variant.image}]
                * bool(variant.image),
                "CurrentWeight": variant.weight,
                "DesiredWeight": variant.weight,
                **variant.capacity(),
            }
            for name, variant in (self.shadows if shadows else self.variants).items()
        ]

    def close(self, grace_seconds: float = DRAIN_SECONDS) -> None:
        """Wait for requests on their way, then stop the instances and write what was captured."""
        with self._changed:
            self._retired = True
            self._changed.wait_for(lambda: self._in_use == 0, timeout=grace_seconds)
        if self.shadow is not None:
            self.shadow.close()
        if self.capture is not None:
            self.capture.close()
        for variant in self._all():
            variant.close(grace_seconds)

    def _all(self) -> list[Variant]:
        return [*self.variants.values(), *self.shadows.values()]

    def _choose(self) -> Variant:
        variants = [variant for variant in self.variants.values() if variant.weight > 0] or list(self.variants.values())
        (chosen,) = _random.choices(variants, [variant.weight or 1 for variant in variants])
        return chosen


def _container(models: Models, config: Record, definition: Record) -> Record:
    if "ModelName" in definition:
        return models.serving_container(definition["ModelName"])
    return {"Image": "", "ExecutionRoleArn": config["ExecutionRoleArn"]}


def _kind(definition: Record) -> type[Variant]:
    if "ServerlessConfig" in definition:
        return ServerlessVariant
    return Variant if "ModelName" in definition else HostVariant
