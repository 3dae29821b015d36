"""A branch that changes the rules or the test set, and asks for a promotion by them."""

from pathlib import Path

import pytest

from sadcl.errors import SadclError
from sadcl.registry.publish import publish
from sadcl.verification import acceptance
from tests.attacks.scenario import approve, champion, set_bound
from tests.verification.conftest import train, write_photos


def test_other_rules_count_only_after_a_reviewer_accepted_them(promoted: Path) -> None:
    set_bound(1.0)
    train(2)
    publish()
    with pytest.raises(SadclError, match=r"not the accepted ones: .* at least 0\.0.*Rule added: .*at least 1\.0"):
        approve(2, "by my rules")
    assert champion() == "1"
    acceptance.accept_project("a higher bound")
    assert approve(2, "better").version == "2"


def test_other_test_photos_count_only_after_a_reviewer_accepted_them(promoted: Path) -> None:
    write_photos(Path(), test=9)
    train(2)
    publish()
    with pytest.raises(SadclError, match="The test set has 9 photos, before 30"):
        approve(2, "on my photos")
    assert champion() == "1"


def test_other_labels_count_only_after_a_reviewer_accepted_them(promoted: Path) -> None:
    write_photos(Path(), lambda i: [0] if i == 1 else [i % 3])
    train(2)
    publish()
    with pytest.raises(SadclError, match=r"photos by class: cat 11 \(before 10\), dog 9 \(before 10\)"):
        approve(2, "by my labels")
    assert champion() == "1"
