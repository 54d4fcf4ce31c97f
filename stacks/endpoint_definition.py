"""What a model's settings say of its endpoint, in the construct's terms."""

from __future__ import annotations

from mlops_constructs.data_lake import DataLake
from mlops_constructs.endpoint_options import (
    AsyncInference,
    Challenger,
    DataCapture,
    EndpointOptions,
    ServingMetricNames,
)
from mlops_constructs.endpoint_release import ReleaseLimits
from mlops_constructs.endpoint_scaling import EndpointScaling, ScheduledCapacity
from mlops_constructs.endpoint_sizing import EndpointSizing, ServerlessSizing
from mlops_constructs.inference_component import ComponentOptions, ComponentSizing

from .blueprint import Blueprint
from .foundation_stack import FoundationStack
from .model_settings import Model
from .serving_settings import Component, Scaling, Serving


def endpoint_options(
    blueprint: Blueprint,
    model: Model,
    serving: Serving,
    foundation: FoundationStack,
    lake: DataLake,
    challenger_arn: str | None,
) -> EndpointOptions:
    """The endpoint of a model. Raises ValueError as `EndpointOptions` does."""
    percent, asked = serving.capture_percent, serving.challenger
    return EndpointOptions(
        enabled=serving.enabled,
        sizing=_sizing(serving),
        capture=DataCapture(bucket=lake.capture, percent=percent) if percent else None,
        release=serving.release_policy(),
        limits=_limits(serving),
        scaling=_scaling(serving.scaling) if serving.scaling else None,
        asynchronous=_asynchronous(serving, lake, model),
        challenger=Challenger(
            model_package_arn=challenger_arn,
            mode=asked.mode,
            percent=asked.percent,
            instance_count=asked.instance_count,
        )
        if asked and challenger_arn is not None
        else None,
        metrics=_metrics(blueprint, model),
        topic=foundation.alarms,
    )


def component_options(
    blueprint: Blueprint, model: Model, serving: Serving, component: Component, foundation: FoundationStack
) -> ComponentOptions:
    """The component of a model on a fleet. Raises ValueError as `ComponentOptions` does."""
    return ComponentOptions(
        enabled=serving.enabled,
        sizing=ComponentSizing(copies=component.copies, memory_mb=component.memory_mb, cpus=component.cpus),
        release=serving.release_policy(),
        limits=_limits(serving),
        scaling=_scaling(serving.scaling) if serving.scaling else None,
        metrics=_metrics(blueprint, model),
        topic=foundation.alarms,
    )


def _limits(serving: Serving) -> ReleaseLimits:
    alarms = serving.release.alarms
    return ReleaseLimits(
        server_error_percent=alarms.server_error_percent,
        client_error_percent=alarms.client_error_percent,
        p99_milliseconds=alarms.p99_milliseconds,
        prediction_shift=alarms.prediction_shift,
    )


def _metrics(blueprint: Blueprint, model: Model) -> ServingMetricNames:
    return ServingMetricNames(
        namespace=f"{blueprint.settings.platform.name}/Serving", environment=blueprint.settings.name, model=model.name
    )


def _sizing(serving: Serving) -> EndpointSizing | ServerlessSizing:
    asked = serving.serverless
    if asked is None:
        return EndpointSizing(instance_type=serving.instance_type, instance_count=serving.instance_count)
    return ServerlessSizing(
        memory_mb=asked.memory_mb,
        max_concurrency=asked.max_concurrency,
        provisioned_concurrency=asked.provisioned_concurrency,
    )


def _scaling(scaling: Scaling) -> EndpointScaling:
    return EndpointScaling(
        minimum=scaling.minimum,
        maximum=scaling.maximum,
        requests_per_instance=scaling.requests_per_instance,
        scale_in_seconds=60 * scaling.scale_in_minutes,
        scale_out_seconds=60 * scaling.scale_out_minutes,
        scale_in=scaling.scale_in,
        schedules=[
            ScheduledCapacity(schedule=each.schedule, minimum=each.minimum, maximum=each.maximum)
            for each in scaling.schedules
        ],
    )


def _asynchronous(serving: Serving, lake: DataLake, model: Model) -> AsyncInference | None:
    asked = serving.asynchronous
    if asked is None:
        return None
    return AsyncInference(
        bucket=lake.capture,
        prefix=f"async/{model.name}/",
        max_concurrent=asked.max_concurrent,
        backlog_per_instance=asked.backlog_per_instance,
    )
