"""An ONNX file whose tensor lies in a file of the server, such as the administrator's password."""

from pathlib import Path

import onnx
import pytest

from sadcl import files
from sadcl.data.shards.reader import Shards
from sadcl.errors import SadclError
from sadcl.verification import scoring

SECRET = "correct horse battery staple"


@pytest.mark.parametrize("location", ["administrator.json", "../administrator.json", "{folder}/administrator.json"])
def test_a_tensor_in_another_file_is_refused_and_shows_nothing(promoted: Path, tmp_path: Path, location: str) -> None:
    (tmp_path / "administrator.json").write_text(SECRET)
    leak = onnx.TensorProto(
        name="leak", dims=[6], data_type=onnx.TensorProto.FLOAT, data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in (("location", location.format(folder=tmp_path)), ("offset", "0"), ("length", "24")):
        leak.external_data.add(key=key, value=value)
    output = onnx.helper.make_tensor_value_info("leaked", onnx.TensorProto.FLOAT, [6])
    node = onnx.helper.make_node("Identity", ["leak"], ["leaked"])
    graph = onnx.helper.make_graph([node], "graph", [], [output], initializer=[leak])
    path = tmp_path / "weights.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    model = scoring.Model(files.digest(path), path.suffix, path)
    with pytest.raises(SadclError, match="'leak' of this ONNX model is stored in another file") as refused:
        scoring.score(model, Shards(Path("data/shards/test")), "sadcl", 8, root=tmp_path)
    assert SECRET not in str(refused.value)
