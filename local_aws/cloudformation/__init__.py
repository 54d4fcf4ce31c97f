"""CloudFormation of the local AWS: change sets, updates in place, replacement and rollback."""

from local_aws.cloudformation.service import CloudFormationService

__all__ = ["CloudFormationService"]
