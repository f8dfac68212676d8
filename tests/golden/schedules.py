"""Learning rates of Transformers' schedules: writes schedules.json beside this script.

    python schedules.py
"""

import json
from pathlib import Path

import torch
from transformers import get_scheduler

CASES = [(name, total, warm, kwargs) for total, warm in ((40, 6), (7, 0), (25, 25)) for name, kwargs in (
    ("cosine", {}), ("linear", {}), ("constant", {}), ("constant_with_warmup", {}), ("inverse_sqrt", {}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.25}), ("cosine_with_min_lr", {"min_lr": 1e-6}))]

result = []
for name, total, warm, kwargs in CASES:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-5)
    schedule = get_scheduler(name, optimizer, num_warmup_steps=warm, num_training_steps=total, scheduler_specific_kwargs=kwargs)
    rates = []
    for _ in range(total):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    result.append({"options": {"lr_scheduler_type": name, "learning_rate": 3e-5, "warmup_steps": warm, **kwargs}, "rates": rates})
(Path(__file__).parent / "schedules.json").write_text("[\n" + ",\n".join(json.dumps(r) for r in result) + "\n]\n")
