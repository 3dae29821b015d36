"""Code of the author inside a registered model, which would run on whoever loads the champion."""

import json
from pathlib import Path

import pytest

import sadcl
from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import artifacts, client, model_code
from sadcl.registry.publish import publish
from tests.attacks.scenario import approve, champion, tag
from tests.verification.conftest import train


@pytest.mark.parametrize("name", ["pyfunc_loader.py", "code/sadcl/errors.py"])
def test_code_of_the_author_is_neither_approved_nor_run(promoted: Path, name: str) -> None:
    train(2)
    publish()
    code = f"open({str(promoted / 'it ran')!r}, 'w').close()\n"
    with client.connect() as connection:
        pins = artifacts.pins(connection.get_model_version("tiny", "2"))
        folder = Path(connection.get_model_version_download_uri("tiny", "2").removeprefix("file://"))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(code)
    tag(artifacts.PINS, json.dumps({**pins, f"model/{name}": files.digest_of_text(code)}))
    for action in (lambda: approve(2, "harmless"), lambda: sadcl.load("models:/tiny/2")):
        with pytest.raises(SadclError, match=r"not the loader of any sadcl|which sadcl does not write") as refused:
            action()
        assert refused.value.fix == model_code.REGISTER_AGAIN
    assert champion() == "1"
    assert not (promoted / "it ran").exists()
