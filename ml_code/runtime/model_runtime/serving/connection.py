"""One connection of a client: HTTP/1.1 parsed by httptools, answered in order, cut off when it takes too long.

A general server would put a request into an ASGI scope, hand it to a task and take the answer from its messages. Here
is one application with two paths, and most answers take less time than that way round: so the parser's last callback
asks, and all that came at once is asked in one. What takes longer goes to a thread, and the connection isn't read
meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple, cast

import httptools

from model_runtime.serving.errors import RequestError

if TYPE_CHECKING:
    from model_runtime.serving.service import Service

MEBIBYTE = 1024 * 1024
# Above this size, or with a model's own functions, a request is answered in a thread, so that /ping and short
# requests don't wait for it.
LONG_BODY_BYTES = 16 * 1024
# Longer than a caller's pool keeps an idle connection, so that none is closed under a request.
KEEP_ALIVE_SECONDS = 75
HEAD_SECONDS = 10
# How long what a refused client still sends is read and dropped: closing at once would take the answer from it.
LINGER_SECONDS = 10
MOST_HEAD_BYTES = 64 * 1024
# So many requests of one client wait for their answers before no more are read.
MOST_WAITING = 32

INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
_JSON = "application/json"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


class Request(NamedTuple):
    """A request; `began` is when its first byte was parsed, `keep` whether the connection stays.

    With a `refusal` it wasn't read to its end.
    """

    method: bytes
    url: bytes
    headers: dict[bytes, bytes]
    body: bytes
    began: float
    keep: bool
    refusal: RequestError | None = None


class Connection(asyncio.Protocol):
    """Answers one client's requests by the service's model.

    `deadline` is when the client will have taken too long for what it does now, by the clock of `perf_counter`.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Request] = deque()
        self._receiving = self._in_head = self._busy = self._blocked = self._paused = False
        self._deaf = False  # what still comes is dropped: the connection ends with the answers that are due
        self._url, self._headers, self._chunks = b"", {}, []  # type: tuple[bytes, dict[bytes, bytes], list[bytes]]
        self._head_bytes = self._body_bytes = 0
        self._began = perf_counter()
        self.deadline = self._began + HEAD_SECONDS

    @property
    def idle(self) -> bool:
        """Whether nothing of a request has come that isn't answered."""
        return not (self._receiving or self._busy or self._waiting)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the client."""
        self._transport = cast(asyncio.Transport, transport)
        self._service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        del exc
        self._transport = None
        self._waiting.clear()
        self._service.connections.discard(self)
        self._service.ended()

    def pause_writing(self) -> None:
        """Read nothing more from a client that doesn't take its answers."""
        self._blocked = True
        self.deadline = perf_counter() + self._service.settings.client_seconds
        self._pause()

    def resume_writing(self) -> None:
        """Go on reading."""
        self._blocked = False
        self.deadline = perf_counter() + KEEP_ALIVE_SECONDS
        self._go_on()

    def data_received(self, data: bytes) -> None:
        """Parse what came, and answer each request that is whole with it."""
        if self._deaf:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._deaf = True  # the request was answered as it stands: nothing else than HTTP/1.1 is spoken here
        except httptools.HttpParserError as error:
            self._refuse(RequestError(400, f"the request is not HTTP/1.1: {error}"))
        else:
            if self._in_head:  # the parser keeps a header to itself until it is whole
                self._head_bytes += len(data)
                if self._head_bytes > MOST_HEAD_BYTES:
                    self._refuse(RequestError(431, f"the head may have {MOST_HEAD_BYTES // 1024} KiB at most"))

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._receiving = self._in_head = True
        self._url, self._headers, self._chunks = b"", {}, []
        self._head_bytes = self._body_bytes = 0
        self._began = perf_counter()
        self._wait_until(self._began + HEAD_SECONDS)

    def _wait_until(self, deadline: float) -> None:
        if not (self._busy or self._blocked):  # else the client waits, or the deadline is that of taking its answers
            self.deadline = deadline

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Refuse a body that says itself that it is too long, before it comes."""
        self._in_head = False
        if self._deaf:
            return
        length = self._headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self._service.settings.max_body_bytes:
            self._refuse(self._too_long())
            return
        self._wait_until(self._began + self._service.settings.client_seconds)
        expect = self._headers.get(b"expect")
        if expect and expect.lower() == b"100-continue" and self._transport is not None and not self._busy:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._deaf:
            return
        self._body_bytes += len(body)
        if self._body_bytes > self._service.settings.max_body_bytes:
            self._refuse(self._too_long())
            return
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """Answer, or let the request wait for those before it."""
        if self._deaf:
            return
        self._receiving = False
        keep = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        if b"connection" in self._headers and self._parser.get_http_version() == "1.0":
            keep = False  # it would have to be told that it may stay
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        request = Request(self._parser.get_method(), self._url, self._headers, body, self._began, keep)
        self._take(request)

    def _take(self, request: Request) -> None:
        if self._busy or self._blocked or self._waiting:
            self._waiting.append(request)
            if len(self._waiting) >= MOST_WAITING:
                self._pause()
        else:
            self._answer(request)

    def _answer(self, request: Request) -> None:
        service = self._service
        try:
            if request.refusal is not None:
                raise request.refusal
            if request.url == b"/invocations" and request.method == b"POST":
                if len(request.body) > LONG_BODY_BYTES or service.handler.has_own_steps:
                    self._answer_in_thread(request)
                else:
                    answer = service.ask(self, request)
                    if answer is None:
                        self._busy = True
                    else:
                        self._respond(request, 200, *answer)
            else:
                self._respond(request, 200, service.other(request), _JSON)
        except Exception as error:
            self._respond_error(request, error)

    def _answer_in_thread(self, request: Request) -> None:
        self._busy = True
        self.deadline = math.inf
        self._pause()
        self._service.in_thread(request, self._answered_in_thread)

    def _answered_in_thread(self, request: Request, done: asyncio.Future[tuple[bytes, str]]) -> None:
        self.answered(request, done.result)

    def answered(self, request: Request, answer: Callable[[], tuple[bytes, str]]) -> None:
        """Respond with what `answer` gives, or with what it raises, and go on with the requests that wait."""
        self._busy = False
        if self._transport is None:
            return
        try:
            self._respond(request, 200, *answer())
        except Exception as error:
            self._respond_error(request, error)
        self._go_on()

    def _go_on(self) -> None:
        """Answer what waits, and read on once nothing does."""
        while self._waiting and not (self._busy or self._blocked):
            self._answer(self._waiting.popleft())
        if self._paused and not (self._waiting or self._busy or self._blocked) and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
            if self._receiving:
                self.deadline = perf_counter() + self._service.settings.client_seconds

    def _pause(self) -> None:
        if self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _respond_error(self, request: Request, error: Exception) -> None:
        reported = self._service.reported(error, request)
        self._respond(request, reported.status, _error_body(reported.reason), _JSON)

    def _respond(self, request: Request, status: int, body: bytes, content_type: str) -> None:
        transport, service = self._transport, self._service
        if transport is None:
            return
        keep = request.keep and not service.draining
        more = b"" if keep else b"connection: close\r\n"
        inference_id = request.headers.get(INFERENCE_ID)
        if inference_id is not None:
            more += INFERENCE_ID + b": " + inference_id + b"\r\n"
        head = b"%scontent-type: %s\r\ncontent-length: %d\r\n%s%s\r\n" % (
            _STATUS_LINES[status],
            content_type.encode("latin-1"),
            len(body),
            more,
            service.date_line,
        )
        transport.write(head if request.method == b"HEAD" else head + body)
        now = perf_counter()
        if request.url == b"/invocations":
            service.metrics.answered(status, now - request.began)
        if keep:
            self._wait_until(now + KEEP_ALIVE_SECONDS)
        elif request.refusal is None:
            self._waiting.clear()
            self.close()
        else:
            self.deadline = now + LINGER_SECONDS
            transport.write_eof()

    def _refuse(self, error: RequestError) -> None:
        """Answer a request that isn't read to its end, after those before it, and read no further one."""
        self._deaf = True
        self._receiving = False
        method = b"" if error.status == 400 else self._parser.get_method()
        request = Request(method, self._url, self._headers, b"", self._began, keep=False, refusal=error)
        self._take(request)

    def _too_long(self) -> RequestError:
        most = self._service.settings.max_body_bytes / MEBIBYTE
        return RequestError(413, f"the body may have {most:g} MiB at most")

    def close(self) -> None:
        """Close the connection once what was written is sent, or can't be for too long."""
        self._deaf = True
        self.deadline = perf_counter() + LINGER_SECONDS
        if self._transport is not None:
            self._transport.close()

    def cut_off(self) -> None:
        """The deadline has passed."""
        if self._transport is None or (self._busy and not self._blocked):
            return
        if self._blocked or self._deaf:
            self._transport.abort()
        elif self._receiving:
            self._refuse(RequestError(408, "the request didn't come whole in time"))
        else:
            self.close()


def _error_body(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()
