"""Step Functions: state machines in JSONata that really run, by the clock of the local AWS."""

from local_aws.states.service import StepFunctionsService

__all__ = ["StepFunctionsService"]
