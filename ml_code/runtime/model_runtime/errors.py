"""The one exception for what the user of a job has to know and can mend."""

from __future__ import annotations


class JobError(Exception):
    """A job can't do what it was asked to: the text names the value, the place and the fix."""
