"""Rates in progress lines."""

import pytest

from sadcl import progress
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


def test_items_of_several_units_count_as_many(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "LOG_SECONDS", -1.0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: False)
    assert list(progress.track([30, 70], "predicting", total=200, unit="photos", size=int)) == [30, 70]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  predicting: 30/200, ")
    assert second.startswith("  predicting: 100/200, ")
