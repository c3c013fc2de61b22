from tests.order import Issue, violations


def test_rising_numbers_are_in_order() -> None:
    """Calls one after the other, with rising numbers, are fine."""
    assert violations([Issue(1, 2, 10), Issue(3, 4, 11), Issue(5, 6, 20)]) == []


def test_calls_at_the_same_time_may_get_numbers_in_any_order() -> None:
    """Whoever overlaps has no claim."""
    assert violations([Issue(1, 9, 12), Issue(2, 8, 11), Issue(3, 7, 10)]) == []


def test_a_number_issued_twice_is_found() -> None:
    """Also when the two calls overlap."""
    assert len(violations([Issue(1, 9, 10), Issue(2, 8, 10)])) == 1


def test_a_smaller_number_after_a_larger_answer_is_found() -> None:
    """B was asked for after A was answered, and B is not larger."""
    (wrong,) = violations([Issue(1, 2, 10, "a"), Issue(3, 4, 9, "b"), Issue(5, 6, 11, "a")])
    assert "out of order" in wrong
    assert "'b'" in wrong
