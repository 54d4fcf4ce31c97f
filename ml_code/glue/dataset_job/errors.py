"""What a person has to know to mend a run."""

from __future__ import annotations


class DatasetError(Exception):
    """Its text becomes the job run's error message: one line with what, where and the fix."""
