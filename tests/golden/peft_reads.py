"""PEFT as the judge of an adapter that mipo wrote: loads it, and compares the sums of log-probabilities with mipo's own.

    deno task train --model MODEL --data PAIRS.jsonl --lora-r 4 --output-dir RUN ...
    deno task score --model RUN/model --data PAIRS.jsonl --output SCORES.jsonl
    python peft_reads.py RUN/model PAIRS.jsonl SCORES.jsonl
"""
import json, sys
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

adapter, pairs, scores = sys.argv[1:4]
base = json.load(open(f"{adapter}/adapter_config.json"))["base_model_name_or_path"]
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).double()
tokenizer = AutoTokenizer.from_pretrained(adapter)
rows = [json.loads(line) for line in open(pairs)]
worst = count = 0
for line in open(scores):
    score = json.loads(line)
    row = rows[score["index"]]
    prompt = tokenizer(row["prompt"])["input_ids"]
    for side in ("chosen", "rejected"):
        whole = tokenizer(row["prompt"] + row[side])["input_ids"]
        if whole[:len(prompt)] != prompt:
            continue
        ids = torch.tensor([whole + ([] if whole[-1] == tokenizer.eos_token_id else [tokenizer.eos_token_id])])
        with torch.no_grad():
            logp = torch.log_softmax(model(ids).logits[0, :-1], -1).gather(1, ids[0, 1:, None])[:, 0]
        wanted = float(logp[len(prompt) - 1:].sum())
        worst, count = max(worst, abs(score[side]["logp"] / wanted - 1)), count + 1
print(f"{count} sums, largest relative difference {worst:.2e}")
assert count > 0 and worst < 5e-6
