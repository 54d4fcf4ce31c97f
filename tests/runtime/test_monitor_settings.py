"""What the monitor's job takes as its settings: JSON, a file, or the input that holds the only file."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_runtime.errors import JobError
from model_runtime.monitor.settings import settings_text


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
