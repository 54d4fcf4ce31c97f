"""The container that stands for Model Monitor's merger: captured answers, each with the label that came for it.

It runs as a script in a process of its own. A captured line without a label is left out, as is a label without a line;
of labels for the same id the newest counts: that of the last file, and in it of the last line. Source of the form:
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-merge.html
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any


def main() -> int:
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    places = [_place(base, os.environ[name]) for name in ("dataset_source", "ground_truth_source", "output_path")]
    message = merge(*places)
    print(message, flush=True)
    (base / "output").mkdir(parents=True, exist_ok=True)
    (base / "output/message").write_text(message)
    return 0


def merge(captures: Path, labels: Path, output: Path) -> str:
    """Write `<output>/<endpoint>/<variant>/yyyy/mm/dd/hh/part-*.jsonl`, and return what came of it."""
    found_labels = (line for path in _files(labels) for line in _lines_of(path, "groundTruthData"))
    truths = {line["eventMetadata"]["eventId"]: line["groundTruthData"] for line in found_labels}
    merged, used = 0, set()
    for number, path in enumerate(_files(captures)):
        target = output / path.parent.relative_to(captures) / f"part-{number:05d}.jsonl"
        found = []
        for line in _lines_of(path, "captureData"):
            metadata = line["eventMetadata"]
            name = metadata.get("inferenceId") or metadata["eventId"]
            if name in truths:
                used.add(name)
                found.append(json.dumps({"eventVersion": "0", "groundTruthData": truths[name], **line}) + "\n")
        if found:
            merged += len(found)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(found))
    return f"Completed: {merged} captured lines have a label, {len(truths.keys() - used)} labels have no line"


def _lines_of(path: Path, member: str) -> Iterator[dict[str, Any]]:
    with path.open() as opened:
        for number, text in enumerate(opened, 1):
            try:
                line = json.loads(text)
                line["eventMetadata"]["eventId"], line[member]
            except (ValueError, KeyError, TypeError):
                # one broken line, as of a file that was cut, doesn't cost the others
                print(f"{path.name}, line {number}: not a captured or labelled event", file=sys.stderr)
                continue
            yield line


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _place(base: Path, path: str) -> Path:
    return base / PurePosixPath(path).relative_to("/opt/ml")


if __name__ == "__main__":
    raise SystemExit(main())
