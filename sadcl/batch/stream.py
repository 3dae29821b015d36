"""Arrow tables as bytes, between processes."""

import pyarrow as pa


def dump(table: pa.Table) -> bytes:
    """Bytes of a table."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def load(data: bytes) -> pa.Table:
    """Table of ``dump``'s bytes."""
    return pa.ipc.open_stream(data).read_all()
