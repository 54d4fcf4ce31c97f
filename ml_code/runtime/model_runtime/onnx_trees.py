"""Boosted trees as ONNX, which ONNX Runtime answers single rows with many times faster than XGBoost does.

A training job writes `model.onnx` beside the booster, and proves it on rows: the same answers as XGBoost to one part in
a million. A booster that has no such form (categorical splits, several outputs, another booster than trees, an
objective that isn't listed here) has none, and is served by XGBoost.

The form is the operator TreeEnsemble of https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsemble.html. XGBoost goes
left when `value < threshold` in 32-bit floats, and adds the trees to the base score in their order; so does the
operator when the base score is its first tree.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from model_runtime.onnx_format import Attribute, Node, model_bytes

if TYPE_CHECKING:
    import xgboost as xgb

ONNX_FILE = "model.onnx"
ROWS, RESULT = "rows", "predictions"
BOOSTER_NOTE, CHECK_NOTE = "booster_sha256", "check"
TOLERANCE = 1e-6
SMALL = 1e-2  # the difference of smaller numbers counts as a share of this

_VERSIONS = {"": 18, "ai.onnx.ml": 5}
_LESS = 1  # BRANCH_LT
_NONE = 0
_SUM = 1
# the link from the sum of the leaves to the prediction, by the objective
IDENTITY, LOGISTIC, EXPONENTIAL = "identity", "logistic", "exponential"
_LINKS: Mapping[str, str] = {
    "reg:squarederror": IDENTITY,
    "reg:absoluteerror": IDENTITY,
    "reg:pseudohubererror": IDENTITY,
    "reg:squaredlogerror": IDENTITY,
    "reg:quantileerror": IDENTITY,
    "binary:logitraw": IDENTITY,
    "rank:ndcg": IDENTITY,
    "rank:map": IDENTITY,
    "rank:pairwise": IDENTITY,
    "binary:logistic": LOGISTIC,
    "reg:logistic": LOGISTIC,
    "count:poisson": EXPONENTIAL,
    "reg:gamma": EXPONENTIAL,
    "reg:tweedie": EXPONENTIAL,
}

Matrix = npt.NDArray[np.float32]


class NotConvertibleError(Exception):
    """The booster has no form as ONNX; the text says why, as a part of a sentence."""


@dataclass
class _Ensemble:
    """The trees as the operator lists them; children are numbers of nodes or of leaves."""

    features: list[int] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    children: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    are_leaves: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))
    missing_goes_left: list[int] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)

    def add_constant(self, value: float) -> None:
        """Add a tree that is one leaf: a node of which both children are that leaf."""
        self.roots.append(len(self.features))
        self._node(0, 0.0, missing_goes_left=True)
        for side in (0, 1):
            self._child(side, len(self.leaves), is_leaf=True)
        self.leaves.append(value)

    def add_tree(self, tree: dict[str, Any]) -> None:
        """Add a tree of XGBoost's JSON; of a leaf, the condition is its value."""
        left, right, conditions = tree["left_children"], tree["right_children"], tree["split_conditions"]
        if left[0] == -1:
            self.add_constant(conditions[0])
            return
        reached = [0]
        for node in reached:  # grows as it is walked: only what is reached, in the order of levels
            reached += [child for child in (left[node], right[node]) if left[child] != -1]
        numbers = {node: len(self.features) + place for place, node in enumerate(reached)}
        self.roots.append(numbers[0])
        for node in reached:
            self._node(
                tree["split_indices"][node], conditions[node], missing_goes_left=bool(tree["default_left"][node])
            )
            for side, child in enumerate((left[node], right[node])):
                if left[child] == -1:
                    self._child(side, len(self.leaves), is_leaf=True)
                    self.leaves.append(conditions[child])
                else:
                    self._child(side, numbers[child], is_leaf=False)

    def _node(self, feature: int, threshold: float, *, missing_goes_left: bool) -> None:
        self.features.append(feature)
        self.thresholds.append(threshold)
        self.missing_goes_left.append(int(missing_goes_left))

    def _child(self, side: int, number: int, *, is_leaf: bool) -> None:
        self.children[side].append(number)
        self.are_leaves[side].append(int(is_leaf))

    def attributes(self, factor: float) -> dict[str, Attribute]:
        """The operator's attributes, all leaves times 1 or -1."""
        return {
            "aggregate_function": _SUM,
            "leaf_targetids": [0] * len(self.leaves),
            "leaf_weights": np.array(self.leaves, dtype=np.float32) * np.float32(factor),
            "n_targets": 1,
            "nodes_falseleafs": self.are_leaves[1],
            "nodes_falsenodeids": self.children[1],
            "nodes_featureids": self.features,
            "nodes_missing_value_tracks_true": self.missing_goes_left,
            "nodes_modes": np.full(len(self.features), _LESS, dtype=np.uint8),
            "nodes_splits": np.array(self.thresholds, dtype=np.float32),
            "nodes_trueleafs": self.are_leaves[0],
            "nodes_truenodeids": self.children[0],
            "post_transform": _NONE,
            "tree_roots": self.roots,
        }


def onnx_bytes(booster: xgb.Booster, notes: dict[str, str] | None = None) -> bytes:
    """The booster as ONNX; raises NotConvertibleError when it has no such form."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    parameters, gradient_booster = learner["learner_model_param"], learner["gradient_booster"]
    if gradient_booster["name"] != "gbtree":
        raise NotConvertibleError(f"its booster is {gradient_booster['name']}, not gbtree")
    if int(parameters["num_class"]) > 1 or int(parameters.get("num_target", 1)) > 1:
        raise NotConvertibleError("it gives several numbers for a row")
    objective = learner["objective"]["name"]
    if objective not in _LINKS:
        raise NotConvertibleError(f"its objective {objective} has no form there")
    link = _LINKS[objective]
    ensemble = _Ensemble()
    ensemble.add_constant(_before_link(link, _base_score(parameters["base_score"])))
    for tree in gradient_booster["model"]["trees"]:
        if any(tree["split_type"]):
            raise NotConvertibleError("it splits by categories")
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise NotConvertibleError("its leaves hold several numbers")
        ensemble.add_tree(tree)
    total = RESULT if link == IDENTITY else "total"
    trees = Node(
        operator="TreeEnsemble",
        inputs=[ROWS],
        outputs=[total],
        domain="ai.onnx.ml",
        attributes=ensemble.attributes(-1.0 if link == LOGISTIC else 1.0),
    )
    return model_bytes(
        [trees, *_link_nodes(link, total)],
        rows=(ROWS, booster.num_features()),
        result=(RESULT, 1),
        constants={"one": np.ones(1, dtype=np.float32)},
        versions=_VERSIONS,
        notes=notes or {},
    )


def _link_nodes(link: str, total: str) -> list[Node]:
    if link == IDENTITY:
        return []
    if link == EXPONENTIAL:
        return [Node(operator="Exp", inputs=[total], outputs=[RESULT])]
    # 1 / (1 + exp(-x)), as XGBoost has it, of the negative sum: the operator Sigmoid is an approximation that is off
    # by a part in a million where probabilities are small
    return [
        Node(operator="Exp", inputs=[total], outputs=["odds"]),
        Node(operator="Add", inputs=["odds", "one"], outputs=["inverse"]),
        Node(operator="Reciprocal", inputs=["inverse"], outputs=[RESULT]),
    ]


def _base_score(text: str) -> float:
    """The base score; newer versions of XGBoost write a list of one number."""
    values = text.strip("[]").split(",")
    if len(values) != 1:
        raise NotConvertibleError("it has several base scores")
    return float(values[0])


def _before_link(link: str, score: float) -> float:
    if link == LOGISTIC:
        return -math.log(1.0 / score - 1.0)
    return math.log(score) if link == EXPONENTIAL else score


def write_onnx(booster: xgb.Booster, booster_file: Path, rows: Matrix, directory: Path) -> str | None:
    """Write `model.onnx` if it answers the rows as the booster does; returns the reason when it isn't written.

    Parameters
    ----------
    booster_file
        The booster as it was saved: the file notes its digest, and isn't used beside another booster.
    rows
        Real rows, NaN for missing values; a few of them go into the file with their answers, and each server that loads
        it asks for those first.
    """
    from model_runtime.serving.predictors import OnnxPredictor

    target = directory / ONNX_FILE
    target.unlink(missing_ok=True)
    try:
        model = onnx_bytes(booster)
        rows = np.concatenate([rows, threshold_rows(booster)])
        wanted = booster.inplace_predict(rows, validate_features=False)
        difference = largest_difference(OnnxPredictor.of_bytes(model)(rows), wanted)
        if difference > TOLERANCE:
            raise NotConvertibleError(f"ONNX Runtime differs by {difference:.1e} from XGBoost")
    except NotConvertibleError as error:
        return str(error)
    shown = np.linspace(0, len(rows) - 1, num=min(len(rows), 16)).astype(int)
    notes = {
        BOOSTER_NOTE: digest(booster_file),
        CHECK_NOTE: json.dumps(
            {
                "rows": [[None if math.isnan(value) else value for value in row] for row in rows[shown].tolist()],
                "predictions": wanted[shown].tolist(),
            }
        ),
    }
    target.write_bytes(onnx_bytes(booster, notes))
    return None


def largest_difference(found: Matrix, wanted: Matrix) -> float:
    """The largest difference, as a share of the number wanted; infinite where one isn't finite, or is missing."""
    if found.shape != wanted.shape or not np.isfinite(found).all():
        return math.inf
    share = np.abs(found.astype(np.float64) - wanted) / np.maximum(SMALL, np.abs(wanted.astype(np.float64)))
    return float(share.max(initial=0.0))


def threshold_rows(booster: xgb.Booster, most: int = 2000) -> Matrix:
    """Rows that hold thresholds of the trees, and the next numbers below: where a rounding would show."""
    learner = json.loads(booster.save_raw("json"))["learner"]
    by_feature: dict[int, list[float]] = {}
    for tree in learner["gradient_booster"]["model"]["trees"]:
        for node, left in enumerate(tree["left_children"]):
            if left != -1:
                by_feature.setdefault(tree["split_indices"][node], []).append(tree["split_conditions"][node])
    random = np.random.default_rng(0)
    rows = np.full((most, booster.num_features()), np.nan, dtype=np.float32)
    for feature, thresholds in sorted(by_feature.items()):
        column = random.choice(np.array(thresholds, dtype=np.float32), most)
        below = random.random(most) < 0.5
        column[below] = np.nextafter(column[below], np.float32(-np.inf))
        column[random.random(most) < 0.1] = np.nan
        rows[:, feature] = column
    return rows


def digest(file: Path) -> str:
    """The file's SHA-256."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
