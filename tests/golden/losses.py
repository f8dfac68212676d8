"""Goldens for the losses, made with PyTorch and TRL on the CPU from the llama fixture.

    python losses.py

writes losses.json beside this script:

- `gradients`: for every loss the gradient of one step over the fixture's pairs (KTO: over `kto.rows`), computed by
  PyTorch in float64, as a digest: of each tensor its norm and three projections onto fixed vectors of signs;
- `trl`: what TRL's own trainers give for losses, weighted lists and LD-DPO on the same tokens;
- `kto`: labelled rows, and ten steps of TRL's KTOTrainer on them at several batch sizes.
"""

import copy, json, math, os, sys, tempfile
from pathlib import Path

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import numpy as np
import torch
import torch.nn.functional as F
import transformers, trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
FIXTURE = HERE.parent / "fixtures" / "llama"
sys.path.insert(0, str(HERE))
import make  # the losses that have goldens in the fixtures

torch.set_num_threads(2)


def load(which, dtype):
    return AutoModelForCausalLM.from_pretrained(FIXTURE / which, dtype=torch.float32, attn_implementation="eager").to(dtype).train()


# ---------------------------------------------------------------- losses as formulas, of c r c0 r0 nw nl

def alpha_reward(x, alpha):
    return (1 - torch.exp(-alpha * x)) / alpha


LOSSES = {name: (h, f) for name, (h, f) in make.LOSSES.items()} | {
    "cpo": (dict(beta=0.05, cpo_alpha=0.7), lambda h, c, r, c0, r0, nw, nl: make.softplus(-h["beta"] * (c - r))),
    "alphapo": (dict(beta=0.5, alpha=0.1, simpo_gamma=0.3), lambda h, c, r, c0, r0, nw, nl: make.softplus(
        -(h["beta"] * (alpha_reward(c / nw, h["alpha"]) - alpha_reward(r / nl, h["alpha"])) - h["simpo_gamma"]))),
    "rdpo": (dict(beta=0.3, rdpo_alpha=0.02), lambda h, c, r, c0, r0, nw, nl: make.softplus(-(h["beta"] * ((c - c0) - (r - r0)) - h["rdpo_alpha"] * (nw - nl)))),
    "dpop": (dict(beta=0.1, dpop_lambda=2.0), lambda h, c, r, c0, r0, nw, nl: make.softplus(-h["beta"] * ((c - c0) - (r - r0) - h["dpop_lambda"] * torch.relu(c0 - c)))),
}
#: what is added: weight of the token mean of the chosen completions' NLL
NLL = {"cpo": 0.7, "mipo sft_weight": 0.2}
MIXES = {"mipo sft_weight": ("mipo", dict(beta=10.0, sft_weight=0.2))}


def digest(gradients):
    out = {}
    for name, g in gradients.items():
        flat = g.detach().double().reshape(-1).numpy()
        numbers = [np.linalg.norm(flat)] + [flat @ signs(flat.size, k) for k in range(3)]
        out[name] = [float(f"{x:.10g}") for x in numbers]
    return out


def signs(count, k):
    """+1 and -1 from a hash of the position; tests/golden/digest.ts has the same."""
    with np.errstate(over="ignore"):
        h = (np.arange(1, count + 1, dtype=np.uint32) + np.uint32((k * 0x9E3779B9) & 0xFFFFFFFF)) * np.uint32(0x85EBCA6B)
        h ^= h >> np.uint32(13)
        h *= np.uint32(0xC2B2AE35)
        h ^= h >> np.uint32(16)
    return np.where(h & np.uint32(1), 1.0, -1.0)


def gradients_of(loss, model):
    names, params = zip(*model.named_parameters())
    return digest(dict(zip(names, torch.autograd.grad(loss, params, retain_graph=True))))


def pair_gradients(pairs):
    policy, ref = load("policy", torch.float64), load("ref", torch.float64)
    values = make.forward_values(policy, ref, pairs)
    tokens = sum(v[4] for v in values)
    nll = -sum(v[0] for v in values) / tokens
    out = {}
    for key in list(LOSSES) + list(MIXES):
        name, h = MIXES[key] if key in MIXES else (key.split(" ")[0], LOSSES[key][0])
        formula = LOSSES[key if key in LOSSES else name]
        loss = torch.stack([formula[1](formula[0], *v) for v in values]).mean() + NLL.get(key, 0) * nll
        out[key] = {"options": {"loss_type": name, **h}, "loss": float(loss.detach()), "tensors": gradients_of(loss, policy)}
    return out


def kto_gradient(rows, h):
    policy, ref = load("policy", torch.float64), load("ref", torch.float64)
    sums = lambda m, prompt, ids: make.completion_logps(m, prompt, ids).sum()
    with torch.no_grad():
        ratios = [sums(policy, row["prompt_ids"], rows[i - 1]["completion_ids"]) - sums(ref, row["prompt_ids"], rows[i - 1]["completion_ids"]) for i, row in enumerate(rows)]
        z = torch.stack(ratios).mean().clamp(min=0)
    losses = []
    for row in rows:
        with torch.no_grad():
            reference = sums(ref, row["prompt_ids"], row["completion_ids"])
        ratio = sums(policy, row["prompt_ids"], row["completion_ids"]) - reference
        losses.append(h["desirable_weight"] * torch.sigmoid(-h["beta"] * (ratio - z)) if row["label"] else
                      h["undesirable_weight"] * torch.sigmoid(-h["beta"] * (z - ratio)))
    loss = torch.stack(losses).mean()
    return {"options": {"loss_type": "kto", **h}, "loss": float(loss.detach()), "kl": float(z), "tensors": gradients_of(loss, policy)}


# ---------------------------------------------------------------- TRL on the same tokens

COMMON = dict(max_length=None, use_cpu=True, bf16=False, report_to=[], gradient_checkpointing=False, disable_tqdm=True,
              remove_unused_columns=False, save_strategy="no")


def trl_dpo(pairs, **options):
    rows = Dataset.from_list([{"prompt_ids": p["prompt"], "chosen_ids": p["chosen"], "rejected_ids": p["rejected"]} for p in pairs])

    class OnTokens(trl.DPOTrainer):
        def _prepare_dataset(self, dataset, *args, **kwargs):
            return dataset

    args = trl.DPOConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=len(pairs), **COMMON, **options)
    trainer = OnTokens(model=load("policy", torch.float32), ref_model=load("ref", torch.float32), args=args, train_dataset=rows,
                       processing_class=AutoTokenizer.from_pretrained(FIXTURE / "policy", pad_token="<|end_of_text|>"))
    batch = next(iter(trainer.get_train_dataloader()))
    with torch.no_grad():
        return float(trainer._compute_loss(trainer.model, batch, False))


def trl_cpo(pairs, **options):
    """CPOTrainer's loss of the pairs' sums (means for SimPO), without its likelihood term."""
    from trl.experimental.cpo import CPOConfig, CPOTrainer
    args = CPOConfig(output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=False, report_to=[], **options)
    self = type("Loss", (), dict(alpha=args.alpha, beta=args.beta, simpo_gamma=args.simpo_gamma, label_smoothing=args.label_smoothing,
                                 loss_type=args.loss_type, accelerator=type("A", (), {"device": "cpu"})))()
    mean = args.loss_type in ("simpo", "ipo")
    side = lambda key: torch.tensor([p[f"{key}_logp"] / (p[f"{key}_tokens"] if mean else 1) for p in pairs], dtype=torch.float64)
    losses, chosen, rejected = CPOTrainer.cpo_loss(self, side("chosen"), side("rejected"))
    return {"loss": float(losses.mean()), "rewards/chosen": float(chosen.mean()), "rewards/rejected": float(rejected.mean())}


def trl_orpo(pairs, beta):
    from trl.experimental.orpo import ORPOTrainer
    self = type("Loss", (), dict(beta=beta, accelerator=type("A", (), {"device": "cpu"})))()
    side = lambda key: torch.tensor([p[f"{key}_logp"] / p[f"{key}_tokens"] for p in pairs], dtype=torch.float64)
    losses, chosen, rejected, ratio, odds = ORPOTrainer.odds_ratio_loss(self, side("chosen"), side("rejected"))
    return {"odds_loss": float(-losses.mean()), "rewards/chosen": float(chosen.mean()), "rewards/rejected": float(rejected.mean()),
            "log_odds_ratio": float(ratio), "log_odds_chosen": float(odds)}


# ---------------------------------------------------------------- KTO

def kto_rows():
    """Twelve rows of the fixture's texts whose prompts end on a token's boundary."""
    texts = [json.loads(line) for line in (FIXTURE / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]
    pairs = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))["pairs"]
    plain = [(t, p) for t, p in zip(texts, pairs) if not p["straddles"]]
    rows = []
    for i in range(12):
        t, p = plain[i % len(plain)]
        side = "chosen" if (i % 2 == 0) != (i >= len(plain)) else "rejected"
        rows.append({"prompt": t["prompt"], "completion": t[side], "label": side == "chosen", "prompt_ids": p["prompt"], "completion_ids": p[side]})
    return rows


def trl_kto(rows, batch_size, options):
    """Ten steps of TRL's own trainer from the rows' texts, in the file's order; what each logs, and its loss unrounded."""
    data = Dataset.from_list([{k: r[k] for k in ("prompt", "completion", "label")} for r in rows])
    losses, keep = [], []

    class Recording(trl.KTOTrainer):
        def _compute_loss(self, model, inputs, return_outputs):
            loss = super()._compute_loss(model, inputs, return_outputs)
            losses.append(float(loss))
            return loss

    class Keep(transformers.TrainerCallback):
        def on_log(self, args, state, control, logs=None, **kwargs):
            keep.append(dict(logs))

    args = trl.KTOConfig(output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch_size, beta=options["beta"], desirable_weight=options["desirable_weight"],
                         undesirable_weight=options["undesirable_weight"], learning_rate=options["learning_rate"], lr_scheduler_type="cosine",
                         warmup_steps=math.ceil(options["warmup_ratio"] * 10), max_steps=10, weight_decay=options["weight_decay"], adam_beta1=options["adam_beta1"],
                         adam_beta2=options["adam_beta2"], adam_epsilon=options["adam_epsilon"], max_grad_norm=options["max_grad_norm"], optim="adamw_torch",
                         logging_steps=1, train_sampling_strategy="sequential", **COMMON)
    trainer = Recording(model=load("policy", torch.float32), ref_model=load("ref", torch.float32), args=args, train_dataset=data,
                        processing_class=AutoTokenizer.from_pretrained(FIXTURE / "policy", pad_token="<|end_of_text|>"), callbacks=[Keep()])
    for row, found in zip(rows, trainer.train_dataset):
        assert row["prompt_ids"] == found["prompt_ids"] and row["completion_ids"] == found["completion_ids"], (row, found)
    trainer.train()
    steps = []
    for s, (loss, log) in enumerate(zip(losses, [l for l in keep if "grad_norm" in l])):
        keys = ("kl", "rewards/chosen", "rewards/rejected", "rewards/margins", "logps/chosen", "logps/rejected", "grad_norm", "learning_rate")
        steps.append({"step": s + 1, "loss": loss, **{k: float(log[k]) for k in keys if k in log}})
    assert len(steps) == 10
    return {"batch_size": batch_size, "steps": steps, "weights": digest(dict(trainer.model.named_parameters()))}


def main():
    expected = json.loads((FIXTURE / "expected.json").read_text(encoding="utf-8"))
    pairs, rows = expected["pairs"], kto_rows()
    options = dict(beta=0.1, desirable_weight=1.25, undesirable_weight=0.8, learning_rate=4e-4, warmup_ratio=0.2, weight_decay=0.05, adam_beta1=0.9,
                   adam_beta2=0.95, adam_epsilon=1e-6, max_grad_norm=3.0)
    weights = {k: options[k] for k in ("beta", "desirable_weight", "undesirable_weight")}
    result = {
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "trl": trl.__version__},
        "gradients": pair_gradients(pairs) | {"kto": kto_gradient(rows, weights)},
        "trl": {
            "list": {"options": dict(loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0], beta=0.3),
                     "loss": trl_dpo(pairs, loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0], beta=0.3)},
            "ld": [{"options": dict(loss_type=t, beta=b, ld_alpha=a), "loss": trl_dpo(pairs, loss_type=[t], beta=b, ld_alpha=a)}
                   for t, b, a in (("sigmoid", 0.3, 0.4), ("ipo", 0.3, 0.0), ("sigmoid_norm", 2.0, 0.7))],
            "cpo": [{"options": dict(loss_type=ours, **h), **trl_cpo(pairs, loss_type=theirs, **h)} for ours, theirs, h in (
                ("cpo", "sigmoid", dict(beta=0.05)), ("simpo", "simpo", dict(beta=2.0, simpo_gamma=0.8)),
                ("alphapo", "alphapo", dict(beta=0.5, alpha=0.1, simpo_gamma=0.3)))],
            "orpo": {"options": dict(loss_type="orpo", beta=0.2), **trl_orpo(pairs, 0.2)},
        },
        "kto": {"rows": [{k: r[k] for k in ("prompt", "completion", "label")} for r in rows], "options": options,
                "runs": [trl_kto(rows, b, options) for b in (2, 3, 4)]},
    }
    (HERE / "losses.json").write_text(json.dumps(result, ensure_ascii=False) + "\n", encoding="utf-8")
    for run in result["kto"]["runs"]:
        print(run["batch_size"], [round(s["kl"], 4) for s in run["steps"]], [round(s["loss"], 4) for s in run["steps"]])


if __name__ == "__main__":
    main()
