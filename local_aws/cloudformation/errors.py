"""The errors that CloudFormation answers with, in the words its clients look for."""

from __future__ import annotations


class CloudFormationError(Exception):
    """An error response: a code that SDKs map to an exception class, a message, and an HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


class ValidationError(CloudFormationError):
    """The request, template or state of the stack doesn't allow the operation."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationError", message)


class StackNotFound(ValidationError):
    """No stack of that name, or with that id."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Stack with id {name} does not exist")


class ChangeSetNotFound(CloudFormationError):
    """No change set of that name on the stack."""

    def __init__(self, name: str) -> None:
        super().__init__("ChangeSetNotFound", f"ChangeSet [{name}] does not exist", 404)


class NoUpdates(ValidationError):
    """An update that would change nothing."""

    def __init__(self) -> None:
        super().__init__("No updates are to be performed.")
