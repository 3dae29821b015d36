"""Notifications reach a receiver, wait for one that is down, and hinder nothing."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sadcl import files, layout
from sadcl.errors import SadclError
from sadcl.project import notifications
from sadcl.services import free_port
from tests.receivers import Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        yield server


def store_notification(root: Path, title: str = "a run failed", body: str = "No photos.") -> None:
    """A notification that waits, without a process that delivers it."""
    item = notifications.Notification(title=title, body=body, kind="failure", time="2026-11-23T03:00:00+00:00")
    files.write_json(root / layout.NOTIFICATIONS / f"{title}.json", item.model_dump())


def waiting(root: Path) -> list[Path]:
    return list((root / layout.NOTIFICATIONS).glob("*.json"))


def test_a_notification_reaches_its_receiver_from_a_process_of_its_own(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, receiver.address)
    notifications.notify(tmp_path, "sadcl: retraining completed", "x" * 5000, "success")
    deadline = time.monotonic() + 120
    while waiting(tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (message,) = receiver.received
    assert (message["title"], message["type"]) == ("sadcl: retraining completed", "success")
    assert len(message["message"]) < 2000
    assert notifications.describe(tmp_path) == []


def test_without_an_address_nothing_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(notifications.VARIABLE, raising=False)
    notifications.notify(tmp_path, "sadcl", "text", "info")
    assert not waiting(tmp_path)


def test_a_receiver_that_is_down_gets_it_later_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with Receiver() as other:
        down = f"json://user:secret@127.0.0.1:{port}"
        monkeypatch.setenv(notifications.VARIABLE, f"{down} {other.address}")
        store_notification(tmp_path)
        assert not notifications.deliver(tmp_path, pauses=[0.01, 0.01])
        (sentence,) = notifications.describe(tmp_path)
        assert (
            "1 notification could not be delivered, the first of 2026-11-23T03:00:00+00:00 (a run failed)" in sentence
        )
        assert f"127.0.0.1:{port}" in sentence
        assert "secret" not in sentence + waiting(tmp_path)[0].read_text()
        with Receiver(port) as back:
            store_notification(tmp_path, "another")
            assert notifications.deliver(tmp_path, pauses=[])
            assert sorted(message["title"] for message in back.received) == ["a run failed", "another"]
        assert [message["title"] for message in other.received] == ["a run failed", "another"]
    assert not waiting(tmp_path)
    assert notifications.describe(tmp_path) == []


def test_a_receiver_that_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver(status=500) as server:
        monkeypatch.setenv(notifications.VARIABLE, server.address)
        store_notification(tmp_path)
        assert not notifications.deliver(tmp_path, pauses=[])
        assert len(server.received) == 1
    assert "refused it" in notifications.describe(tmp_path)[0]


@pytest.mark.parametrize("address", ["nonsense", "nonsense://secret", "mailto://", "json://", ":secret"])
def test_an_address_that_is_none_is_a_sentence_without_its_text(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, address)
    store_notification(tmp_path)
    assert not notifications.deliver(tmp_path, pauses=[])
    (sentence,) = notifications.describe(tmp_path)
    assert "address 1 of SADCL_NOTIFY is not one that apprise knows" in sentence
    assert "secret" not in sentence


def test_one_process_delivers_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    with (
        files.lock(tmp_path / notifications.LOCK, "delivering"),
        pytest.raises(SadclError, match="already delivering notifications"),
    ):
        notifications.deliver(tmp_path, pauses=[])


def test_a_notification_that_arises_during_a_delivery_is_delivered_with_it(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(notifications.VARIABLE, receiver.address)
    send = notifications._send

    def send_slowly(address: str, item: notifications.Notification) -> str:
        if item.title == "first":
            store_notification(tmp_path, "second")
        return send(address, item)

    monkeypatch.setattr(notifications, "_send", send_slowly)
    store_notification(tmp_path, "first")
    assert notifications.deliver(tmp_path, pauses=[])
    assert [message["title"] for message in receiver.received] == ["first", "second"]


def test_a_notification_that_nobody_tried_is_a_problem_after_a_minute(tmp_path: Path) -> None:
    store_notification(tmp_path)
    (sentence,) = notifications.describe(tmp_path)
    assert sentence.startswith("1 notification could not be delivered, the first of 2026-11-23T03:00:00+00:00")
    assert "no delivery was tried" in sentence


def test_only_the_latest_are_retained_and_damaged_ones_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(notifications.VARIABLE, "json://127.0.0.1:1")
    monkeypatch.setattr(notifications, "start_delivery", lambda root: None)
    monkeypatch.setattr(notifications, "MOST", 3)
    for number in range(5):
        notifications.notify(tmp_path, str(number), "text", "info")
    assert [json.loads(path.read_text())["title"] for path in sorted(waiting(tmp_path))] == ["2", "3", "4"]
    for path in waiting(tmp_path):
        path.write_text("{")
    assert notifications.describe(tmp_path) == []
    assert notifications.deliver(tmp_path, pauses=[])
    assert not waiting(tmp_path)
