"""The mirror of S3 that Glue jobs work on: what it downloads, and that no job damages it for another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local_aws.glue.mirror_cache import MirrorCache
from local_aws.glue.s3_mirror import S3Mirror
from local_aws.jobs.s3_files import S3Uri

LAKE = S3Uri("lake", "raw")
DAYS = {f"raw/day={day}/flights.csv": f"rows of {day}" for day in range(5)}


@pytest.fixture
def s3(server: Any) -> Any:
    s3 = server.client("s3")
    for key, body in DAYS.items():
        s3.put_object(Bucket="lake", Key=key, Body=body.encode())
    return s3


@pytest.fixture
def pull(s3: Any, tmp_path: Path) -> Callable[..., tuple[S3Mirror, Path]]:
    """Make the mirror of one more run, all with the same cache."""
    cache = MirrorCache(tmp_path / "cache")
    runs: list[Path] = []

    def pull_for_a_run(*uris: S3Uri) -> tuple[S3Mirror, Path]:
        runs.append(tmp_path / f"run{len(runs)}")
        mirror = S3Mirror(s3, runs[-1], cache, uris or [LAKE])
        mirror.pull()
        return mirror, runs[-1] / "lake"

    return pull_for_a_run


@contextmanager
def downloads(s3: Any) -> Iterator[list[str]]:
    """Note the keys that are downloaded in a `with` block."""
    keys: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        keys.append(params["Key"])

    s3.meta.events.register("before-parameter-build.s3.GetObject", note)
    try:
        yield keys
    finally:
        s3.meta.events.unregister("before-parameter-build.s3.GetObject", note)


def content(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_next_run_downloads_only_what_is_new_or_changed(s3: Any, pull: Callable[..., Any]) -> None:
    with downloads(s3) as first:
        pull()
    assert len(first) == 5
    s3.put_object(Bucket="lake", Key="raw/day=1/flights.csv", Body=b"corrected")
    s3.put_object(Bucket="lake", Key="raw/day=7/flights.csv", Body=b"rows of 7")
    s3.delete_object(Bucket="lake", Key="raw/day=3/flights.csv")
    with downloads(s3) as second:
        _, lake = pull()
    assert sorted(second) == ["raw/day=1/flights.csv", "raw/day=7/flights.csv"]
    expected = {**DAYS, "raw/day=1/flights.csv": "corrected", "raw/day=7/flights.csv": "rows of 7"}
    del expected["raw/day=3/flights.csv"]
    assert content(lake) == expected


def test_what_is_gone_or_changed_leaves_the_cache(s3: Any, pull: Callable[..., Any], tmp_path: Path) -> None:
    mirror, lake = pull()
    (lake / "raw/day=0/flights.csv").unlink()
    mirror.push()
    s3.put_object(Bucket="lake", Key="raw/day=1/flights.csv", Body=b"corrected")
    s3.delete_object(Bucket="lake", Key="raw/day=3/flights.csv")
    pull()
    assert sorted(content(tmp_path / "cache").values()) == ["corrected", "rows of 2", "rows of 4"]


def test_files_written_in_place_stay_as_they_are_for_other_runs(s3: Any, pull: Callable[..., Any]) -> None:
    pull()
    _, mine = pull()
    with (mine / "raw/day=0/flights.csv").open("a") as appended:
        appended.write(" and more")
    (mine / "raw/day=1/flights.csv").write_text("overwritten")
    with downloads(s3) as keys:
        _, theirs = pull()
    assert (content(theirs), keys) == (DAYS, [])


def test_exact_objects_and_folders_are_mirrored_at_their_keys(s3: Any, pull: Callable[..., Any]) -> None:
    s3.put_object(Bucket="lake", Key="assets/flights.json", Body=b"{}")
    s3.put_object(Bucket="lake", Key="assets/flights.json.old", Body=b"not asked for")
    pull()
    with downloads(s3) as keys:
        _, lake = pull(S3Uri("lake", "assets/flights.json"), S3Uri("lake", "raw/day=2/"))
    assert keys == ["assets/flights.json"]
    assert content(lake) == {"assets/flights.json": "{}", "raw/day=2/flights.csv": "rows of 2"}


def test_object_that_changed_after_it_was_listed_is_never_served_as_the_old_one(
    s3: Any, pull: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from local_aws.glue import s3_mirror

    list_folder = s3_mirror.list_folder

    def list_then_change(client: Any, uri: S3Uri) -> Any:
        listed = list_folder(client, uri)
        s3.put_object(Bucket="lake", Key="raw/day=0/flights.csv", Body=b"corrected")
        return listed

    monkeypatch.setattr(s3_mirror, "list_folder", list_then_change)
    pull()
    monkeypatch.undo()
    with downloads(s3) as keys:
        _, lake = pull()
    assert ((lake / "raw/day=0/flights.csv").read_text(), keys) == ("corrected", [])
