"""`constraints.json` in Model Monitor's schema: what a baseline suggests, and what a monitor reads.

Source: SageMaker's guide, "Schema for Constraints (constraints.json file)". Ours is that numbers which stand for
categories have `string_constraints.domains`, too, with an override that lets one row in a hundred have another value:
an airline's new destination is news, not a fault.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from model_runtime.errors import JobError
from model_runtime.monitor.sketches import ColumnSketch, TableSketch

FILE = "constraints.json"
VERSION = 0.0
CODES_IN_DOMAIN = 0.99
MOST_TEXTS = 1000
"""Texts with more distinct ones are no categories."""


@dataclass(frozen=True, kw_only=True)
class Checking:
    """How strictly values are checked; `evaluated` and `compared` say whether they are at all, and are distributions.

    Shares reach from 0 to 1. `simple` compares distances as they are, without taking off what chance explains.
    """

    evaluated: bool = True
    compared: bool = True
    types: float = 1.0
    domains: float = 1.0
    distance: float = 0.1
    categorical_distance: float | None = None
    simple: bool = False
    chi_squared: bool = False

    def read(self, said: Mapping[str, Any]) -> Checking:
        """The same, but for what `monitoring_config` or an override says; in any of the documented spellings."""
        distributions = said.get("distribution_constraints", {})
        values: dict[str, Any] = {
            "evaluated": _enabled(said, "evaluate_constraints", self.evaluated),
            "compared": _enabled(distributions, "perform_comparison", self.compared),
            "types": _share(said, "datatype_check_threshold", self.types),
            "domains": _share(said, "domain_content_threshold", self.domains),
            "distance": _share(distributions, "comparison_threshold", self.distance),
            "categorical_distance": _share(
                distributions, "categorical_comparison_threshold", self.categorical_distance
            ),
        }
        if "comparison_method" in distributions:
            method = str(distributions["comparison_method"]).lower().removeprefix("linf_")
            if method not in ("simple", "robust"):
                raise ValueError(
                    f"comparison_method must be Simple or Robust, got {distributions['comparison_method']!r}"
                )
            values["simple"] = method == "simple"
        if "categorical_drift_method" in distributions:
            method = str(distributions["categorical_drift_method"]).lower()
            if method not in ("linfinity", "chisquared"):
                raise ValueError(f"categorical_drift_method must be LInfinity or ChiSquared, got {method!r}")
            values["chi_squared"] = method == "chisquared"
        return replace(self, **values)


@dataclass(frozen=True, kw_only=True)
class FeatureConstraints:
    """What is asked of a feature; None: not asked."""

    name: str
    type: str
    completeness: float | None = None
    non_negative: bool = False
    domains: frozenset[str] | None = None
    checking: Checking = field(default_factory=Checking)


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """What is asked of each feature, in order, and how strictly of all."""

    features: Mapping[str, FeatureConstraints]
    checking: Checking = field(default_factory=Checking)


def suggested_constraints(table: TableSketch, categorical: Collection[str] = ()) -> dict[str, Any]:
    """The content of `constraints.json`: that later rows are as these; `categorical` columns have known values only."""
    return {
        "version": VERSION,
        "features": [_suggested(name, column, name in categorical) for name, column in table.columns.items()],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Enabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 1.0,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.1,
                "comparison_method": "Robust",
                "categorical_comparison_threshold": 0.1,
                "categorical_drift_method": "LInfinity",
            },
        },
    }


def _suggested(name: str, column: ColumnSketch, encoded: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "inferred_type": column.type}
    if not column.rows:
        return found
    found["completeness"] = column.present / column.rows
    counts = column.counts()
    if column.type == "String":
        if counts is not None and len(counts) <= MOST_TEXTS:
            found["string_constraints"] = {"domains": sorted(counts)}
        return found
    if column.type != "Unknown":
        found["num_constraints"] = {"is_non_negative": column.numbers.minimum >= 0}
        if encoded and counts is not None:
            found["string_constraints"] = {"domains": sorted(counts)}
            found["monitoringConfigOverrides"] = {"domain_content_threshold": CODES_IN_DOMAIN}
    return found


def read_constraints(said: Mapping[str, Any]) -> Constraints:
    """What `constraints.json` says; raises JobError, naming the feature, for what isn't one."""
    if not isinstance(said.get("features"), list):
        raise JobError(f"{FILE} must have a list of features")
    try:
        checking = Checking().read(said.get("monitoring_config", {}))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JobError(f"{FILE}: monitoring_config can't be read: {error}") from error
    found = {}
    for number, each in enumerate(said["features"]):
        name = each.get("name", f"number {number}") if isinstance(each, Mapping) else f"number {number}"
        try:
            feature = _read_feature(each, checking)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise JobError(f"{FILE}: the feature {name} can't be read: {error!r}") from error
        found[feature.name] = feature
    return Constraints(features=found, checking=checking)


def _read_feature(said: Mapping[str, Any], checking: Checking) -> FeatureConstraints:
    domains = said.get("string_constraints", {}).get("domains")
    return FeatureConstraints(
        name=str(said["name"]),
        type=str(said["inferred_type"]),
        completeness=_share(said, "completeness", None),
        non_negative=bool(said.get("num_constraints", {}).get("is_non_negative", False)),
        domains=None if domains is None else frozenset(map(str, domains)),
        checking=checking.read(said.get("monitoringConfigOverrides", {})),
    )


def _enabled(said: Mapping[str, Any], name: str, otherwise: bool) -> bool:
    return str(said[name]).lower() == "enabled" if name in said else otherwise


def _share(said: Mapping[str, Any], name: str, otherwise: Any) -> Any:
    if name not in said:
        return otherwise
    value = float(said[name])
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {said[name]!r}")
    return value
