"""What a run tells in CloudWatch Logs, where Glue's own evaluations log."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from local_aws.glue.quality.evaluation_run import EvaluationRun
from local_aws.jobs.log_stream import LogStream
from local_aws.jobs.s3_files import S3_ERRORS
from local_aws.service import LocalContext

_log = logging.getLogger(__name__)

LOG_GROUP = "/aws-glue/data-quality"


def write_log(context: LocalContext, run: EvaluationRun, kind: str, lines: Iterable[str]) -> None:
    """Write lines to the run's stream of a kind, output or error, as the run's role."""
    try:
        stream = LogStream(
            context.client("logs", region=run.owner[1], role_arn=run.role), f"{LOG_GROUP}/{kind}", run.id
        )
        for line in lines:
            stream.write(line)
        stream.close()
    except S3_ERRORS:
        # a run has ended whatever becomes of its log
        _log.exception("the log of the run %s wasn't written", run.id)
