"""Lines whose time is earlier than that of the line before."""

from sadcl.registry.audit import clock


def test_a_clock_that_went_back_is_mentioned_at_its_line() -> None:
    times = ["2026-01-01T10:00:00+00:00", "2026-01-01T09:00:00.500+00:00", "2026-01-01T09:00:00+00:00", None, "x",
             "2026-01-01T09:30:00", "2026-01-01T08:00:00+00:00"]  # fmt: skip
    notes = clock.notes([{"time": time} for time in times])
    assert [bool(note) for note in notes] == [False, True, False, False, False, False, True]
    assert "went back by 1 h 00 min" in notes[1]
