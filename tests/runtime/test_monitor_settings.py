"""What the monitor's job takes as its settings: JSON, a file, or the input that holds the only file."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.errors import JobError
from model_runtime.monitor.settings import MonitorSettings, settings_text
from model_runtime.problems import BINARY_CLASSIFICATION


@pytest.mark.parametrize("given", ["/opt/ml/processing/input/settings", "/opt/ml/processing/input/settings/a1b2.json"])
def test_settings_lie_where_the_container_has_its_inputs(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAGEMAKER_BASE_DIR", str(tmp_path))
    folder = tmp_path / "processing/input/settings"
    folder.mkdir(parents=True)
    (folder / "a1b2.json").write_text('{"window_days": 3}')
    assert settings_text(given) == '{"window_days": 3}'
    (folder / "other.json").write_text("{}")
    if given.endswith("settings"):
        with pytest.raises(JobError, match="a folder with one such file, got '/opt/ml/processing/input/settings'"):
            settings_text(given)


def test_settings_may_be_json_themselves() -> None:
    assert settings_text(' {"window_days": 3}') == ' {"window_days": 3}'


def test_so_few_labels_that_nothing_could_be_told_of_them_are_refused() -> None:
    """The metrics have no interval there, so that no loss would ever count."""
    with pytest.raises(JobError, match=r"least_labels must be at least 200: of fewer no interval is told, .* got 199"):
        MonitorSettings.parse('{"quality": {"maximum_loss": 0.1, "least_labels": 199}}', BINARY_CLASSIFICATION)
    found = MonitorSettings.parse('{"quality": {"maximum_loss": 0.1, "least_labels": 200}}', BINARY_CLASSIFICATION)
    assert found.quality is not None
    assert found.quality.least_labels == 200
