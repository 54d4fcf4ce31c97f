"""Where a version of a model comes from: what the registry notes of code, data and image beside the version.

The commit is that of the deployed code, since that is what trains, whatever is checked out where somebody starts a
training. Who deploys tells it (`cdk deploy --context commit=...`): synth asks no repository, so that the same files
make the same templates. Only the steps that judge and register know it: if Prepare or Train did, every commit would be
a new training, of the same rows with the same code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops_constructs.pipeline_definition import Parameter
from mlops_constructs.pipeline_expressions import Value
from mlops_constructs.pipeline_steps import ProcessingStep

from .configuration import ConfigurationError

COMMIT_CONTEXT = "commit"
"""The CDK's context value that tells the commit."""
UNKNOWN_COMMIT = "unknown"
COMMIT_VARIABLE, DATA_VARIABLE = "GIT_COMMIT", "DATA_VERSION"
"""Variables by which the runtime knows the commit and the version of the data, for the card and for MLflow."""
_COMMIT = re.compile(r"[A-Za-z0-9_.:/=+@-]{1,256}")  # what a version's metadata takes, less other alphabets


def commit_of(context: object) -> str:
    """The commit that the CDK's context tells, `unknown` when it tells none.

    Raises ConfigurationError for what a version's metadata wouldn't take.
    """
    if context is None:
        return UNKNOWN_COMMIT
    if not isinstance(context, str) or not _COMMIT.fullmatch(context):
        raise ConfigurationError(
            [f"--context {COMMIT_CONTEXT}: must be 1 to 256 letters, digits and _.:/=+@-, got {context!r}"]
        )
    return context


def metadata_of(
    prepare: ProcessingStep,
    *,
    commit: str,
    code: str,
    runtime: str,
    days: Mapping[str, Parameter],
    algorithm: str,
) -> dict[str, Value]:
    """The CustomerMetadataProperties of a version.

    `Commit` is no parameter, which whoever starts an execution could set. `Data` is the manifest that was read, and
    never changes; `Code` the file of the model's code and `Runtime` the image that trained and judged it, each named by
    a hash of its content; `days` the parameters that chose among the data.
    """
    return {
        "Commit": commit,
        "Data": prepare.input("features"),
        "Code": code,
        "Runtime": runtime,
        "Algorithm": algorithm,
        **{name: parameter.value for name, parameter in days.items()},
    }
