"""Client of the registry's server with a log-in of its own, so that threads of one process act as different people.

MLflow's client takes its log-in from the environment, which belongs to the whole process.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sadcl.registry import identity, mlflow_context

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel
    from mlflow.store.entities import PagedList

SCHEME = "mlflow-artifacts:"
"""Scheme of artifacts that the registry's server itself serves, to accounts only."""
CHUNK = 2**20


@dataclass(frozen=True)
class PersonalClient:
    """Reads the registry as one person; methods have the names and the errors of ``MlflowClient``.

    Attributes:
        address: of the server.
        name, password: of the account.
    """

    address: str
    name: str
    password: str = field(repr=False)

    def search_model_versions(
        self, filter_string: str, max_results: int, page_token: str | None = None
    ) -> "PagedList[ModelVersion]":
        """One page of the versions that match."""
        page: PagedList[ModelVersion] = self._registry.search_model_versions(
            filter_string, max_results, None, page_token
        )
        return page

    def search_registered_models(self, filter_string: str, max_results: int) -> "PagedList[RegisteredModel]":
        """The first page of the models that match."""
        page: PagedList[RegisteredModel] = self._registry.search_registered_models(filter_string, max_results)
        return page

    def get_model_version_download_uri(self, name: str, version: str) -> str:
        """Address of a version's files."""
        return str(self._registry.get_model_version_download_uri(name, version))

    def get_run(self, run_id: str) -> "Run":
        """A run by its id."""
        run: Run = self._tracking.get_run(run_id)
        return run

    def download_artifacts(self, run_id: str, path: str, dst_path: str) -> str:
        """Download a file of a run.

        Raises:
            OSError: there is no such file.
        """
        return str(self.download(f"{self.get_run(run_id).info.artifact_uri}/{path}", Path(dst_path)))

    def download(self, uri: str, folder: Path) -> Path:
        """Download a file by its address.

        Raises:
            OSError: there is no such file.
            MlflowException: the server does not know the account, or refuses.
        """
        from mlflow.artifacts import download_artifacts
        from mlflow.store.artifact.mlflow_artifacts_repo import MlflowArtifactsRepository
        from mlflow.utils import rest_utils

        if not uri.startswith(SCHEME):  # storage that this process reads itself, without the registry's accounts
            return Path(download_artifacts(artifact_uri=uri, dst_path=str(folder)))
        url = cast(Any, MlflowArtifactsRepository).resolve_uri(uri, self.address)
        target = folder / Path(uri).name
        with self._send(url, "", stream=True) as response:
            if response.status_code in (400, 404):  # 400 for a folder
                raise FileNotFoundError(uri)
            cast(Any, rest_utils).verify_rest_response(response, uri)
            with open(target, "wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
        return target

    def get(self, path: str, **query: str) -> Any:
        """Response of the server to a GET request, parsed from JSON; None where it does not know the account.

        Raises:
            NoAccountsError: the server has no such route.
            SadclError: the server fails.
        """
        with mlflow_context.translate_errors(self.address):
            return identity.content(self._send(self.address, path, params=query), path, self.address)

    @cached_property
    def _registry(self) -> Any:
        from mlflow.store.model_registry.rest_store import RestStore

        return cast(Any, RestStore)(lambda: self._credentials(self.address))

    @cached_property
    def _tracking(self) -> Any:
        from mlflow.store.tracking.rest_store import RestStore

        return cast(Any, RestStore)(lambda: self._credentials(self.address))

    def _send(self, address: str, path: str, **options: Any) -> Any:
        from mlflow.utils import rest_utils

        send = cast(Any, rest_utils).http_request
        return send(self._credentials(address), path, "GET", raise_on_status=False, **options)

    def _credentials(self, address: str) -> Any:
        """MLflow's settings of TLS with this log-in, and with no other that the environment may hold."""
        from mlflow.utils import credentials, rest_utils

        settings = cast(Any, credentials).get_default_host_creds(address)
        return cast(Any, rest_utils).MlflowHostCreds(
            address,
            username=self.name,
            password=self.password,
            ignore_tls_verification=settings.ignore_tls_verification,
            client_cert_path=settings.client_cert_path,
            server_cert_path=settings.server_cert_path,
        )
