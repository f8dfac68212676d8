"""Random blocks of every ggml type with what the `gguf` package reads from them, and its own quantisers' bytes:

    python tests/golden/ggml_types.py > tests/fixtures/gguf/types.json
"""

import base64
import json
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

rng = np.random.default_rng(7)
text = lambda array: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
# where the f16 scales of a block lie: random bits there would make infinities
SCALES = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
out = {"dequantize": {}, "quantize": []}
for name, places in SCALES.items():
    size, width = GGML_QUANT_SIZES[T[name]]
    blocks = rng.integers(0, 256, (512 // size, width), dtype=np.uint8)
    for at in places:
        blocks[:, at:at + 2] = rng.normal(0, 0.1, len(blocks)).astype(np.float16).view(np.uint8).reshape(-1, 2)
    out["dequantize"][name] = {"bytes": text(blocks), "values": text(dequantize(blocks, T[name]).astype(np.float32))}
for i in range(10):
    values = (rng.normal(0, 10.0 ** rng.integers(-3, 2), (3, 64))).astype(np.float32)
    if i == 0:
        values[0, :32] = 0
    if i == 1:
        values = np.round(values * 4) / 4  # many ties
    out["quantize"].append({"values": text(values), **{n: text(quantize(values, T[n])) for n in ("Q8_0", "Q4_0")}})
json.dump(out, sys.stdout)
