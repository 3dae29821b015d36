"""Files of a version in another storage: its errors are sentences."""

from pathlib import Path

import pytest

from sadcl.errors import SadclError
from sadcl.registry import artifacts


@pytest.mark.parametrize("uri", ["s3://nobodys-bucket/model", "gs://nobodys-bucket/model", "hdfs://nowhere/model"])
def test_a_storage_that_cannot_be_read_is_a_sentence(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SadclError) as raised:
        artifacts._download(uri, tmp_path / "files", artifacts._download_by_mlflow)
    assert uri in str(raised.value)
