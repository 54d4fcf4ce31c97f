"""What all connections of a server process share: the model, the limits, the counts, the threads for long requests."""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from functools import partial
from itertools import accumulate
from time import perf_counter
from typing import TYPE_CHECKING, Any

import httptools
import numpy as np

from model_runtime.artifact import Matrix
from model_runtime.serving.connection import INFERENCE_ID, Request
from model_runtime.serving.content import write_predictions
from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler
from model_runtime.serving.metrics import ServingMetrics
from model_runtime.serving.settings import ServerSettings

if TYPE_CHECKING:
    from model_runtime.serving.connection import Connection

SWEEP_SECONDS = 1.0
THREADS = 8
# A request of more rows has enough of its own, and others don't wait for it.
TOGETHER_ROWS = 16
# so many refusals are told in the log in each interval of the metrics: a client that errs a thousand times a second
# would fill it
TOLD_REFUSALS = 10

Answer = tuple[bytes, str]


class Service:
    """Answers the requests of one process.

    `draining` makes every answer the last one of its connection. `ended` is called at the end of each connection.
    """

    def __init__(self, handler: InvocationHandler, settings: ServerSettings, metrics: ServingMetrics) -> None:
        self.handler, self.settings, self.metrics = handler, settings, metrics
        self.connections: set[Connection] = set()
        self.draining = False
        self.ended: Callable[[], None] = lambda: None
        self.date_line = _date_line()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._asked: list[tuple[Connection, Request, Matrix, str]] = []
        self._refusals = 0
        self._metrics_due = perf_counter() + metrics.interval
        handler.observe = metrics.predicted

    def invoke(self, request: Request) -> Answer:
        """The model's answer and its content type; raises RequestError for what the client has to mend."""
        return self.handler.answer(request.body, *self._types(request))

    def _types(self, request: Request) -> tuple[str, str]:
        headers = request.headers
        accept = headers.get(b"accept", b"").decode("latin-1")
        if accept.strip() in ("", "*/*"):
            accept = self.settings.default_accept
        return headers.get(b"content-type", b"").decode("latin-1"), accept

    def ask(self, connection: Connection, request: Request) -> Answer | None:
        """Have a request answered together with all that have come at the same time; one of many rows at once.

        Trees that are in the processor's cache answer the next row several times faster than the first one. Raises
        RequestError for what the client has to mend.
        """
        rows, media_type = self.handler.rows(request.body, *self._types(request))
        if len(rows) > TOGETHER_ROWS:
            return self._written(self.handler.predict(rows), media_type)
        self._asked.append((connection, request, rows, media_type))
        if len(self._asked) == 1:
            asyncio.get_running_loop().call_soon(self._answer_all)
        return None

    def _answer_all(self) -> None:
        asked, self._asked = self._asked, []
        try:
            if len(asked) == 1:
                predictions = [self.handler.predict(asked[0][2])]
            else:
                together = self.handler.predict(np.concatenate([rows for _, _, rows, _ in asked]))
                ends = accumulate(len(rows) for _, _, rows, _ in asked)
                predictions = [
                    together[end - len(rows) : end] for end, (_, _, rows, _) in zip(ends, asked, strict=True)
                ]
        except Exception as error:
            for connection, request, _, _ in asked:
                connection.answered(request, partial(_raise, error))
            return
        for found, (connection, request, _, media_type) in zip(predictions, asked, strict=True):
            connection.answered(request, partial(self._written, found, media_type))

    def _written(self, predictions: Any, media_type: str) -> Answer:
        body = write_predictions(predictions, media_type)
        self.metrics.predicted(predictions)
        return body, media_type

    def in_thread(self, request: Request, answered: Callable[[Request, asyncio.Future[Answer]], None]) -> None:
        """Invoke in a thread, and call `answered` in the loop."""
        future = asyncio.get_running_loop().run_in_executor(self._threads, self.invoke, request)
        future.add_done_callback(lambda done: answered(request, done))

    def other(self, request: Request) -> bytes:
        """The body of an answer to anything but an invocation."""
        try:
            path = httptools.parse_url(request.url).path
        except httptools.HttpParserInvalidURLError:
            raise RequestError(400, f"{request.url[:80]!r} is no path") from None
        if path == b"/ping":
            _only(request.method, "GET", "HEAD")
            return b""
        if path == b"/invocations":
            _only(request.method, "POST")
            raise RequestError(404, "/invocations takes no query")
        shown = (path or b"").decode("latin-1")
        raise RequestError(404, f"no path {shown}: /ping and /invocations are served")

    def reported(self, error: Exception, request: Request) -> RequestError:
        """What the client is told; the log has what happened, with the id that the caller gave the inference."""
        inference_id = request.headers.get(INFERENCE_ID, b"").decode("latin-1")
        place = f" (inference id {inference_id})" if inference_id else ""
        if isinstance(error, RequestError):
            self._refusals += 1
            if self._refusals <= TOLD_REFUSALS:
                print(f"refused with {error.status}{place}: {error.reason}", flush=True)
            return error
        print(f"failed{place}:", file=sys.stderr)
        traceback.print_exception(error)
        return RequestError(500, f"{type(error).__name__}: {error}")

    def sweep(self) -> None:
        """What is done every second: the date, the clients that are too slow, and the metrics when they are due."""
        now = perf_counter()
        self.date_line = _date_line()
        for connection in [each for each in self.connections if each.deadline < now]:
            connection.cut_off()
        if now >= self._metrics_due:
            self._metrics_due = now + self.metrics.interval
            self.write_metrics()

    def write_metrics(self) -> None:
        """Write what was counted to the log."""
        if self._refusals > TOLD_REFUSALS:
            print(f"refused {self._refusals - TOLD_REFUSALS} more requests", flush=True)
        self._refusals = 0
        for line in self.metrics.lines():
            print(line, flush=True)

    def drain(self) -> None:
        """Let every connection end with what it has begun."""
        self.draining = True
        for connection in list(self.connections):
            if connection.idle:
                connection.close()


def _raise(error: Exception) -> Answer:
    raise error


def _only(method: bytes, *allowed: str) -> None:
    name = method.decode("latin-1")
    if name not in allowed:
        raise RequestError(405, f"{name} isn't supported here: use {' or '.join(allowed)}")


def _date_line() -> bytes:
    return f"date: {formatdate(time.time(), usegmt=True)}\r\n".encode()
