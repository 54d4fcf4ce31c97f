"""SageMaker's own Debugger, Clarify and Model Monitor, for accounts that have them from before they were closed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from .setting_types import Section

CLOSED = "2026-07-30"
"""The day since which they are closed to new customers."""
RULES: Mapping[str, str] = {
    "class_imbalance": "ClassImbalance",
    "loss_not_decreasing": "LossNotDecreasing",
    "overfitting": "Overfit",
}
"""The rules of training.diagnostics that Debugger has a counterpart of."""

NativeCheck = Literal["data_quality", "data_bias", "model_bias", "explainability"]
IMAGES: Mapping[str, str] = {
    "data_quality": "monitor_image",
    "data_bias": "clarify_image",
    "model_bias": "clarify_image",
    "explainability": "clarify_image",
}
"""The image that each check runs."""
OF_GROUPS = ("data_bias", "model_bias")

_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.[a-z0-9-]+\.[a-z.]+/[^:@\s]+([:@]\S+)?")


def _image(uri: str) -> str:
    if not _IMAGE.fullmatch(uri):
        raise PydanticCustomError(
            "image", "must be the URI of an image, as 111122223333.dkr.ecr.eu-west-1.amazonaws.com/name:tag"
        )
    return uri


def _off(value: Any) -> Any:
    # YAML reads a bare off as false
    return "off" if value is False else value


ImageUri = Annotated[str, AfterValidator(_image)]
Debugger = Annotated[Literal["off", "native"], BeforeValidator(_off)]


class Native(Section):
    """Images of services that are closed to new customers since 2026-07-30. AWS keeps them in an account of its own in
    each region, which its pages on the registry paths of SageMaker list."""

    debugger_image: ImageUri | None = None
    """The rules of SageMaker Debugger, sagemaker-debugger-rules; for models with training.debugger: native."""
    clarify_image: ImageUri | None = None
    """SageMaker Clarify, sagemaker-clarify-processing; for models with data_bias, model_bias or explainability among
    their native_checks."""
    monitor_image: ImageUri | None = None
    """SageMaker Model Monitor, sagemaker-model-monitor-analyzer; for models with data_quality among them."""


def check_native(model: Any) -> None:
    """Refuse what SageMaker's own services can't do for a model."""
    training = model.training
    if training.debugger == "native":
        at = ("training", "debugger")
        if training.algorithm == "automl":
            raise PydanticCustomError(
                "debugger", "has no place with algorithm: automl, which trains by itself; remove it", {"at": at}
            )
        if training.tuning is not None:
            raise PydanticCustomError(
                "debugger",
                "can't watch tuned training jobs, for which SageMaker takes no rules; remove it, or tuning",
                {"at": at},
            )
        if not native_rules(training.diagnostics):
            raise PydanticCustomError(
                "debugger",
                "needs a rule of training.diagnostics that Debugger has as well and that isn't off: {known}",
                {"known": ", ".join(RULES), "at": at},
            )
    for index, check in enumerate(model.native_checks):
        at_check = ("native_checks", index)
        if model.native_checks.index(check) < index:
            raise PydanticCustomError(
                "native_check", "{check} is listed twice; remove one", {"check": check, "at": at_check}
            )
        if training.algorithm == "automl":
            raise PydanticCustomError(
                "native_check",
                "{check} has no place with algorithm: automl, whose best model isn't ours; remove it",
                {"check": check, "at": at_check},
            )
        if check in OF_GROUPS and (model.problem != "binary_classification" or not model.fairness.facets):
            raise PydanticCustomError(
                "native_check",
                "{check} compares groups of a binary classification: it needs fairness.facets; add them, or remove it",
                {"check": check, "at": at_check},
            )


def native_rules(diagnostics: Any) -> list[str]:
    """The rules of training.diagnostics that aren't off and that Debugger has a counterpart of."""
    return [name for name in RULES if getattr(diagnostics, name).action != "off"]


def images_needed(model: Any) -> Mapping[str, tuple[str | int, ...]]:
    """The images that a model needs of its environment, each with the setting that asks for it."""
    found: dict[str, tuple[str | int, ...]] = {}
    if model.training.debugger == "native":
        found["debugger_image"] = ("training", "debugger")
    for index, check in enumerate(model.native_checks):
        found.setdefault(IMAGES[check], ("native_checks", index))
    if model.monitoring and model.monitoring.engine == "native":
        for image in ("monitor_image", "clarify_image"):
            found.setdefault(image, ("monitoring", "engine"))
    return found
