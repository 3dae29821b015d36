"""Start of pyarrow without pandas, which can be used all the same."""

import subprocess
import sys

CODE = """
import sys
import pyarrow as pa
from sadcl.stages import arrow

arrow.start_without_pandas()
assert pa.chunked_array([[1, 2], [3]]).to_numpy().tolist() == [1, 2, 3]
assert pa.array(["a", None]).to_pylist() == ["a", None]
assert "pandas" not in sys.modules
assert pa.table({"n": [1, 2]}).to_pandas()["n"].sum() == 3
import pandas as pd
assert pa.array(pd.Series([1.0, None])).null_count == 1
"""


def test_arrays_need_no_pandas_and_data_frames_work() -> None:
    completed = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
