"""Throttle of log-ins: an attacker slows only himself down."""

import pytest

from sadcl.accounts import throttle
from sadcl.accounts.throttle import BESIEGED, FORGOTTEN, FREE, LoginThrottle

HERE, TUNNEL = "10.0.0.1", "127.0.0.1"


class Clock:
    """Seconds that a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def logins(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock)


def guess(logins: LoginThrottle, name: str, times: int, address: str = TUNNEL) -> int:
    """Try wrong passwords, another one each time; seconds that the last of them had to wait."""
    wait = 0
    for n in range(times):
        wait = logins.begin(name, address, f"guess {n}")
        if not wait:
            logins.failed(name, address, f"guess {n}")
    return wait


def log_in(logins: LoginThrottle, name: str, password: str, address: str = TUNNEL) -> bool:
    """Try the right password; false where it has to wait."""
    if logins.begin(name, address, password):
        return False
    logins.succeeded(name, address, password)
    return True


def test_known_log_in_passes_while_others_guess_at_its_name(logins: LoginThrottle) -> None:
    assert log_in(logins, "rita", "hers")
    assert guess(logins, "rita", 20) == 15
    assert log_in(logins, "rita", "hers")
    assert guess(logins, "rita", 1) == 15
    assert not log_in(logins, "rita", "new")


def test_traffic_of_the_owner_does_not_speed_up_guessing(logins: LoginThrottle) -> None:
    log_in(logins, "rita", "hers")
    for _ in range(FREE["name"]):
        assert guess(logins, "rita", 1) == 0
        assert log_in(logins, "rita", "hers")
    assert guess(logins, "rita", 1) > 0


def test_known_log_in_waits_too_after_many_refused_guesses(logins: LoginThrottle, clock: Clock) -> None:
    log_in(logins, "rita", "hers")
    guess(logins, "rita", FREE["name"] + BESIEGED)
    assert not log_in(logins, "rita", "hers")
    clock.now += FORGOTTEN
    assert log_in(logins, "rita", "hers")


def test_known_log_in_waits_too_after_many_refused_guesses_from_one_address(logins: LoginThrottle) -> None:
    log_in(logins, "rita", "hers", HERE)
    for n in range(FREE["address"]):
        guess(logins, f"name {n}", 1, HERE)
    assert guess(logins, "rita", BESIEGED, HERE) > 0
    assert not log_in(logins, "rita", "hers", HERE)


def test_failed_log_in_is_known_no_longer(logins: LoginThrottle) -> None:
    log_in(logins, "rita", "old")
    assert logins.begin("rita", TUNNEL, "old") == 0
    logins.failed("rita", TUNNEL, "old")
    assert guess(logins, "rita", FREE["name"]) > 0
    assert logins.begin("rita", TUNNEL, "old") > 0


@pytest.mark.parametrize("address", [TUNNEL, HERE])
def test_parallel_requests_of_a_known_log_in_never_wait(logins: LoginThrottle, address: str) -> None:
    log_in(logins, "rita", "hers", address)
    assert [logins.begin("rita", address, "hers") for _ in range(100)] == [0] * 100
    for _ in range(100):
        logins.succeeded("rita", address, "hers")
    assert guess(logins, "rita", FREE["name"], address) == 0


def test_parallel_first_requests_leave_no_failure(logins: LoginThrottle) -> None:
    waits = [logins.begin("rita", HERE, "hers") for _ in range(FREE["name"])]
    for _ in waits:
        logins.succeeded("rita", HERE, "hers")
    for n in range(FREE["address"]):
        assert guess(logins, f"name {n}", 1, HERE) == 0
    assert logins.begin("ron", HERE, "his") > 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_loopback_addresses_are_counted_by_name_alone(logins: LoginThrottle, address: str) -> None:
    for n in range(3 * FREE["address"]):
        assert guess(logins, f"name {n}", 1, address) == 0
    assert guess(logins, "rita", FREE["name"] + 1, address) == 15


def test_parallel_first_requests_of_one_log_in_never_wait(logins: LoginThrottle) -> None:
    assert [logins.begin("rita", HERE, "hers") for _ in range(100)] == [0] * 100
    for _ in range(100):
        logins.succeeded("rita", HERE, "hers")
    assert guess(logins, "rita", FREE["name"], HERE) == 0
    assert guess(logins, "rita", 1, HERE) > 0


def test_parallel_guesses_get_no_more_tries(logins: LoginThrottle) -> None:
    waits = [logins.begin("rita", TUNNEL, f"guess {n}") for n in range(3 * FREE["name"])]
    assert waits.count(0) == FREE["name"]


def test_one_wrong_log_in_many_times_at_once_counts_once(logins: LoginThrottle) -> None:
    for _ in range(20):
        assert logins.begin("rita", TUNNEL, "wrong") == 0
    logins.undecided("rita", TUNNEL, "wrong")
    for _ in range(19):
        logins.failed("rita", TUNNEL, "wrong")
    assert guess(logins, "rita", FREE["name"] - 1) == 0
    assert guess(logins, "rita", 1) == 15


def test_undecided_attempts_do_not_count(logins: LoginThrottle) -> None:
    assert [logins.begin("rita", HERE, f"hers {n}") for n in range(6)] == [0] * 5 + [15]
    for n in range(5):
        logins.undecided("rita", HERE, f"hers {n}")
    assert logins.begin("rita", HERE, "hers") == 0


def test_flood_of_names_does_not_push_out_the_guessed_name(
    logins: LoginThrottle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST", 100)
    guess(logins, "rita", FREE["name"])
    for n in range(1000):
        clock.now += 0.001
        guess(logins, f"noise {n}", 1)
    assert guess(logins, "rita", 1) > 0
    assert len(logins._failures) <= 100


def test_expired_failures_are_dropped_first(
    logins: LoginThrottle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST", 100)
    for n in range(99):
        guess(logins, f"old {n}", 5)
    clock.now += FORGOTTEN
    guess(logins, "rita", 3)
    for n in range(50):
        guess(logins, f"noise {n}", 5)
    assert guess(logins, "rita", 3) > 0
