"""Codes become numbers without a table, and no two of them the same."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from model_runtime.encoders import iata_number

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@pytest.mark.parametrize(("code", "number"), [("9E", 338), ("ua", 1090), (" EWR ", 19323)])
def test_codes_become_their_base_36_value(code: str, number: int) -> None:
    assert iata_number(code) == number


@pytest.mark.parametrize("code", ["", "U", "EWRX", "U-", "é9"])
def test_what_is_no_code_is_refused_by_name(code: str) -> None:
    with pytest.raises(ValueError, match="no IATA code"):
        iata_number(code)


@pytest.mark.parametrize("length", [2, 3])
def test_no_two_codes_of_one_length_become_the_same_number_even_in_32_bits(length: int) -> None:
    codes = ["".join(letters) for letters in product(CHARACTERS, repeat=length)]
    numbers = [iata_number(code) for code in codes]
    assert len(set(numbers)) == len(codes) == 36**length
    assert np.array_equal(np.array(numbers, dtype=np.float32), np.array(numbers))
