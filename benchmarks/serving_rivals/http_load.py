"""Load over HTTP, where `wrk` isn't installed: so many connections that each send the next request after an answer.

    python http_load.py <port> <file with the body> <connections> <seconds>

Prints JSON: requests per second, percentiles of the time in milliseconds, and errors. It is a process of its own, and
takes about as much of a core for a request as the fastest of the servers, so that it understates those.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from time import perf_counter
from typing import cast

import uvloop


class Client(asyncio.Protocol):
    """One connection; `latencies` and `errors` are shared with the others."""

    def __init__(self, request: bytes, latencies: list[float], errors: list[str], until: float) -> None:
        self._request, self._latencies, self._errors, self._until = request, latencies, errors, until
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._sent = 0.0
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._sent = perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, and send the next request once it is whole."""
        self._received = received = self._received + data if self._received else data
        end = received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = received[:end].lower()
        start = head.find(b"content-length:") + 15
        length = int(head[start:].split(b"\r\n", 1)[0])
        if len(received) < end + 4 + length:
            return
        self._received = b""
        now = perf_counter()
        if received[9:12] == b"200":
            self._latencies.append(now - self._sent)
        else:
            self._errors.append(received[:300].decode("latin-1"))
        if now < self._until:
            self._send()
        else:
            assert self._transport is not None
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End; an error unless the time is over."""
        if perf_counter() < self._until:
            self._errors.append(f"connection lost: {exc}")
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, body: bytes, connections: int, seconds: float) -> dict[str, object]:
    """Send requests until the time is over."""
    lines = ("POST /invocations HTTP/1.1", "Host: localhost", "Content-Type: text/csv", f"Content-Length: {len(body)}")
    head = "\r\n".join(lines) + "\r\n\r\n"
    latencies: list[float] = []
    errors: list[str] = []
    began = perf_counter()
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(
            lambda: Client(head.encode() + body, latencies, errors, began + seconds), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.wait([client.done for client in clients], timeout=seconds + 30)
    taken = perf_counter() - began
    ordered = sorted(latencies) or [float("nan")]
    return {
        "rps": len(latencies) / taken,
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1000,
        "errors": len(errors) + sum(not client.done.done() for client in clients),
        "first_error": errors[0] if errors else None,
    }


if __name__ == "__main__":
    port, file, connections, seconds = sys.argv[1:]
    print(json.dumps(uvloop.run(load(int(port), Path(file).read_bytes(), int(connections), float(seconds)))))
