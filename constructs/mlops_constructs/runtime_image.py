"""The container image that every job and endpoint runs: its repository and the tag of its source."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

_IGNORED = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv"}


class RuntimeImage(Construct):
    """An ECR repository with immutable tags; an image's tag is the hash of the source it was built from.

    Nothing is built at synth or by ``cdk deploy``, so neither needs Docker: who builds pushes to `repository` under
    `tag`.

    Parameters
    ----------
    repository_name
        A contract: builders push to it.
    source
        Folder with the Dockerfile; any change in it makes a new tag.
    key
        Encrypts the images.
    removal
        What happens to the repository and its images when the stack goes. They are kept when left out.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        repository_name: str,
        source: Path,
        key: kms.IKey,
        removal: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        super().__init__(scope, construct_id)
        self.repository = ecr.Repository(
            self,
            "Repository",
            repository_name=repository_name,
            image_scan_on_push=True,
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            encryption=ecr.RepositoryEncryption.KMS,
            encryption_key=key,
            removal_policy=removal,
            empty_on_delete=removal == RemovalPolicy.DESTROY,
        )
        self.tag = content_hash(source)
        self.uri = self.repository.repository_uri_for_tag(self.tag)

    def grant_pull(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let a role pull the image."""
        return self.repository.grant_pull(grantee)

    def share(self, accounts: Sequence[str]) -> None:
        """Let other accounts pull images; their own policies decide which of their roles do. ECR decrypts by itself."""
        self.repository.add_to_resource_policy(
            iam.PolicyStatement(
                sid="PullFromOtherAccounts",
                principals=[iam.AccountPrincipal(account) for account in accounts],
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
            )
        )


def content_hash(source: Path) -> str:
    """Sixteen hex digits over the names and contents of a folder's files; caches don't count."""
    if not source.is_dir():
        raise ValueError(f"{source} is not a folder: give the one that holds the image's source")
    digest = hashlib.sha256()
    for path in sorted(source.rglob("*"), key=lambda path: path.relative_to(source).as_posix()):
        relative = path.relative_to(source)
        if path.is_file() and not _IGNORED.intersection(relative.parts) and not path.name.endswith(".pyc"):
            content = path.read_bytes()
            digest.update(f"{relative.as_posix()}\0{len(content)}\0".encode())
            digest.update(content)
    return digest.hexdigest()[:16]
