"""What a client is told when its request can't be answered."""

from __future__ import annotations


class RequestError(Exception):
    """A request that can't be answered; becomes a response with the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
