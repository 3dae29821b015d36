"""Claims of trials: late results, trials that were cut off, and an end that waits for other machines."""

import os
import socket
import time
from itertools import count
from pathlib import Path

import pytest
from optuna.trial import TrialState

from sadcl import params, processes
from sadcl.errors import SadclError
from sadcl.tuning import claims, search, storage, study
from tests.tuning.projects import ELSEWHERE, give_to_a_silent_machine, opened, small


@pytest.mark.parametrize("reports", [True, False])
def test_a_late_result_is_dropped_and_the_search_goes_on(
    reports: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings, shared = opened(small(tmp_path), 2)
    calls: list[float] = []

    def sleeps_once(settings: params.Params, report: search.Report) -> float:
        calls.append(settings.train.lr)
        if len(calls) > 1:
            return 50.0
        give_to_a_silent_machine(shared)
        with shared.lock():
            claims.take_back(shared)
        if reports:
            report(0, 99.0)
            pytest.fail("the training should end at its next report")
        return 99.0

    search.search(shared, settings, sleeps_once, tmp_path)
    assert [trial.state.name for trial in shared.study.trials] == ["FAIL", "COMPLETE", "COMPLETE"]
    assert calls[0] == calls[1] != calls[2]
    assert shared.study.best_value == 50.0
    assert capfd.readouterr().out.count("trial 0: dropped; after 5 min 00 s without a sign of life") == 1


def test_a_live_trial_of_this_machine_is_left_alone_without_a_sign_of_life(tmp_path: Path) -> None:
    """After this machine has slept, all its processes look silent until their next sign of life."""
    settings, shared = opened(small(tmp_path), 1)
    calls, another = count(), processes.process_id(os.getppid())

    def slept(settings: params.Params, report: search.Report) -> float:
        assert next(calls) == 0
        give_to_a_silent_machine(shared)
        [trial] = shared.study.get_trials(states=(TrialState.RUNNING,))
        shared.storage.set_trial_user_attr(trial._trial_id, claims.PROCESS, [socket.gethostname(), another])
        with shared.lock():
            claims.take_back(shared)
        return 50.0

    search.search(shared, settings, slept, tmp_path)
    assert [trial.state for trial in shared.study.trials] == [TrialState.COMPLETE]


def test_a_study_that_is_deleted_meanwhile_ends_the_search_in_a_sentence(tmp_path: Path) -> None:
    settings, shared = opened(small(tmp_path))

    def deletes(settings: params.Params, report: search.Report) -> float:
        shared.storage.delete_study(shared.study._study_id)
        return 50.0

    with pytest.raises(SadclError, match=r"was deleted .* Run `sadcl tune`"):
        search.search(shared, settings, deletes, tmp_path)


def test_a_running_trial_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "HEARTBEAT", 0.05)
    settings, shared = opened(small(tmp_path), 1)

    def trains(settings: params.Params, report: search.Report) -> float:
        give_to_a_silent_machine(shared)
        while shared.storage._get_stale_trial_ids(shared.study._study_id):
            time.sleep(0.05)
        return 50.0

    search.search(shared, settings, trains, tmp_path)
    assert [trial.state for trial in shared.study.trials] == [TrialState.COMPLETE]


def test_a_claim_that_was_cut_off_takes_no_place(tmp_path: Path) -> None:
    settings, shared = opened(small(tmp_path), 2)
    with storage.silence_warnings():
        shared.study.ask()  # a process that is killed before it wrote its name
        shared.study.ask()
    search.search(shared, settings, lambda settings, report: settings.train.lr, tmp_path)
    complete = shared.study.get_trials(states=(TrialState.COMPLETE,))
    assert len(complete) == 2
    assert complete[0].params["train.lr"] == settings.train.lr, "the present settings are not lost"


def test_a_claim_that_failed_half_way_is_repeated(tmp_path: Path) -> None:
    """An outage of the storage may come before a claim is complete."""
    settings, shared = opened(small(tmp_path), 1)
    lost, repeated = claims.claim(shared, settings.tune.space), claims.claim(shared, settings.tune.space)
    assert lost is not None
    assert repeated is not None
    assert repeated[1] == lost[1]
    assert claims.counted_trials(shared.study) == 1


def test_an_interrupted_trial_is_run_again_three_times_at_most(tmp_path: Path) -> None:
    settings, shared = opened(small(tmp_path), 1)
    for _ in range(1 + claims.RETRIES):
        claimed = claims.claim(shared, settings.tune.space)
        assert claimed is not None
        assert claimed[1]["train.lr"] == settings.train.lr
        give_to_a_silent_machine(shared)
    with shared.lock():
        claims.take_back(shared)
    assert [trial.state for trial in shared.study.trials] == [TrialState.FAIL] * (1 + claims.RETRIES)


def test_a_search_waits_for_other_machines_and_takes_over_what_they_lose(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, shared = opened(small(tmp_path), 1)
    claimed = claims.claim(shared, settings.tune.space)
    assert claimed is not None
    claimed[0].set_user_attr(claims.PROCESS, ELSEWHERE)
    # in place of the wait: the other machine goes silent
    monkeypatch.setattr(claims.time, "sleep", lambda _: give_to_a_silent_machine(shared))
    assert claims.wait_for_others(shared)
    assert "waiting for 1 trial on elsewhere" in capfd.readouterr().out
    search.search(shared, settings, lambda settings, report: 50.0, tmp_path)
    assert not claims.wait_for_others(shared)


def test_a_search_for_fewer_trials_waits_for_those_that_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, shared = opened(small(tmp_path), 2)
    for _ in range(2):
        claimed = claims.claim(shared, settings.tune.space)
        assert claimed is not None
        claimed[0].set_user_attr(claims.PROCESS, ELSEWHERE)
    study.begin(shared, settings, 1, {}, tmp_path)

    def finish(_: float) -> None:
        """The other machine finishes one trial, in place of the wait."""
        [*_, last] = shared.study.get_trials(states=(TrialState.RUNNING,))
        shared.study.tell(last.number, 50.0)

    monkeypatch.setattr(claims.time, "sleep", finish)
    assert not claims.wait_for_others(shared)
    assert [trial.state for trial in shared.study.trials] == [TrialState.COMPLETE] * 2
