"""TRL's DPOTrainer on the rows of a bench: one epoch of steps per line read from standard input.

Its sigmoid loss stands in for MIPO: forward and backward are the same work. Reference log-probabilities are
precomputed. Prints one JSON object per line: {"ready": ...}, then {"seconds": ..., "pairs": ...} for every round.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--model", required=True)
parser.add_argument("--data", required=True)
parser.add_argument("--rows", type=int, default=40)
parser.add_argument("--max-length", type=int, default=1024)
parser.add_argument("--batch-size", type=int, default=8)
parser.add_argument("--micro", type=int, default=1)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--lora-r", type=int, default=0, help="rank of PEFT's adapters on every linear layer; 0: none")
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

torch.set_num_threads(args.threads)

import transformers  # noqa: E402
import trl  # noqa: E402
from datasets import Dataset  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import DPOConfig, DPOTrainer  # noqa: E402

transformers.utils.logging.disable_progress_bar()

with open(args.data) as lines:
    rows = [json.loads(line) for _, line in zip(range(args.rows), lines)]
rows = [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in rows]
tokenizer = AutoTokenizer.from_pretrained(args.model)
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)


class Clock(TrainerCallback):
    """From the first step's begin to the last step's end."""

    first = last = None
    steps = 0

    def on_step_begin(self, *_args, **_kwargs):
        if self.first is None:
            self.first = time.perf_counter()

    def on_step_end(self, *_args, **_kwargs):
        self.last = time.perf_counter()
        self.steps += 1


config = DPOConfig(
    output_dir=tempfile.mkdtemp(prefix="trl_bench_"),
    per_device_train_batch_size=args.micro,
    gradient_accumulation_steps=args.batch_size // args.micro,
    num_train_epochs=1,
    max_length=args.max_length,
    learning_rate=1e-6,
    loss_type="sigmoid",
    precompute_ref_log_probs=True,
    gradient_checkpointing=False,
    bf16=False,
    fp16=False,
    use_cpu=True,
    report_to=[],
    save_strategy="no",
    logging_strategy="no",
    disable_tqdm=True,
    dataloader_pin_memory=False,
)
clock = Clock()
adapters = {}
if args.lora_r > 0:
    from peft import LoraConfig

    sizes = dict(r=args.lora_r, lora_alpha=2 * args.lora_r)
    adapters = dict(peft_config=LoraConfig(**sizes, target_modules="all-linear", task_type="CAUSAL_LM"))
trainer = DPOTrainer(
    **adapters,
    model=model,
    args=config,
    train_dataset=Dataset.from_list(rows),
    processing_class=tokenizer,
    callbacks=[clock],
)
say(
    ready=True,
    pairs=len(trainer.train_dataset),
    versions={"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
)
for line in sys.stdin:
    if line.strip() == "end":
        break
    clock.first = clock.last = None
    clock.steps = 0
    trainer.train()
    say(seconds=clock.last - clock.first, pairs=len(trainer.train_dataset), steps=clock.steps, peak_mb=peak_mb())
