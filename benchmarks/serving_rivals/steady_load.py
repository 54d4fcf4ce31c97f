"""So many requests a second to an endpoint of a local AWS, until it is terminated.

    python steady_load.py <port> <endpoint> <file with the body> <rate> <file for the answers>

A line for each request: when it was sent (seconds since 1970), the status of its answer, 0 when there was none, and the
milliseconds that it took. Each is sent at its time, over a free connection or a new one, whether or not those before
were answered: a server that stops is noticed by all that come meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import uvloop

PATIENCE_SECONDS = 60.0
HOST = "127.0.0.1"


class Connections:
    """Connections that are kept, and requests over them."""

    def __init__(self, port: int, request: bytes, answers: TextIO) -> None:
        self._port, self._request, self._answers = port, request, answers
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self) -> None:
        """Send a request, and write down what came of it."""
        began, sent = time.perf_counter(), time.time()
        status = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError, TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                status = await self._answer()
        self._answers.write(f"{sent:.4f},{status},{1000 * (time.perf_counter() - began):.2f}\n")

    async def _answer(self) -> int:
        reader, writer = self._free.pop() if self._free else await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(self._request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
            await reader.readexactly(int(fields[b"content-length"]))
        except BaseException:
            writer.close()
            raise
        if fields.get(b"connection", b"").strip() == b"close":
            writer.close()
        else:
            self._free.append((reader, writer))
        return int(head.split(b" ", 2)[1])


async def run(connections: Connections, rate: float) -> None:
    """Send at the rate until SIGTERM, and wait for what is on its way."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    asked: set[asyncio.Task[None]] = set()
    due = time.perf_counter()
    while not ended.is_set():
        while due <= time.perf_counter():
            task = asyncio.ensure_future(connections.ask())
            asked.add(task)
            task.add_done_callback(asked.discard)
            due += 1 / rate
        await asyncio.sleep(max(due - time.perf_counter(), 0))
    if asked:
        await asyncio.wait(asked, timeout=10)


def main() -> None:
    """Send, and write the answers."""
    port, endpoint, body, rate, answers = sys.argv[1:]
    content = Path(body).read_bytes()
    scope = "local/20130101/us-east-1/sagemaker/aws4_request"
    head = (
        f"POST /endpoints/{endpoint}/invocations HTTP/1.1\r\nHost: {HOST}:{port}\r\nContent-Type: text/csv\r\n"
        f"Authorization: AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    with Path(answers).open("w", encoding="utf-8") as file:
        uvloop.run(run(Connections(int(port), head.encode() + content, file), float(rate)))


if __name__ == "__main__":
    main()
