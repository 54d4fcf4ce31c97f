"""The API of Application Auto Scaling, for endpoints of SageMaker."""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from werkzeug import Response

from local_aws.autoscaling.evaluator import Evaluator
from local_aws.autoscaling.metric_arrivals import tell_of_metrics
from local_aws.autoscaling.observation import metric_of
from local_aws.autoscaling.region import Region
from local_aws.autoscaling.resources import NAMESPACE, Variant, resource_of
from local_aws.autoscaling.targets import Policy, Record, ScalableTarget, ScheduledAction
from local_aws.json_api import ApiError, JsonApi
from local_aws.schedules.expressions import parse_expression
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)

PAGE = 50
_ACTION_MEMBERS = ("Schedule", "Timezone", "StartTime", "EndTime", "ScalableTargetAction")


class AutoScalingService:
    """Answers Application Auto Scaling for every account and region, and scales what is registered."""

    scopes = frozenset({"application-autoscaling"})

    def __init__(self, context: LocalContext) -> None:
        self._context = context
        self._api = JsonApi("application-autoscaling")
        self._lock = threading.Lock()
        self._regions: dict[tuple[str, str], Region] = {}
        self._evaluator = Evaluator(context, self._known_regions)
        self._operations: dict[str, Callable[[Region, Record], Record]] = {
            "RegisterScalableTarget": self._register,
            "DeregisterScalableTarget": self._deregister,
            "DescribeScalableTargets": self._describe_targets,
            "PutScalingPolicy": self._put_policy,
            "DeleteScalingPolicy": self._delete_policy,
            "DescribeScalingPolicies": self._describe_policies,
            "PutScheduledAction": self._put_action,
            "DeleteScheduledAction": self._delete_action,
            "DescribeScheduledActions": self._describe_actions,
            "DescribeScalingActivities": self._describe_activities,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._tags,
        }
        tell_of_metrics(self._evaluator.changed)
        context.alarm_actions["autoscaling"] = self._evaluator.called
        context.scaled_variants = self._scaled_variants
        self._evaluator.start()

    def handle(self, call: Call) -> Response | None:
        """Answer every call; Application Auto Scaling is never moto's."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        try:
            request = self._api.parse(operation, call.request.get_data())
            if operation not in self._operations:
                raise ApiError(
                    "ValidationException", f"the local AWS doesn't have Application Auto Scaling's {operation}"
                )
            return self._api.answer(operation, self._operations[operation](self._region(call), request))
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServiceException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Scale nothing any more."""
        self._evaluator.close()
        for region in self._known_regions():
            region.closed.set()

    def _scaled_variants(self, account: str, region: str, endpoint: str) -> set[str]:
        with self._lock:
            found = self._regions.get((account, region))
        targets = list(found.targets.values()) if found is not None else []
        return {
            target.resource.variant
            for target in targets
            if isinstance(target.resource, Variant) and target.resource.endpoint == endpoint
        }

    def _known_regions(self) -> Iterable[Region]:
        with self._lock:
            return list(self._regions.values())

    def _region(self, call: Call) -> Region:
        with self._lock:
            key = (call.account, call.region)
            if key not in self._regions:
                self._regions[key] = Region(self._context, *key, self._evaluator.changed)
            return self._regions[key]

    def _register(self, region: Region, request: Record) -> Record:
        key = _key(request)
        resource = resource_of(*key)
        with region.lock:
            target = region.targets.get(key)
        minimum = request.get("MinCapacity", target.minimum if target else None)
        maximum = request.get("MaxCapacity", target.maximum if target else None)
        if minimum is None or maximum is None:
            raise ApiError("ValidationException", "MinCapacity and MaxCapacity are required to register a new target")
        if minimum < 0 or maximum < minimum:
            raise ApiError(
                "ValidationException",
                f"Maximum capacity cannot be less than minimum capacity, and neither below 0: {minimum}, {maximum}",
            )
        if resource.capacity(region.sagemaker) is None:
            raise ApiError("ValidationException", f"SageMaker resource doesn't exist: {key[1]}")
        with region.lock:
            if target is None:
                arn = (
                    f"arn:aws:application-autoscaling:{region.name}:{region.account}:"
                    f"scalable-target/{secrets.token_hex(18)}"
                )
                target = ScalableTarget(key, arn, resource, minimum, maximum, self._context.clock.now())
                region.targets[key] = target
                target.tags.update(request.get("Tags") or {})
        with target.lock:
            target.minimum, target.maximum, target.unbounded = minimum, maximum, True
            target.suspended.update({name: bool(value) for name, value in request.get("SuspendedState", {}).items()})
        self._evaluator.changed()
        return {"ScalableTargetARN": target.arn}

    def _deregister(self, region: Region, request: Record) -> Record:
        target = _target(region, request)
        with region.lock:
            region.targets.pop(target.key, None)
        return {}

    def _describe_targets(self, region: Region, request: Record) -> Record:
        _check_namespace(request)
        ids = request.get("ResourceIds")
        found = [
            {
                **target.identity(),
                "MinCapacity": target.minimum,
                "MaxCapacity": target.maximum,
                "RoleARN": region.role,
                "CreationTime": target.created,
                "SuspendedState": dict(target.suspended),
                "ScalableTargetARN": target.arn,
            }
            for target in region.alive()
            if (not ids or target.key[1] in ids) and request.get("ScalableDimension") in (None, target.key[2])
        ]
        return _page("ScalableTargets", found, request)

    def _put_policy(self, region: Region, request: Record) -> Record:
        target, name = _target(region, request), request["PolicyName"]
        kind = request.get("PolicyType", "StepScaling")
        configuration = request.get(f"{kind}PolicyConfiguration")
        if kind == "PredictiveScaling":
            raise ApiError("ValidationException", "the local AWS has no predictive scaling")
        if not configuration:
            raise ApiError("ValidationException", f"a policy of the type {kind} needs a {kind}PolicyConfiguration")
        if kind == "StepScaling":
            _check_steps(configuration)
        elif configuration["TargetValue"] <= 0:
            raise ApiError("ValidationException", f"TargetValue must be above 0, got {configuration['TargetValue']}")
        else:
            metric_of(target, configuration)
        with target.lock:
            before = target.policies.get(name)
            if before is not None and before.record["PolicyType"] != kind:
                raise ApiError("ValidationException", f"The type of the policy {name} can't be changed to {kind}")
            arn = before.arn if before else (
                f"arn:aws:autoscaling:{region.name}:{region.account}:scalingPolicy:{uuid.uuid4()}:"
                f"resource/{NAMESPACE}/{target.key[1]}:policyName/{name}"
            )  # fmt: skip
            moment = self._context.clock.now()
            record = {
                **target.identity(),
                "PolicyName": name,
                "PolicyType": kind,
                "PolicyARN": arn,
                f"{kind}PolicyConfiguration": configuration,
                "CreationTime": before.record["CreationTime"] if before else moment,
                "Alarms": [],
            }
            target.policies[name] = Policy(record, before.created if before else moment)
        self._evaluator.changed()
        return {"PolicyARN": arn, "Alarms": []}

    def _delete_policy(self, region: Region, request: Record) -> Record:
        target = region.targets.get(_key(request))
        if target is None or target.policies.pop(request["PolicyName"], None) is None:
            raise _no("scaling policy", request["PolicyName"], request)
        return {}

    def _describe_policies(self, region: Region, request: Record) -> Record:
        _check_namespace(request)
        names = request.get("PolicyNames")
        found = [
            {**policy.record, "Alarms": _alarms_of(region, policy)}
            for target in _chosen(region, request)
            for name, policy in target.policies.items()
            if not names or name in names
        ]
        return _page("ScalingPolicies", found, request)

    def _put_action(self, region: Region, request: Record) -> Record:
        target, name = _target(region, request), request["ScheduledActionName"]
        now = self._context.clock.now()
        with target.lock:
            before = target.actions.get(name)
            record = {
                **(before.record if before else {}),
                **{key: request[key] for key in _ACTION_MEMBERS if key in request},
            }
            _check_action(record, name)
            for bound in ("StartTime", "EndTime"):
                if bound in record:
                    record[bound] = _moment(record[bound])
            record |= {
                **target.identity(),
                "ScheduledActionName": name,
                "ScheduledActionARN": (
                    f"arn:aws:autoscaling:{region.name}:{region.account}:scheduledAction:{uuid.uuid4()}:"
                    f"resource/{NAMESPACE}/{target.key[1]}:scheduledActionName/{name}"
                ),
                "CreationTime": now,
            }
            target.actions[name] = ScheduledAction(record, now - timedelta(microseconds=1))
        self._evaluator.changed()
        return {}

    def _delete_action(self, region: Region, request: Record) -> Record:
        target = region.targets.get(_key(request))
        if target is None or target.actions.pop(request["ScheduledActionName"], None) is None:
            raise _no("scheduled action", request["ScheduledActionName"], request)
        return {}

    def _describe_actions(self, region: Region, request: Record) -> Record:
        _check_namespace(request)
        names = request.get("ScheduledActionNames")
        found = [
            action.record
            for target in _chosen(region, request)
            for name, action in target.actions.items()
            if not names or name in names
        ]
        return _page("ScheduledActions", found, request)

    def _describe_activities(self, region: Region, request: Record) -> Record:
        _check_namespace(request)
        found = [
            dict(each)
            for each in list(region.activities)
            if request.get("ResourceId") in (None, each["ResourceId"])
            and request.get("ScalableDimension") in (None, each["ScalableDimension"])
        ]
        return _page("ScalingActivities", found, request)

    def _tag(self, region: Region, request: Record) -> Record:
        _tagged(region, request).tags.update(request["Tags"])
        return {}

    def _untag(self, region: Region, request: Record) -> Record:
        target = _tagged(region, request)
        for key in request["TagKeys"]:
            target.tags.pop(key, None)
        return {}

    def _tags(self, region: Region, request: Record) -> Record:
        return {"Tags": dict(_tagged(region, request).tags)}


def _key(request: Mapping[str, Any]) -> tuple[str, str, str]:
    return request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"]


def _check_namespace(request: Mapping[str, Any]) -> None:
    if request["ServiceNamespace"] != NAMESPACE:
        raise ApiError(
            "ValidationException", f"the local AWS scales {NAMESPACE} only, got {request['ServiceNamespace']}"
        )


def _no(kind: str, name: str, request: Mapping[str, Any]) -> ApiError:
    namespace, resource_id, dimension = _key(request)
    return ApiError(
        "ObjectNotFoundException",
        f"No {kind} found for service namespace: {namespace}, resource ID: {resource_id}, "
        f"scalable dimension: {dimension}, name: {name}",
    )


def _target(region: Region, request: Mapping[str, Any]) -> ScalableTarget:
    key = _key(request)
    with region.lock:
        target = region.targets.get(key)
    if target is None:
        raise ApiError(
            "ObjectNotFoundException",
            f"No scalable target registered for service namespace: {key[0]}, resource ID: {key[1]}, "
            f"scalable dimension: {key[2]}",
        )
    return target


def _chosen(region: Region, request: Mapping[str, Any]) -> Iterable[ScalableTarget]:
    for target in region.alive():
        matches = request.get("ResourceId") in (None, target.key[1])
        if matches and request.get("ScalableDimension") in (None, target.key[2]):
            yield target


def _tagged(region: Region, request: Mapping[str, Any]) -> ScalableTarget:
    target = next((each for each in region.alive() if each.arn == request["ResourceARN"]), None)
    if target is None:
        raise ApiError("ResourceNotFoundException", f"The specified resource {request['ResourceARN']} doesn't exist.")
    return target


def _alarms_of(region: Region, policy: Policy) -> list[dict[str, str]]:
    """Return the alarms that call a policy of step scaling; target tracking has none in CloudWatch here."""
    return [
        {"AlarmName": alarm.name, "AlarmARN": alarm.alarm_arn}
        for alarm in list(region.metrics.alarms.values())
        if policy.arn in (alarm.alarm_actions or [])
    ]


def _check_steps(configuration: Record) -> None:
    missing = [name for name in ("AdjustmentType", "StepAdjustments") if not configuration.get(name)]
    if missing:
        raise ApiError("ValidationException", f"a step scaling policy needs {' and '.join(missing)}")
    bounds = sorted(
        (step.get("MetricIntervalLowerBound", float("-inf")), step.get("MetricIntervalUpperBound", float("inf")))
        for step in configuration["StepAdjustments"]
    )
    for lower, upper in bounds:
        if lower >= upper:
            raise ApiError(
                "ValidationException", f"a step's lower bound must be below its upper bound: {lower}, {upper}"
            )
    for (_, upper), (lower, _) in itertools.pairwise(bounds):
        if upper != lower:
            raise ApiError("ValidationException", f"steps must neither overlap nor leave a gap: {upper}, {lower}")


def _check_action(record: Record, name: str) -> None:
    action = record.get("ScalableTargetAction") or {}
    if not record.get("Schedule") or not action:
        raise ApiError(
            "ValidationException", f"The scheduled action {name} needs a Schedule and a ScalableTargetAction"
        )
    minimum, maximum = action.get("MinCapacity"), action.get("MaxCapacity")
    if minimum is not None and maximum is not None and maximum < minimum:
        raise ApiError(
            "ValidationException",
            f"The scheduled action {name}: Maximum capacity cannot be less than minimum capacity: {minimum}, {maximum}",
        )
    try:
        parse_expression(record["Schedule"], record.get("Timezone", "UTC"))
    except ValueError as error:
        raise ApiError("ValidationException", f"The scheduled action {name}: {error}") from error


def _moment(value: Any) -> datetime:
    return value if isinstance(value, datetime) else datetime.fromtimestamp(float(value), UTC)


def _page(member: str, found: list[Record], request: Mapping[str, Any]) -> Record:
    size = min(request.get("MaxResults") or PAGE, PAGE)
    try:
        start = int(request.get("NextToken") or 0)
    except ValueError as error:
        raise ApiError("InvalidNextTokenException", f"{request['NextToken']!r} is no token of this list") from error
    end = start + size
    return {member: found[start:end], "NextToken": str(end) if end < len(found) else None}
