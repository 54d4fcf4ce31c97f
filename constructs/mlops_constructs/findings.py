"""Answers to findings of the security packs, kept beside what they are about."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, findings: Mapping[str, str]) -> None:
    """Answer findings about a construct and everything in it: each id, as the pack prints it, with its reason.

    A ``*`` in an id stands for any text, as for the account, region or exported name in an ARN. The packs themselves
    compare ids letter by letter; the check of the deployment tests reads the stars.
    """
    acknowledgments = [Acknowledgment(id=finding, reason=reason) for finding, reason in findings.items()]
    Validations.of(construct).acknowledge(*acknowledgments)
