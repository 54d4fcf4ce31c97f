"""A variant without a model: machines for inference components."""

from __future__ import annotations

from collections.abc import Mapping

from local_aws.json_api import ApiError
from local_aws.sagemaker.model_server import ANSWER_SECONDS
from local_aws.sagemaker.variant import Reply, Variant


class HostVariant(Variant):
    """The instances that components are placed on. They are numbers: copies of components are the processes."""

    @property
    def current_count(self) -> int:
        """As many as were asked for."""
        return self.desired_count

    def invoke(self, body: bytes, headers: Mapping[str, str], seconds: float = ANSWER_SECONDS) -> Reply:
        """Refuse a request that names no component."""
        del body, headers, seconds
        raise ApiError(
            "ValidationError",
            "Inference Component Name header is required for endpoints to which you plan to deploy inference "
            "components.",
        )

    def _wanted(self) -> int:
        return 0
