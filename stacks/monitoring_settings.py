"""Monitoring of one model: how often it is looked at, what counts as too different, and what happens then."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .nearest import nearest
from .schedule_gaps import DAY, HOUR, longest_gap_hours
from .setting_types import ColumnName, InstanceType, Positive, Section, UniqueNames
from .trigger_settings import CheckedSchedule

Cause = Literal["drift", "quality", "bias", "attributions"]
WEEKEND = 3 * DAY
"""From Friday's run to Monday's."""
MOST_HOURS = 7 * DAY
"""How far an alarm of CloudWatch looks back at the most, all of its periods together."""
FEWEST_LABELS = 200
"""The evaluation, and so the job, tells no standard deviation of fewer."""

Share = Annotated[float, Field(gt=0, lt=1)]
Above = Annotated[float, Field(gt=0)]


class FeatureDrift(Section):
    """What is different for one feature."""

    psi: Above
    """The population stability index above which it has moved."""


class Drift(Section):
    """When a feature counts as moved: the difference is large, and too unlikely to be chance."""

    psi: Above = 0.2
    """The population stability index above which a feature has moved: 0.1 is a small shift, 0.25 a large one."""
    alpha: Share = 0.01
    """How often, over all features together, chance alone may look like a shift."""
    moved_features: Positive = 1
    """How many features have to move until the alarm goes off."""
    features: dict[ColumnName, FeatureDrift] = Field(default_factory=dict)
    """Features with a threshold of their own."""
    ignore: UniqueNames = Field(default_factory=list)
    """Features that aren't looked at, as one that moves by its nature: a year."""


class Quality(Section):
    """The gate's metric on what really happened, once the labels have come."""

    maximum_loss: Above
    """By how much the metric may be worse than at training, in its own unit."""
    least_labels: Annotated[int, Field(json_schema_extra={"minimum": FEWEST_LABELS})] = 500
    """Labels without which nothing is judged: at least 200, of fewer no interval is told."""
    labels_within_hours: Annotated[int, Field(ge=0)] = 48
    """How late labels come: quality is judged on predictions that are at least so old."""

    @field_validator("least_labels")
    @classmethod
    def _tells_an_interval(cls, value: int) -> int:
        if value < FEWEST_LABELS:
            raise _refused(
                f"must be at least {FEWEST_LABELS}: of fewer no interval is told, without which nothing is judged, "
                f"got {value}"
            )
        return value


class Attributions(Section):
    """Whether the model still decides by the same features."""

    minimum_ndcg: Share = 0.9
    """How alike the order of the features by their weight has to be to that at training; 1 is the same."""


class Retrain(Section):
    """When the model is trained again by itself, and when that is given up."""

    on: Annotated[list[Cause], Field(min_length=1)] | None = None
    """What starts it: drift, quality, bias, attributions, each of which has to be checked; left out: drift, and quality
    where it is checked."""
    datapoints: Positive = 2
    """How many of the last runs have to be bad until the alarm goes off."""
    of: Positive = 3
    """The last runs that are looked at."""
    cool_down_hours: Positive | None = None
    """Hours from the end of one training to the next look at the alarms; left out: until labels have come where quality
    retrains, the alarm has seen enough calm runs, and one run more."""
    stop_after: Annotated[int, Field(ge=1, le=10)] = 3
    """Trainings in a row that didn't help, after which a person is told."""

    @model_validator(mode="after")
    def _fits_together(self) -> Retrain:
        if self.datapoints > self.of:
            raise _refused(f"must be at most of, {self.of}, got {self.datapoints}", "datapoints")
        for index, cause in enumerate(self.on or ()):
            if self.on and cause in self.on[:index]:
                raise _refused(f"is listed twice: {cause}; remove one", "on", index)
        return self


class Monitoring(Section):
    """What the model is asked today, compared with what it was trained on."""

    engine: Literal["runtime", "native"] = "runtime"
    """runtime: a job of our own. native: SageMaker Model Monitor's schedules beside it, for accounts that have Model
    Monitor, which is closed to new customers since 2026-07-30; alarms go by our job in both cases."""
    schedule: CheckedSchedule = "cron(0 10 * * ? *)"
    """When it looks, in UTC: cron(0 10 * * ? *), every day at ten, or rate(1 day)."""
    window_days: Annotated[int, Field(ge=1, le=90)] = 7
    """The days before each run that it looks at."""
    instance_type: InstanceType = "ml.m5.large"
    """Machine of the job, as ml.m5.large."""
    max_runtime_minutes: Positive = 60
    """Minutes after which the job is stopped."""
    least_rows: Positive = 200
    """Rows without which nothing is judged."""
    drift: Drift = Drift()
    """When features have moved."""
    quality: Quality | None = None
    """How much worse the gate's metric may be than at training; left out: it isn't checked."""
    fairness: bool = True
    """Whether the limits of the model's fairness are checked too."""
    attributions: Attributions | None = None
    """How much may change of what the model decides by; left out: it isn't checked."""
    ground_truth: bool = True
    """Whether the data workflow writes the labels of captured requests when they are known."""
    retrain: Retrain | None = Field(default_factory=Retrain)
    """What happens by itself; null: people decide."""

    @property
    def period_hours(self) -> int:
        """The length of an alarm's period, in which at least one run falls: one hour to one day."""
        return period_hours(self.schedule)

    @model_validator(mode="after")
    def _alarms_see_every_run(self) -> Monitoring:
        retrain = self.retrain
        if retrain is None:
            return self
        if retrain.of * self.period_hours > MOST_HOURS:
            most = MOST_HOURS // self.period_hours
            raise _refused(f"must be at most {most}: alarms look back seven days, got {retrain.of}", "retrain", "of")
        if retrain.of > 1 and is_rare(self.schedule):
            raise _refused(
                f"must be 1 with the schedule {self.schedule}, which is rarer than daily: alarms look back "
                f"{retrain.of} days then, got {retrain.of}",
                "retrain",
                "of",
            )
        return self


def period_hours(schedule: str) -> int:
    """The hours of a period that has a run of a schedule in it, if not every period has one: from 1 to 24."""
    return min(longest_gap_hours(schedule), DAY)


def is_rare(schedule: str) -> bool:
    """Whether days go by without a run, those of weekends aside."""
    gap = longest_gap_hours(schedule)
    return gap > DAY and not (gap <= WEEKEND and re.search(r" (MON-FRI|2-6) \S+\)$", schedule.upper()))


def silent_periods(schedule: str) -> int | None:
    """In so many periods there is a run, and one to spare; None where that is longer than alarms look back."""
    period = period_hours(schedule)
    periods = -(-longest_gap_hours(schedule) // period) + 1
    return periods if periods * period <= MOST_HOURS else None


def native_schedule(schedule: str) -> str | None:
    """The schedule as Model Monitor takes it: each hour, some hours from midnight on, or each day; None if it can't.

    Source: ScheduleConfig in the SageMaker API reference, which knows these forms alone.
    """
    kind, _, content = schedule.removesuffix(")").partition("(")
    if kind == "rate":
        number, unit = content.split()
        hours = int(number) * {"minute": 0, "hour": HOUR, "day": DAY}[unit.removesuffix("s")]
        forms = {HOUR: "cron(0 * ? * * *)", DAY: "cron(0 0 ? * * *)"}
        return forms.get(hours, f"cron(0 0/{hours} ? * * *)" if HOUR < hours < DAY else None)
    minute, hour, *days = content.split()
    daily = all(each in "*?" for each in days)
    if minute != "0" or not daily or not re.fullmatch(r"\*|\d+(/\d+)?", hour):
        return None
    return f"cron(0 {hour} ? * * *)"


def check_monitoring(model: Any) -> None:
    """Raise for monitoring that has nothing to look at, or looks for what the model doesn't have."""
    monitoring = model.monitoring
    if monitoring is None:
        return
    if not watches_endpoint(model) and model.batch is None:
        raise _refused("needs requests to look at: serving with a capture_percent above 0, or batch", at_model=True)
    features = model.data.features
    for name in monitoring.drift.features:
        if name not in features:
            raise _unknown(name, features, "drift", "features", name)
    for index, name in enumerate(monitoring.drift.ignore):
        if name not in features:
            raise _unknown(name, features, "drift", "ignore", index)
    if len(monitoring.drift.ignore) == len(features):
        raise _refused("leaves no feature to look at; name fewer", "drift", "ignore", at_model=True)
    _check_causes(model, monitoring)
    _check_cool_down(model)
    if monitoring.engine == "native":
        _check_native(model)


def watches_endpoint(model: Any) -> bool:
    """Whether an endpoint's captured requests are looked at; otherwise the table of predictions."""
    serving = model.serving
    if serving is None or serving.component:
        # requests to a fleet are captured together, whatever model they are for
        return False
    # an endpoint that is off leaves its captures to look at, but nothing new
    return bool(serving.capture_percent > 0 and (serving.enabled or model.batch is None))


def causes_of(model: Any) -> list[Cause]:
    """What is checked, and so can start a training."""
    monitoring = model.monitoring
    checked: dict[Cause, bool] = {
        "drift": True,
        "quality": monitoring.quality is not None,
        "bias": monitoring.fairness and any(facet.limits for facet in model.fairness.facets),
        "attributions": monitoring.attributions is not None,
    }
    return [cause for cause, is_checked in checked.items() if is_checked]


def retraining_causes(model: Any) -> list[Cause]:
    """What starts a training by itself; nothing where people decide."""
    retrain, checked = model.monitoring.retrain, causes_of(model)
    if retrain is None:
        return []
    return [cause for cause in checked if cause in (retrain.on or ("drift", "quality"))]


def cool_down_hours(model: Any) -> int:
    """Hours from the end of a training to the next look at the alarms."""
    monitoring = model.monitoring
    return int(monitoring.retrain.cool_down_hours or _alarm_hours(model) + longest_gap_hours(monitoring.schedule))


def _alarm_hours(model: Any) -> int:
    """How long an alarm stays on after a training that has helped."""
    monitoring = model.monitoring
    retrain = monitoring.retrain
    labels = monitoring.quality.labels_within_hours if "quality" in retraining_causes(model) else 0
    calm = (retrain.of - retrain.datapoints) * monitoring.period_hours + longest_gap_hours(monitoring.schedule)
    return int(labels + calm)


def _check_cool_down(model: Any) -> None:
    retrain = model.monitoring.retrain
    if retrain is None or retrain.cool_down_hours is None:
        return
    needed = _alarm_hours(model)
    if retrain.cool_down_hours < needed:
        raise _refused(
            f"must be at least {needed}: so long an alarm stays on after a training that helped, "
            f"got {retrain.cool_down_hours}; or leave it out",
            "retrain",
            "cool_down_hours",
            at_model=True,
        )


def _check_causes(model: Any, monitoring: Monitoring) -> None:
    checked = causes_of(model)
    fixes = {
        "quality": "add monitoring.quality",
        "bias": "set monitoring.fairness, and limits in the facets of fairness",
        "attributions": "add monitoring.attributions",
    }
    for index, cause in enumerate((monitoring.retrain and monitoring.retrain.on) or ()):
        if cause not in checked:
            said = f"names {cause}, which isn't checked: {fixes[cause]}, or leave it out"
            raise _refused(said, "retrain", "on", index, at_model=True)


def _check_native(model: Any) -> None:
    if not watches_endpoint(model):
        raise _refused(
            "needs an endpoint whose requests are captured: Model Monitor looks at nothing else here; "
            "set serving and its capture_percent, or engine: runtime",
            "engine",
            at_model=True,
        )
    if native_schedule(model.monitoring.schedule) is None:
        raise _refused(
            f"must be each hour, every some hours or each day on the hour for Model Monitor, as cron(0 10 * * ? *) or "
            f"rate(6 hours), got {model.monitoring.schedule}",
            "schedule",
            at_model=True,
        )
    if model.training.algorithm == "automl":
        raise _refused(
            "has no place with algorithm: automl, whose versions have no baselines for it; set engine: runtime",
            "engine",
            at_model=True,
        )


def _unknown(name: str, features: list[str], *at: str | int) -> PydanticCustomError:
    return _refused(f"must be one of the model's features, got {name!r}{nearest(name, features)}", *at, at_model=True)


def _refused(reason: str, *at: str | int, at_model: bool = False) -> PydanticCustomError:
    place = ("monitoring", *at) if at_model else at
    return PydanticCustomError("monitoring", "{reason}", {"reason": reason, "at": place})
