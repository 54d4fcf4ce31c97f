"""How text in a request becomes a number: encoders that models name in their `ENCODERS`.

They are here, not in a model, so that models that read the same dataset read a code alike.
"""

from __future__ import annotations


def iata_number(code: str) -> float:
    """An IATA code as a number: its value in base 36, so that no table has to be shipped.

    No two codes of the same length collide, as airlines have two characters and airports three, and a 32-bit float
    holds each exactly. Raises ValueError for anything but two or three letters or digits.
    """
    text = code.strip().upper()
    if not (2 <= len(text) <= 3 and text.isascii() and text.isalnum()):
        raise ValueError(f"{code!r} is no IATA code of two or three letters or digits")
    return float(int(text, 36))
