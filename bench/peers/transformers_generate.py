"""Transformers' generate, greedy: one call per line "go COUNT" read from standard input.

Prints one JSON object per line: {"ready": ...}, then {"seconds": ..., "tokens": ..., "ids": [...]} for every call.
"""

import argparse
import json
import os
import re
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--prompt", required=True)
parser.add_argument("--new-tokens", type=int, default=128)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
out = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # whatever the libraries print is not a result


def say(**values):
    out.write(json.dumps(values) + "\n")
    out.flush()


def peak_mb():
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

torch.set_num_threads(args.threads)
tokenizer = AutoTokenizer.from_pretrained(args.model)
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32).eval()
ids = tokenizer(args.prompt, return_tensors="pt").input_ids
say(ready=True)
for line in sys.stdin:
    if line.strip() == "end":
        break
    count = int(line.split()[1])
    batch = ids.repeat(count, 1)
    start = time.perf_counter()
    with torch.inference_mode():
        result = model.generate(
            batch,
            attention_mask=torch.ones_like(batch),
            do_sample=False,
            max_new_tokens=args.new_tokens,
            min_new_tokens=args.new_tokens,
            pad_token_id=0,
            eos_token_id=None,
        )
    seconds = time.perf_counter() - start
    new = result[:, ids.shape[1]:]
    say(seconds=seconds, tokens=new.numel(), ids=new[0].tolist(), peak_mb=peak_mb())
