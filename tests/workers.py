"""How the tests are spread over worker processes.

A file stays together, and so do all that share a running platform; those take longest, so they come first.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

STORY = "tests/end_to_end/"
LONGEST = (STORY, "tests/season/")
MOST_WORKERS = 4


class LoadFilesAndStory(LoadScopeScheduling):
    """One scope for each file, but one for the whole story, whose chapters build on the platform of the first."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return STORY if file.startswith(STORY) else file


class Workers:
    """The plugin of the process that hands out the tests."""

    def pytest_xdist_auto_num_workers(self, config: Any) -> int:
        """One more than there are cores: the story mostly waits for its platform's processes."""
        del config
        return min((os.cpu_count() or 1) + 1, MOST_WORKERS)

    def pytest_xdist_make_scheduler(self, config: Any, log: Any) -> LoadFilesAndStory:
        return LoadFilesAndStory(config, log)


class Worker:
    """The plugin of the processes that run them."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
