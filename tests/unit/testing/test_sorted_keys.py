from __future__ import annotations

import random
from decimal import Decimal

from krakenonce.testing.sorted_keys import SortedKeys


def test_keys_are_in_order_whatever_comes_and_goes() -> None:
    """It says what sorting says, through many additions and removals; it is empty at the end."""
    chance, keys, there = random.Random(7), SortedKeys(), set[Decimal]()
    for _ in range(6000):
        key = Decimal(chance.randrange(4000)) / 10
        if key in there:
            there.remove(key)
            keys.remove(key)
        else:
            there.add(key)
            keys.add(key)
    assert (list(keys), keys.first) == (sorted(there), min(there))
    for key in chance.sample(sorted(there), len(there)):
        keys.remove(key)
    assert (list(keys), keys.first) == ([], None)


def test_no_list_becomes_long() -> None:
    """A new key moves the keys of one short list only, also if the keys come in their order."""
    keys = SortedKeys()
    for number in range(5000):
        keys.add(Decimal(number))
    assert max(len(each) for each in keys._lists) <= 512
    assert len(keys._lists) < 30
