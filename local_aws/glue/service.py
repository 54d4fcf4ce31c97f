"""The Glue API of the local AWS, composed of groups of operations. What none of them offers is moto's."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug import Response

from local_aws import moto_fit
from local_aws.glue.catalog_partitions import CatalogPartitions
from local_aws.glue.job_runs import JobRuns
from local_aws.glue.operations import Handler, OperationGroup
from local_aws.glue.quality import DataQuality
from local_aws.glue.triggers import Triggers
from local_aws.glue.workflow_store import WorkflowStore
from local_aws.glue.workflows import Workflows
from local_aws.json_api import ApiError, JsonApi
from local_aws.service import Call, LocalContext

_log = logging.getLogger(__name__)


class GlueService:
    """Answers for Glue. `minute_seconds` is the length of the minute that the timeouts of job runs count in."""

    scopes = frozenset({"glue"})

    def __init__(self, context: LocalContext, *, minute_seconds: float = 60.0) -> None:
        moto_fit.keep_glue_job_properties()
        self._api = JsonApi("glue")
        job_runs = JobRuns(context, minute_seconds=minute_seconds)
        data_quality = DataQuality(context, minute_seconds=minute_seconds)
        store = WorkflowStore()
        workflows = Workflows(store, job_runs)
        self._triggers = Triggers(context.clock, store, workflows, job_runs)
        # closed in this order: what starts job runs before what runs them
        self._groups: tuple[OperationGroup, ...] = (
            self._triggers, workflows, job_runs, CatalogPartitions(), data_quality,
        )  # fmt: skip
        self._operations: dict[str, Handler] = {
            operation: handler for group in self._groups for operation, handler in group.operations.items()
        }
        context.event_targets["glue"] = self._take_event

    def handle(self, call: Call) -> Response | None:
        """Answer the operations of the groups."""
        operation = self._api.operation(call.request.headers.get("X-Amz-Target", ""))
        handler = self._operations.get(operation)
        if handler is None:
            return None
        try:
            request = self._api.parse(operation, call.request.get_data())
            return self._api.answer(operation, handler(call, request))
        except ApiError as error:
            return error.response()
        except Exception as error:
            _log.exception("%s failed", operation)
            return ApiError("InternalServiceException", f"{type(error).__name__}: {error}", 500).response()

    def close(self) -> None:
        """Stop everything that runs."""
        for group in self._groups:
            group.close()

    def _take_event(self, arn: str, event: Mapping[str, Any]) -> None:
        # arn:aws:glue:<region>:<account>:workflow/<name>
        region, account, resource = arn.split(":", 5)[3:]
        kind, _, name = resource.partition("/")
        if kind != "workflow":
            raise ApiError("InvalidInputException", f"events reach workflows of Glue, not {arn}")
        self._triggers.notify((account, region), name, event["id"])
