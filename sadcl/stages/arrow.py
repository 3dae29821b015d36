"""Start of pyarrow in a stage: without pandas, unless the stage itself uses it."""

import sys


class _NoPandas:
    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def start_without_pandas() -> None:
    """Let pyarrow look for pandas while it can't be found; with it, the first array costs a third of a second.

    Arrow looks once, to recognise series among the values of an array. Conversions to pandas look again.
    """
    import pyarrow as pa

    if "pandas" in sys.modules:
        return
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.chunked_array([[0]]).to_numpy()
    finally:
        sys.meta_path.remove(finder)
