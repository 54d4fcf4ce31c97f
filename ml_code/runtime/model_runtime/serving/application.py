"""The two paths of the container contract, `/ping` and `/invocations`, as a plain ASGI application."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from model_runtime.serving.errors import RequestError
from model_runtime.serving.handler import InvocationHandler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MEBIBYTE = 1024 * 1024
# Above this size, or with a model's own functions, a request is answered in a thread, so that /ping and short
# requests don't wait for it.
LONG_BODY_BYTES = 16 * 1024


class Application:
    """Answers for one loaded model; `max_body_bytes` bounds what a request may send (else 413)."""

    def __init__(self, handler: InvocationHandler, max_body_bytes: int, default_accept: str = "") -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._default_accept = default_accept

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI entry; only HTTP is spoken."""
        if scope["type"] != "http":
            raise RuntimeError(f"unexpected protocol {scope['type']}")
        try:
            status, body, content_type = await self._respond(scope, receive)
        except RequestError as error:
            status, body, content_type = error.status, _error_body(error.reason), "application/json"
        except Exception as error:
            traceback.print_exc()
            status, body, content_type = 500, _error_body(f"{type(error).__name__}: {error}"), "application/json"
        headers = [(b"content-type", content_type.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _respond(self, scope: MutableMapping[str, Any], receive: Receive) -> tuple[int, bytes, str]:
        path, method = scope["path"], scope["method"]
        if path == "/invocations":
            _only(method, "POST")
            headers = _chosen_headers(scope["headers"])
            body = await self._body(headers.get(b"content-length", ""), receive)
            content_type = headers.get(b"content-type", "")
            accept = headers.get(b"accept", "")
            if accept.strip() in ("", "*/*"):
                accept = self._default_accept
            if len(body) <= LONG_BODY_BYTES and not self._handler.has_own_steps:
                answer, media_type = self._handler.answer(body, content_type, accept)
            else:
                answer, media_type = await asyncio.to_thread(self._handler.answer, body, content_type, accept)
            return 200, answer, media_type
        if path == "/ping":
            _only(method, "GET", "HEAD")
            return 200, b"", "application/json"
        raise RequestError(404, f"no path {path}: /ping and /invocations are served")

    async def _body(self, length: str, receive: Receive) -> bytes:
        if length.isdigit() and int(length) > self._max_body_bytes:
            raise self._too_long()
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RequestError(400, "the client went away before it had sent its body")
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_body_bytes:
                raise self._too_long()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_long(self) -> RequestError:
        return RequestError(413, f"the body may have {self._max_body_bytes / MEBIBYTE:g} MiB at most")


def _only(method: str, *allowed: str) -> None:
    if method not in allowed:
        raise RequestError(405, f"{method} isn't supported here: use {' or '.join(allowed)}")


def _chosen_headers(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, str]:
    return {
        name: value.decode("latin-1")
        for name, value in headers
        if name in (b"content-type", b"accept", b"content-length")
    }


def _error_body(reason: str) -> bytes:
    return json.dumps({"error": reason}).encode()
