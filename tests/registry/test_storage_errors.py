"""Files of a version in another storage: its errors are sentences."""

import errno
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from requests import ConnectionError as BrokenConnection

from sadcl.errors import SadclError
from sadcl.registry import artifacts

FAILURES = "The following failures occurred while downloading one or more artifacts from s3://a:\n##### File a #####\n"
ERRORS = [
    (OSError("No such artifact: 'a'"), "A file of the registry is gone"),
    (MlflowException(f"{FAILURES}404 Client Error: NOT FOUND for url: http://a"), "A file of the registry is gone"),
    (PermissionError(errno.EACCES, "Permission denied"), "storage of the registry's files failed: .*Permission denied"),
    (OSError(errno.ENOSPC, "No space left on device"), "The disk is full"),
    (BrokenConnection("Connection broken: IncompleteRead"), "broke: Connection broken.* try again"),
    (MlflowException(f"{FAILURES}[Errno 28] No space left on device"), "broke: .Errno 28. No space left.*the room on"),
]


@pytest.mark.parametrize("uri", ["s3://nobodys-bucket/model", "gs://nobodys-bucket/model", "hdfs://nowhere/model"])
def test_a_storage_that_cannot_be_read_is_a_sentence(uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SadclError) as raised:
        artifacts._download(uri, tmp_path / "files", artifacts._download_by_mlflow)
    assert uri in str(raised.value)


@pytest.mark.parametrize(("error", "words"), ERRORS)
def test_only_a_missing_file_is_called_gone(error: Exception, words: str, tmp_path: Path) -> None:
    """Somebody who reads this restores a backup; a full disk or a broken connection needs something else."""

    def fail(uri: str, folder: Path) -> Path:
        raise error

    with pytest.raises(SadclError, match=words):
        artifacts._download("s3://a", tmp_path / "files", fail)
