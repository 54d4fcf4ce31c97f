"""Where moto's behaviour has to fit a machine that serves AWS to itself over loopback."""

from __future__ import annotations

import inspect
import json
import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any

from botocore import xform_name

from local_aws.service import LocalContext


def honour_loopback_transport() -> None:
    """Let bucket policies that deny plain HTTP pass.

    moto evaluates bucket policies without their conditions, so "deny unless aws:SecureTransport" denies everything.
    Traffic that never leaves the loopback interface counts as secure here; a Deny under any other condition is not
    applied either, since moto doesn't tell us the values to compare.
    """
    from moto.iam.access_control import IAMPolicy, PermissionResult
    from moto.s3.models import FakeBucket

    def get_permission(bucket: Any, action: str, resource: str) -> Any:
        if bucket.policy is None:
            return PermissionResult.NEUTRAL
        policy = json.loads(bucket.policy)
        statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
        unconditional = [one for one in statements if not (one["Effect"] == "Deny" and one.get("Condition"))]
        if not unconditional:
            return PermissionResult.NEUTRAL
        return IAMPolicy(json.dumps({**policy, "Statement": unconditional})).is_action_permitted(action, resource)

    FakeBucket.get_permission = get_permission


def put_service_event(
    context: LocalContext, source: str, detail_type: str, detail: dict[str, Any], resources: list[str]
) -> None:
    """Send an event of an AWS service (source `aws.*`, which PutEvents refuses) to the rules of the default bus."""
    from moto.events.models import events_backends

    event = {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": detail_type,
        "source": source,
        "account": context.account,
        "time": context.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": context.region,
        "resources": resources,
        "detail": detail,
        "ingestion-time": time.time(),  # for moto, which takes it out again
    }
    for rule in list(events_backends[context.account][context.region].event_buses["default"].rules.values()):
        if rule.state == "ENABLED":
            rule.send_to_targets(event)


def keep_glue_job_properties() -> None:
    """Let Glue jobs keep the properties that moto's jobs don't have, from CreateJob and UpdateJob on to GetJob."""
    from moto.glue.models import FakeJob
    from moto.glue.responses import GlueResponse

    if hasattr(FakeJob, "properties_beside_moto"):
        return
    create_by_moto, describe_by_moto = GlueResponse.create_job, FakeJob.as_dict

    def create_job(response: Any) -> Any:
        answer = create_by_moto(response)
        job = response.glue_backend.jobs[response.parameters["Name"]]
        job.properties_beside_moto = _beside_moto(response.parameters)
        return answer

    def as_dict(job: Any) -> dict[str, Any]:
        return {**describe_by_moto(job), **job.properties_beside_moto}

    FakeJob.properties_beside_moto = {}
    GlueResponse.create_job, FakeJob.as_dict = create_job, as_dict


def _beside_moto(definition: Mapping[str, Any]) -> dict[str, Any]:
    known = _glue_job_parameters()
    return {member: value for member, value in definition.items() if xform_name(member) not in known}


def _glue_job_parameters() -> frozenset[str]:
    from moto.glue.models import FakeJob

    return frozenset(inspect.signature(FakeJob.__init__).parameters.keys() - {"self", "backend"})


def update_glue_job(account: str, region: str, name: str, update: Mapping[str, Any]) -> bool:
    """Give a Glue job a new definition, as UpdateJob does it: moto has no such operation. False if there is no job."""
    from moto.glue.models import FakeJob, glue_backends

    backend = glue_backends[account][region]
    job = backend.jobs.get(name)
    if job is None:
        return False
    given = {xform_name(member): value for member, value in update.items()}
    values = {parameter: given.get(parameter) for parameter in _glue_job_parameters() - {"name", "tags"}}
    changed = FakeJob(name=name, tags=None, backend=backend, **values)
    changed.properties_beside_moto = _beside_moto(update)
    changed.created_on = job.created_on
    backend.jobs[name] = changed
    return True


def glue_table(account: str, region: str, database: str, table: str) -> Any:
    """Return moto's object of a catalog table, whose partitions it holds; JsonRESTError when there is none."""
    from moto.glue.models import glue_backends

    return glue_backends[account][region].get_table(database, table)


def serialise_conditional_puts() -> None:
    """Let only one of several conditional PutObject requests at a time compare and write: moto does both unguarded."""
    from moto.s3.responses import S3Response

    put_by_moto = getattr(S3Response, "put_by_moto", S3Response.put_object)
    # a request may cause events, and those further requests of other threads: none of them is held up by its own
    lock = threading.Lock()

    def put_object(response: Any) -> Any:
        if "If-Match" in response.headers or "If-None-Match" in response.headers:
            with lock:
                return put_by_moto(response)
        return put_by_moto(response)

    S3Response.put_by_moto, S3Response.put_object = put_by_moto, put_object


def glue_tags(account: str, region: str, resource: str) -> dict[str, str]:
    """Return the tags of a Glue resource named as in its ARN: `workflow/nightly`."""
    from moto.glue.models import glue_backends

    tags: dict[str, str] = glue_backends[account][region].get_tags(_glue_arn(account, region, resource))
    return tags


def tag_glue_resource(account: str, region: str, resource: str, tags: Mapping[str, str]) -> None:
    """Tag a Glue resource of ours where moto's TagResource, UntagResource and GetTags find the tags."""
    from moto.glue.models import glue_backends

    glue_backends[account][region].tag_resource(_glue_arn(account, region, resource), dict(tags))


def untag_glue_resource(account: str, region: str, resource: str) -> None:
    """Forget the tags of a Glue resource that is gone."""
    from moto.glue.models import glue_backends

    glue_backends[account][region].tagger.delete_all_tags_for_resource(_glue_arn(account, region, resource))


def _glue_arn(account: str, region: str, resource: str) -> str:
    return f"arn:aws:glue:{region}:{account}:{resource}"
