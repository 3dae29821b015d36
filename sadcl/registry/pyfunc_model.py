"""MLflow's interface to a registered model, which its loader takes from the installed package.

Takes a column ``image`` (bytes of a photo, or the path of one) and gives the labels of each photo
with their probabilities, best first.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from mlflow.pyfunc.model import PythonModel

from sadcl.errors import SadclError
from sadcl.registry import model_code
from sadcl.weights import loader

if TYPE_CHECKING:
    from mlflow.pyfunc.model import PythonModelContext

COLUMN = "image"


class Served(PythonModel):
    """A tagger behind MLflow's interface."""

    def load_context(self, context: "PythonModelContext") -> None:
        """Read the weights, or the ONNX file, that came with the model.

        Raises:
            SadclError: the model was registered with other code, or its file is damaged.
        """
        model_code.require_named(Path(context.artifacts["code"]))
        self.tagger = loader.load_tagger(context.artifacts["weights"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        """Tag photos.

        Args:
            context: MLflow's; not needed after ``load_context``.
            model_input: DataFrame with a column ``image`` of bytes or paths [N].
            params: MLflow's too; there are none.

        Returns:
            DataFrame [N] with lists in its columns ``labels`` and ``probabilities``.

        Raises:
            SadclError: there is no such column, or a row is neither bytes nor a path, or no photo.
        """
        if COLUMN not in getattr(model_input, "columns", ()):
            raise SadclError(f"There is no column {COLUMN!r}", fix="Give a table with photos in that column")
        photos = [_photo(value, row) for row, value in enumerate(model_input[COLUMN])]
        tagged = self.tagger.predict(photos)
        return pd.DataFrame({
            "labels": [[str(name) for name, _ in labels] for labels in tagged],
            "probabilities": [[float(probability) for _, probability in labels] for labels in tagged],
        })  # fmt: skip


def _photo(value: object, row: int) -> bytes | Path:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str | Path) and str(value):
        return Path(value)
    raise SadclError(
        f"A photo must be bytes or a path, but it is {type(value).__name__}",
        where=f"row {row} of column {COLUMN!r}",
        fix="Give the bytes of an image file, or its path",
    )
