"""What a model answers for rows, asked as its endpoint would ask it.

    python -m model_runtime.predictions <model directory> <rows.parquet> <predictions.parquet>

The command is for a second model beside one that is loaded already: packages of the same name, and whatever an old
model does to its process, stay out of the first one's way.
"""

from __future__ import annotations

import errno
import sys
import tarfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from model_runtime.artifact import load_artifact
from model_runtime.errors import JobError
from model_runtime.metrics import Floats
from model_runtime.problems import PROBLEMS
from model_runtime.serving.content import CSV
from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler

ARCHIVE = "model.tar.gz"
REQUEST_ROWS = 500
MACHINE_FAULT = 75
"""The exit code when not the model but the machine has failed: no memory, no place (EX_TEMPFAIL of sysexits.h)."""
_MACHINE_ERRORS = (errno.ENOMEM, errno.ENOSPC, errno.EIO, errno.EMFILE, errno.ENFILE)


def unpack_model(source: Path, target: Path) -> Path:
    """Unpack the archive in `source` to `target`; a directory that holds an unpacked model is taken as it is."""
    archive = source / ARCHIVE
    if not archive.is_file():
        return source
    try:
        with tarfile.open(archive) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise JobError(f"{archive} can't be unpacked: {error}") from error
    return target


def predict(handler: InvocationHandler, features: pl.DataFrame) -> Floats:
    """A prediction for each row; a model with its own inference functions is asked as an endpoint would ask it."""
    if not handler.has_own_steps:
        matrix = np.ascontiguousarray(features.to_numpy())
        return np.asarray(handler.predict(matrix), dtype=np.float64)
    values: list[float] = []
    for part in features.iter_slices(REQUEST_ROWS):
        try:
            answer, _ = handler.answer(part.write_csv(include_header=False).encode(), CSV, CSV)
            values += [float(line.partition(",")[0]) for line in answer.decode().splitlines()]
        except (RequestError, ValueError) as error:
            raise JobError(
                f"the model's inference functions must answer {CSV} with a number per row: {error}"
            ) from error
    return np.array(values, dtype=np.float64)


def main(argv: Sequence[str]) -> int:
    """Write one column, `prediction`; returns the exit code, with the reason as the last line of standard error."""
    directory, rows, target = (Path(each) for each in argv)
    try:
        artifact = load_artifact(directory)
        table = pl.read_parquet(rows, columns=list(artifact.description.features))
        answers = predict(InvocationHandler(artifact, directory), table.cast(pl.Float32))
        PROBLEMS[artifact.description.problem].check_predictions(answers, table.height)
    except Exception as error:
        text = str(error) if isinstance(error, JobError) else f"{type(error).__name__}: {error}"
        print(" ".join(text.split()), file=sys.stderr, flush=True)
        machine = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _MACHINE_ERRORS)
        return MACHINE_FAULT if machine else 1
    pl.DataFrame({"prediction": answers}).write_parquet(target)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
