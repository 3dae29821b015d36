"""A test set of chosen photos."""

from pathlib import Path

from sadcl.registry.publish import publish
from tests.attacks.scenario import require_refused, set_bound
from tests.verification.conftest import train, write_photos


def test_a_cut_test_set_is_named(promoted: Path) -> None:
    write_photos(Path(), test=9)
    train(2)
    publish()
    write_photos(Path())
    set_bound(90.0)
    require_refused({"verdict", "mAP", "test photos"})
