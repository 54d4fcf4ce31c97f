"""SageMaker whose jobs, pipelines and endpoints are processes of this machine."""

from local_aws.sagemaker.service import SageMakerService

__all__ = ["SageMakerService"]
