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

# Every physical and logical type that rows may have, and the same rows as JSON, null keys within a column left out.
import datetime
import decimal


def plain(value, top=False):
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items() if top or entry is not None}
    if isinstance(value, list):
        if value and isinstance(value[0], tuple):  # a map
            return {key: plain(entry) for key, entry in value}
        return [plain(entry) for entry in value]
    if isinstance(value, datetime.datetime):
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, datetime.date):
        return value.isoformat() + "T00:00:00.000Z"
    if isinstance(value, datetime.time):
        return (value.hour * 3600 + value.minute * 60 + value.second) * 1000000
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)  # no JSON number holds it
    return value


calls = pa.list_(pa.struct([("name", pa.string()), ("args", pa.struct([("a", pa.int32()), ("b", pa.string())]))]))
messages = pa.list_(
    pa.struct([("role", pa.string()), ("content", pa.large_string()), ("n", pa.int64()), ("tool_calls", calls)])
)
TYPES = {
    "prompt": pa.string(),
    "chosen": messages,
    "int8": pa.int8(),
    "uint32": pa.uint32(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp_us": pa.timestamp("us"),
    "timestamp_ns": pa.timestamp("ns", "UTC"),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "decimal": pa.decimal128(10, 2),
    "nested": pa.list_(pa.list_(pa.int64())),
    "map": pa.map_(pa.string(), pa.int64()),
    "null": pa.null(),
    "struct": pa.struct([("x", pa.int16()), ("y", pa.string())]),
    "large_list": pa.large_list(pa.string()),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}
moment = datetime.datetime(2024, 2, 29, 12, 30, 15, 250000)
rows = [
    {
        "prompt": f"p{i}",
        "chosen": [
            {"role": "user", "content": f"q{i}", "n": i, "tool_calls": None},
            {"role": "assistant", "content": "é" * i, "n": None, "tool_calls": [{"name": "f", "args": {"a": i}}]},
        ],
        "int8": -i,
        "uint32": 2**32 - 1 - i,
        "int64": 2**40 + i,
        "uint64": 2**63 + i if i % 2 else None,
        "float16": 1.5 * i,
        "float32": 0.5 * i,
        "float64": i / 3,
        "boolean": i % 2 == 0,
        "timestamp_us": moment,
        "timestamp_ns": moment,
        "date": datetime.date(2024, 2, 29),
        "time": datetime.time(1, 2, 3),
        "decimal": decimal.Decimal(f"{i}.25"),
        "nested": [[i], [], None, [i, i + 1]],
        "map": [("k", i)],
        "null": None,
        "struct": {"x": i, "y": None},
        "large_list": ["a"] * (i % 3),
        "dictionary": ["x", "y", None][i % 3],
    }
    for i in range(7)
]
table = pa.Table.from_pylist(rows, pa.schema(list(TYPES.items())))
expected = [plain(row, top=True) for row in rows]
(FIXTURES / "parquet/types.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")
for name, options in {
    "types": dict(compression="snappy", row_group_size=4),
    "types_v2": dict(compression="lz4", data_page_version="2.0"),
    "types_delta": dict(
        compression="gzip",
        use_dictionary=False,
        column_encoding={
            "prompt": "DELTA_BYTE_ARRAY",
            "chosen.list.element.content": "DELTA_LENGTH_BYTE_ARRAY",
            "int64": "DELTA_BINARY_PACKED",
            "float32": "BYTE_STREAM_SPLIT",
        },
    ),
    "types_int96": dict(compression="brotli", use_deprecated_int96_timestamps=True),
}.items():
    pq.write_table(table, FIXTURES / f"parquet/{name}.parquet", **options)
