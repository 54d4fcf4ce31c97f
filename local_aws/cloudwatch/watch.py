"""An alarm as moto keeps it, as what it watches: statistics of metrics, and metric math over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from local_aws.cloudwatch.alarms import COMPARISONS, Rule
from local_aws.cloudwatch.expressions import Expression, ExpressionError, parse
from local_aws.cloudwatch.metric_store import MetricIndex
from local_aws.cloudwatch.samples import Sample, is_statistic, statistic

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_ONLY = "metric"


class NotWatched(Exception):
    """An alarm that isn't evaluated here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class _Metric:
    namespace: str
    name: str
    dimensions: tuple[Any, ...]
    statistic: str
    unit: str | None


@dataclass(frozen=True, kw_only=True)
class Watch:
    """A rule, the metrics by id, the expressions over them, and `result`: the id of what the rule compares."""

    rule: Rule
    metrics: Mapping[str, _Metric]
    expressions: Mapping[str, Expression]
    result: str

    def values(self, index: MetricIndex, backend: Any, now: datetime) -> tuple[list[float | None], datetime | None]:
        """Return the value of each period, the newest first, and the next moment at which one changes without new data.

        That is when a sample leaves a period. Alarms are evaluated by the minute, by the second if their period is
        shorter than one, and by the hour if they look back further than a day, so the moment is the next full one.
        """
        rule = self.rule
        windows, counted = rule.windows(now), rule.end(now)
        samples = {
            name: index.samples(backend, each.namespace, each.name, each.dimensions, each.unit, windows[-1][0])
            for name, each in self.metrics.items()
        }
        values = [self._value(samples, *window) for window in windows]
        moments = {sample.moment for found in samples.values() for sample in found if sample.moment <= now}
        # in the newest period first, then in each earlier one, and then in none
        ends = [moment + ((counted - moment) // rule.period + 1) * rule.period - rule.unit for moment in moments]
        unit = _SECOND if rule.period < _MINUTE else _MINUTE
        upcoming = [_full(min(ends), rule.unit or unit)] if ends else []
        # what is put for a later time counts when that comes
        later = [sample.moment for found in samples.values() for sample in found if sample.moment > now]
        upcoming += [_full(min(later), unit)] if later else []
        return values, min(upcoming, default=None)

    def _value(self, samples: Mapping[str, list[Sample]], start: datetime, end: datetime) -> float | None:
        known: dict[str, float | None] = {
            name: statistic(metric.statistic, [each for each in samples[name] if start < each.moment <= end])
            for name, metric in self.metrics.items()
        }
        # in the order of their names in each other, which was checked
        for name, expression in self.expressions.items():
            known[name] = expression.value(known)
        return known[self.result]


def watch(alarm: Any) -> Watch:
    """Return what an alarm of moto's watches; NotWatched when it has no metric, or something that isn't understood."""
    if alarm.comparison_operator not in COMPARISONS:
        raise NotWatched(f"its comparison is {alarm.comparison_operator}")
    metrics, expressions, result, period = _mathematical(alarm) if alarm.metric_data_queries else _plain(alarm)
    rule = Rule(
        comparison=alarm.comparison_operator,
        threshold=float(alarm.threshold),
        period=timedelta(seconds=period),
        periods=int(alarm.evaluation_periods),
        datapoints=int(alarm.datapoints_to_alarm or alarm.evaluation_periods),
        missing=alarm.treat_missing_data or "missing",
    )
    return Watch(rule=rule, metrics=metrics, expressions=expressions, result=result)


def _plain(alarm: Any) -> tuple[dict[str, _Metric], dict[str, Expression], str, int]:
    name = alarm.statistic or alarm.extended_statistic
    if not alarm.metric_name:
        raise NotWatched("it has no metric")
    return {_ONLY: _metric(alarm, name, alarm.unit)}, {}, _ONLY, int(alarm.period)


def _mathematical(alarm: Any) -> tuple[dict[str, _Metric], dict[str, Expression], str, int]:
    metrics: dict[str, _Metric] = {}
    waiting: dict[str, Expression] = {}
    periods: list[int] = []
    for query in alarm.metric_data_queries:
        if query.metric_stat is not None:
            stat = query.metric_stat
            metrics[query.id] = _metric(stat.metric, stat.stat, stat.unit)
            periods.append(int(stat.period))
            continue
        try:
            waiting[query.id] = parse(query.expression)
        except ExpressionError as error:
            raise NotWatched(f"its expression {error}") from error
        if query.period:
            periods.append(int(query.period))
    returned = [query.id for query in alarm.metric_data_queries if query.return_data in (None, True, "true")]
    if len(returned) != 1 or not periods:
        raise NotWatched(f"exactly one of its metrics has to return data, not {', '.join(returned) or 'none'}")
    ordered: dict[str, Expression] = {}
    while waiting:
        ready = [name for name, each in waiting.items() if each.names <= metrics.keys() | ordered.keys()]
        if not ready:
            unknown = {name for each in waiting.values() for name in each.names} - metrics.keys() - ordered.keys()
            raise NotWatched(f"its expressions name {', '.join(sorted(unknown))}, which it doesn't define")
        for name in ready:
            ordered[name] = waiting.pop(name)
    return metrics, ordered, returned[0], max(periods)


def _metric(source: Any, name: str | None, unit: str | None) -> _Metric:
    if name is None or not is_statistic(name):
        raise NotWatched(f"the statistic {name} isn't known")
    return _Metric(
        namespace=source.namespace,
        name=source.metric_name,
        dimensions=tuple(source.dimensions),
        statistic=name,
        unit=unit,
    )


def _full(moment: datetime, unit: timedelta) -> datetime:
    """Return the first full hour, minute or second that isn't before a moment."""
    past = timedelta(minutes=moment.minute, seconds=moment.second, microseconds=moment.microsecond) % unit
    return moment if not past else moment - past + unit
