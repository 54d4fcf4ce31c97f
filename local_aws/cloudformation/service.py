"""The service: reads a request, finds its operation, runs deployments in threads, and writes the answer."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

from botocore.model import OperationNotFoundError
from moto.core.config import default_user_config
from werkzeug import Response

from local_aws.cloudformation.change_set_operations import ChangeSetOperations
from local_aws.cloudformation.environment import Environment
from local_aws.cloudformation.errors import CloudFormationError
from local_aws.cloudformation.operation_context import Caller
from local_aws.cloudformation.providers.catalog import INERT_TYPES, PROVIDERS
from local_aws.cloudformation.query_protocol import cloudformation_model, error_response, parse_form, result_response
from local_aws.cloudformation.read_operations import ReadOperations
from local_aws.cloudformation.stack_operations import StackOperations
from local_aws.cloudformation.stacks import Stack, StackStore
from local_aws.service import Call, LocalContext

SHORT_DEPLOYMENT_SECONDS = 3.0
_LOG = logging.getLogger(__name__)

_TOKEN = re.compile(r"[a-zA-Z0-9][-a-zA-Z0-9]{0,127}")


class CloudFormationService:
    """CloudFormation for one local AWS; its stacks live as long as the process."""

    scopes = frozenset({"cloudformation"})

    def __init__(self, context: LocalContext) -> None:
        # templates attach AWS's own policies, which moto knows only on request
        default_user_config["iam"]["load_aws_managed_policies"] = True
        self._environment = Environment(context, StackStore(), PROVIDERS, INERT_TYPES)
        self._threads: set[threading.Thread] = set()
        self._handlers: tuple[Any, ...] = (
            StackOperations(self._environment, self._run),
            ChangeSetOperations(self._environment, self._run),
            ReadOperations(self._environment),
        )

    def handle(self, call: Call) -> Response | None:
        """Answer an operation; an unknown one is an error, never moto's."""
        form = call.request.form
        action = form.get("Action", "")
        try:
            operation = cloudformation_model().operation_model(action)
            handler = self._handler(action)
            _check_token(form.get("ClientRequestToken", "token"))
            caller = Caller(call.account, call.region)
            return result_response(operation, handler(caller, parse_form(operation, form)))
        except OperationNotFoundError:
            return error_response(CloudFormationError("InvalidAction", f"Could not find operation {action}"))
        except CloudFormationError as error:
            return error_response(error)
        except Exception as error:
            _LOG.exception("%s failed", action)
            return error_response(CloudFormationError("InternalFailure", f"{type(error).__name__}: {error}", 500))

    def close(self) -> None:
        """Let running deployments fail at their next wait, and wait for them."""
        self._environment.stopping.set()
        for thread in list(self._threads):
            thread.join(timeout=10)

    def inert_types(self) -> dict[str, str]:
        """Return the resource types that are accepted without behaviour, each with the reason."""
        return dict(INERT_TYPES)

    def _handler(self, action: str) -> Callable[[Caller, dict[str, Any]], dict[str, Any]]:
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in action).lstrip("_")
        for group in self._handlers:
            handler = getattr(group, name, None)
            if handler is not None:
                return handler  # type: ignore[no-any-return]
        raise CloudFormationError("InvalidAction", f"{action} isn't supported by the local AWS's CloudFormation")

    def _run(self, stack: Stack, work: Callable[[], None], failed_status: str) -> None:
        def run() -> None:
            try:
                work()
            except Exception as error:
                _LOG.exception("the deployment of %s broke", stack.name)
                stack.move_to(failed_status, f"Internal failure: {type(error).__name__}: {error}")
            finally:
                self._threads.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=f"cloudformation-{stack.name}", daemon=True)
        self._threads.add(thread)
        thread.start()
        # a client that finds the deployment in progress asks again after some seconds only
        thread.join(timeout=SHORT_DEPLOYMENT_SECONDS)


def _check_token(token: str) -> None:
    if not _TOKEN.fullmatch(token):
        raise CloudFormationError(
            "ValidationError",
            f"1 validation error detected: Value '{token}' at 'clientRequestToken' failed to satisfy constraint: "
            f"Member must satisfy regular expression pattern: {_TOKEN.pattern}",
        )
