"""Pipeline definitions, schema version 2020-12-01: parsing, and the order that their references impose."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from local_aws.json_api import ApiError
from local_aws.sagemaker.checks.steps import CHECK_MEMBERS
from local_aws.sagemaker.pipeline_checks import (
    CREATE_OPERATIONS,
    EXECUTION_PROPERTIES,
    EXPERIMENT_PROPERTIES,
    definition_problems,
    property_problem,
    step_problems,
)
from local_aws.sagemaker.pipeline_policies import CachePolicy, RetryPolicy, retry_policies

STEP_TYPES = (*CREATE_OPERATIONS, "Condition", "Fail")
PARAMETER_TYPES = ("String", "Integer", "Float", "Boolean")
_STEP_REFERENCE = re.compile(r"^Steps\.([^.\[]+)")
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_BRANCHES = ("IfSteps", "ElseSteps")
_VERSION = "2020-12-01"


@dataclass(frozen=True)
class Parameter:
    """A parameter of a pipeline. `default` is None when a value has to be given."""

    name: str
    type: str
    default: Any = None
    allowed: tuple[Any, ...] = ()

    def parse(self, value: Any) -> Any:
        """Return a value, which executions get as text, in the parameter's type."""
        try:
            converted = self._converted(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise ApiError(
                "ValidationException", f"Parameter [{self.name}] must be of type {self.type}, got {value!r}"
            ) from error
        if self.allowed and converted not in self.allowed:
            allowed = ", ".join(map(str, self.allowed))
            raise ApiError("ValidationException", f"Parameter [{self.name}] must be one of {allowed}, got {value!r}")
        return converted

    def _converted(self, value: Any) -> Any:
        if self.type == "Integer":
            return int(str(value))
        if self.type == "Float":
            return float(value)
        if self.type == "Boolean":
            if str(value).lower() not in ("true", "false"):
                raise ValueError(value)
            return str(value).lower() == "true"
        return str(value)


@dataclass(frozen=True)
class PropertyFile:
    """A JSON file that a processing step leaves in one of its outputs."""

    name: str
    output: str
    path: str


@dataclass(frozen=True)
class Step:
    """One step, flattened: steps of a condition's branches are steps like others, with the branch they belong to."""

    name: str
    type: str
    arguments: Mapping[str, Any]
    raw: Mapping[str, Any] = field(repr=False)
    requires: frozenset[str] = frozenset()
    branch: tuple[str, bool] | None = None
    property_files: Mapping[str, PropertyFile] = field(default_factory=dict)
    cache: CachePolicy = field(default_factory=CachePolicy)
    retries: tuple[RetryPolicy, ...] = ()


@dataclass(frozen=True)
class PipelineDefinition:
    """A valid definition: its parameters and all of its steps by name.

    `experiment` holds the expressions of PipelineExperimentConfig, which references can read.
    """

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step]
    experiment: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> PipelineDefinition:
        """Read a definition; ApiError(ValidationException) names what is wrong and where."""
        try:
            raw = json.loads(text)
        except ValueError as error:
            raise invalid(f"it is not JSON: {error}") from error
        if not isinstance(raw, dict) or raw.get("Version") != _VERSION:
            raise invalid(f"Version must be {_VERSION!r}")
        for problem in definition_problems(raw):
            raise invalid(problem)
        parameters = [_parameter(item) for item in raw.get("Parameters") or []]
        steps = list(_steps(raw.get("Steps") or [], None))
        if not steps:
            raise invalid("it has no steps")
        definition = cls(
            {item.name: item for item in parameters},
            {step.name: step for step in steps},
            raw.get("PipelineExperimentConfig") or {},
        )
        for kind, names in (("parameter", [p.name for p in parameters]), ("step", [step.name for step in steps])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise invalid(f"the {kind} name {twice[0]!r} is used more than once")
        definition._check_references()
        definition._check_order()
        return definition

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every parameter for an execution that is given some of them."""
        unknown = sorted(set(given) - set(self.parameters))
        if unknown:
            raise ApiError("ValidationException", f"Unknown parameter [{unknown[0]}]: the pipeline doesn't define it")
        values = {}
        for name, parameter in self.parameters.items():
            value = given.get(name, parameter.default)
            if value is None:
                raise ApiError("ValidationException", f"Parameter [{name}] is required: it has no default value")
            values[name] = parameter.parse(value)
        return values

    def _check_references(self) -> None:
        for path in references(self.experiment):
            problem = self._reference_problem(path)
            if problem or not path.startswith(("Execution.", "Parameters.")):
                raise invalid(f"PipelineExperimentConfig refers to {path!r}: {problem or 'it has no value yet'}")
        for step in self.steps.values():
            for required in sorted(step.requires):
                if required not in self.steps:
                    raise invalid(f"step {step.name!r} refers to the step {required!r}, which doesn't exist")
            for path in references(step.arguments):
                problem = self._reference_problem(path)
                if problem:
                    raise invalid(f"step {step.name!r} refers to {path!r}: {problem}")

    def _reference_problem(self, path: str) -> str | None:
        kind, _, rest = path.partition(".")
        if kind == "Parameters":
            return None if rest in self.parameters else "the parameter doesn't exist"
        if kind == "Execution":
            return None if rest in EXECUTION_PROPERTIES else "the execution has no such property here"
        if kind == "PipelineExperimentConfig":
            return None if rest in EXPERIMENT_PROPERTIES & self.experiment.keys() else "it isn't declared"
        if kind != "Steps":
            return "it is no reference"
        found = re.fullmatch(r"([^.\[]+)\.(.+)", rest)
        if found is None:
            return "a step has to be followed by one of its properties"
        name, members = found.groups()
        if name not in self.steps:
            return "the step doesn't exist"
        if members.startswith("PropertyFiles."):
            declared = self.steps[name].property_files
            return None if members.partition(".")[2] in declared else "the property file isn't declared"
        return property_problem(self.steps[name].type, members)

    def _check_order(self) -> None:
        done: set[str] = set()
        waiting = dict(self.steps)
        while waiting:
            ready = [name for name, step in waiting.items() if step.requires <= done]
            if not ready:
                raise invalid(f"the steps {', '.join(sorted(waiting))} depend on each other in a circle")
            done.update(ready)
            for name in ready:
                del waiting[name]


def invalid(problem: str) -> ApiError:
    """Return the error of a definition that can't be used."""
    return ApiError("ValidationException", f"Unable to parse pipeline definition: {problem}.")


def references(value: Any) -> Iterator[str]:
    """Yield the path of every `{"Get": path}` in a value."""
    if isinstance(value, Mapping):
        if set(value) == {"Get"} and isinstance(value["Get"], str):
            yield value["Get"]
        else:
            for item in value.values():
                yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@contextmanager
def _place(where: str) -> Iterator[None]:
    """Say where a value is that can't be read."""
    try:
        yield
    except ValueError as error:
        raise invalid(f"{where}: {error}") from error
    except (TypeError, AttributeError, OverflowError) as error:
        raise invalid(f"{where}: a value has the wrong type ({error})") from error


def _parameter(raw: Mapping[str, Any]) -> Parameter:
    name, kind = raw.get("Name"), raw.get("Type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(f"{name!r} is no name of a parameter")
    if kind not in PARAMETER_TYPES:
        raise invalid(f"parameter {name!r} has the unknown type {kind!r}")
    unknown = sorted(set(raw) - {"Name", "Type", "DefaultValue", "EnumValues", "Description"})
    if unknown:
        raise invalid(f"parameter {name!r} has the unknown key {unknown[0]!r}")
    with _place(f"parameter {name!r}"):
        parameter = Parameter(name, str(kind), raw.get("DefaultValue"), tuple(raw.get("EnumValues") or ()))
    if parameter.default is not None:
        try:
            parameter.parse(parameter.default)
        except ApiError as error:
            raise invalid(f"the default of parameter {name!r} doesn't fit: {error.message}") from error
    return parameter


def _steps(raw_steps: Any, branch: tuple[str, bool] | None) -> Iterator[Step]:
    if not isinstance(raw_steps, list) or not all(isinstance(raw, Mapping) for raw in raw_steps):
        raise invalid("a list of steps must be a list of objects")
    for raw in raw_steps:
        name, kind = raw.get("Name"), raw.get("Type")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise invalid(f"{name!r} is no name of a step")
        if kind not in STEP_TYPES:
            known = ", ".join(STEP_TYPES)
            raise invalid(f"step {name!r} has the type {kind!r}; the local AWS runs {known}")
        if not isinstance(raw.get("Arguments"), Mapping):
            raise invalid(f"step {name!r} has no Arguments")
        with _place(f"step {name!r}"):
            step = _step(raw, branch)
        yield step
        if step.type == "Condition":
            for key in _BRANCHES:
                yield from _steps(raw["Arguments"].get(key) or [], (step.name, key == "IfSteps"))


def _step(raw: Mapping[str, Any], branch: tuple[str, bool] | None) -> Step:
    name, kind, arguments = raw["Name"], raw["Type"], raw["Arguments"]
    for problem in step_problems(raw):
        raise ValueError(problem)
    own = {key: value for key, value in arguments.items() if kind != "Condition" or key not in _BRANCHES}
    beside = {key: raw[key] for key in CHECK_MEMBERS & raw.keys()}
    requires = {found.group(1) for path in references([own, beside]) if (found := _STEP_REFERENCE.match(path))}
    requires |= set(raw.get("DependsOn") or [])
    if branch is not None:
        requires.add(branch[0])
    files = [
        PropertyFile(item["PropertyFileName"], item["OutputName"], item["FilePath"])
        for item in raw.get("PropertyFiles") or []
    ]
    return Step(
        name,
        kind,
        own,
        raw,
        frozenset(requires),
        branch,
        {file.name: file for file in files},
        CachePolicy.parse(raw.get("CacheConfig")),
        retry_policies(raw.get("RetryPolicies")),
    )
