"""In which unit a nonce counts, by its size."""

from __future__ import annotations

import pytest

from krakenonce.doctor.units import UNITS, unit_of, units_between

NOW = 1_796_000_000.0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_each_unit_is_known_by_its_size(unit: object) -> None:
    """Also with a clock that is wrong by a month."""
    found = next(each for each in UNITS if each is unit)
    for wrong in (-30, 0, 30):
        assert unit_of(int(found.at(NOW + wrong * 86_400)), NOW) is found


def test_a_nonce_that_fits_no_unit_has_none() -> None:
    """One that simply counts, for example."""
    assert unit_of(12_345, NOW) is None


def test_what_lies_between_two_nonces() -> None:
    """Nanoseconds of a right clock are not above nanoseconds of a right clock."""
    nano = int(NOW * 1e9)
    assert [unit.name for unit in units_between(nano, int(NOW * 1.024e9) + 5, NOW)] == ["microseconds times 1024"]
    assert units_between(int(NOW * 1.1e9), 2**63, NOW) == []
