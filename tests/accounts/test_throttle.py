"""Who is made to wait at the log-in, and who is not: whoever guesses slows himself, and nobody else for long."""

import pytest

from sadcl.accounts import throttle
from sadcl.accounts.throttle import BESIEGED, FORGOTTEN, FREE, LoginThrottle
from tests.review.conftest import Clock

HERE, TUNNEL = "10.0.0.1", "127.0.0.1"


@pytest.fixture
def door(clock: Clock) -> LoginThrottle:
    return LoginThrottle(clock)


def guess(door: LoginThrottle, name: str, times: int, address: str = TUNNEL) -> int:
    """Wrong passwords, another one each time; how long the last of them had to wait."""
    wait = 0
    for n in range(times):
        wait = door.begin(name, address, f"guess {n}")
        if not wait:
            door.failed(name, address, f"guess {n}")
    return wait


def log_in(door: LoginThrottle, name: str, password: str, address: str = TUNNEL) -> bool:
    """The right password; false where it has to wait."""
    if door.begin(name, address, password):
        return False
    door.succeeded(name, address, password)
    return True


def test_a_log_in_that_succeeded_before_does_not_wait_for_those_who_guess_at_the_name(door: LoginThrottle) -> None:
    assert log_in(door, "rita", "hers")
    assert guess(door, "rita", 20) == 15
    assert log_in(door, "rita", "hers")
    assert guess(door, "rita", 1) == 15
    assert not log_in(door, "rita", "new")


def test_a_name_is_not_guessed_at_faster_because_its_person_works_meanwhile(door: LoginThrottle) -> None:
    log_in(door, "rita", "hers")
    for _ in range(FREE["name"]):
        assert guess(door, "rita", 1) == 0
        assert log_in(door, "rita", "hers")
    assert guess(door, "rita", 1) > 0


def test_many_guesses_are_no_way_to_learn_which_password_passes(door: LoginThrottle, clock: Clock) -> None:
    log_in(door, "rita", "hers")
    guess(door, "rita", FREE["name"] + BESIEGED)
    assert not log_in(door, "rita", "hers")
    clock.now += FORGOTTEN
    assert log_in(door, "rita", "hers")


def test_guesses_from_an_address_that_waits_are_no_way_either(door: LoginThrottle) -> None:
    log_in(door, "rita", "hers", HERE)
    for n in range(FREE["address"]):
        guess(door, f"name {n}", 1, HERE)
    assert guess(door, "rita", BESIEGED, HERE) > 0
    assert not log_in(door, "rita", "hers", HERE)


def test_a_log_in_that_fails_is_known_no_longer(door: LoginThrottle) -> None:
    log_in(door, "rita", "old")
    assert door.begin("rita", TUNNEL, "old") == 0
    door.failed("rita", TUNNEL, "old")
    assert guess(door, "rita", FREE["name"]) > 0
    assert door.begin("rita", TUNNEL, "old") > 0


@pytest.mark.parametrize("address", [TUNNEL, HERE])
def test_requests_of_one_known_log_in_side_by_side_never_wait(door: LoginThrottle, address: str) -> None:
    log_in(door, "rita", "hers", address)
    assert [door.begin("rita", address, "hers") for _ in range(100)] == [0] * 100
    for _ in range(100):
        door.succeeded("rita", address, "hers")
    assert guess(door, "rita", FREE["name"], address) == 0


def test_first_requests_side_by_side_leave_no_failure_behind(door: LoginThrottle) -> None:
    begun = [door.begin("rita", HERE, "hers") for _ in range(FREE["name"])]
    for _ in begun:
        door.succeeded("rita", HERE, "hers")
    for n in range(FREE["address"]):
        assert guess(door, f"name {n}", 1, HERE) == 0
    assert door.begin("ron", HERE, "his") > 0


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_who_comes_through_a_tunnel_is_counted_by_name_alone(door: LoginThrottle, address: str) -> None:
    for n in range(3 * FREE["address"]):
        assert guess(door, f"name {n}", 1, address) == 0
    assert guess(door, "rita", FREE["name"] + 1, address) == 15


def test_what_nobody_could_decide_does_not_count(door: LoginThrottle) -> None:
    assert [door.begin("rita", HERE, "hers") for _ in range(6)] == [0] * 5 + [15]
    for _ in range(5):
        door.undecided("rita", HERE, "hers")
    assert door.begin("rita", HERE, "hers") == 0


def test_noise_does_not_wash_away_the_name_that_somebody_guesses_at(
    door: LoginThrottle, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST", 100)
    guess(door, "rita", FREE["name"])
    for n in range(1000):
        clock.now += 0.001
        guess(door, f"noise {n}", 1)
    assert guess(door, "rita", 1) > 0
    assert len(door._failures) <= 100


def test_what_is_forgotten_makes_room_first(door: LoginThrottle, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "MOST", 100)
    for n in range(99):
        guess(door, f"old {n}", 5)
    clock.now += FORGOTTEN
    guess(door, "rita", 3)
    for n in range(50):
        guess(door, f"noise {n}", 5)
    assert guess(door, "rita", 3) > 0
