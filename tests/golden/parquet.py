"""The rows of `tests/fixtures/llama` as Parquet, as pyarrow writes it: python tests/golden/parquet.py"""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

FIXTURES = Path(__file__).parent.parent / "fixtures"
for name, options in {
    "pairs": dict(compression="snappy", row_group_size=4),
    "chat": dict(compression="zstd"),
}.items():
    rows = [json.loads(line) for line in (FIXTURES / f"llama/{name}.jsonl").read_text().splitlines()]
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    kind = turns if name == "chat" else pa.string()
    schema = pa.schema([(key, kind) for key in ("prompt", "chosen", "rejected")])
    pq.write_table(pa.Table.from_pylist(rows, schema), FIXTURES / f"parquet/{name}.parquet", **options)
