"""Rates in progress lines."""

import pytest

from sadcl.progress import rate


@pytest.mark.parametrize(
    ("count", "seconds", "text"),
    [
        (12_000, 10, "1,200 photos/s"),
        (25, 10, "2.5 photos/s"),
        (10, 10, "1.0 photos/s"),
        (1, 15, "4.0 photos/min"),
        (1, 2400, "1.5 photos/h"),
        (1, 36_000, "0.1 photos/h"),
        (5, 0, "5,000,000,000 photos/s"),
    ],
)
def test_a_slow_rate_is_not_shown_as_zero(count: int, seconds: float, text: str) -> None:
    assert rate(count, seconds, "photos") == text
