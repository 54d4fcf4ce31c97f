"""Roles that the runtime image works in, for whatever kind of job or endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from aws_cdk import aws_kms as kms
from constructs import Construct

from .grants import grant_encrypt_decrypt
from .job_resources import JobNetwork
from .job_role import JobRole
from .runtime_image import RuntimeImage


def define_runtime_role(
    scope: Construct,
    construct_id: str,
    *,
    log_groups: str,
    metrics_namespaces: Sequence[str],
    image: RuntimeImage,
    key: kms.IKey,
    network: JobNetwork | None,
) -> JobRole:
    """Define a role of SageMaker's that may pull the image, use the key for files and disks, and reach a network.

    It may do anything with data only when a store grants it. `log_groups` and `metrics_namespaces` are those of
    `JobRole`.
    """
    role = JobRole(
        scope,
        construct_id,
        service="sagemaker.amazonaws.com",
        log_groups=log_groups,
        metrics_namespaces=metrics_namespaces,
    )
    image.grant_pull(role)
    grant_encrypt_decrypt(key, role)
    role.grant_disk_encryption(key)
    if network:
        role.grant_network(network)
    return role
