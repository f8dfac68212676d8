"""Token ids of rows in the forms that TRL reads, as its own trainers prepare them: python tests/golden/rows.py

Written with TRL 1.16 and Transformers 5.24; makes tests/golden/rows.json.
"""

import json
import tempfile
from pathlib import Path

from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

FIXTURES = Path(__file__).parent.parent / "fixtures"


def user(content, **more):
    return dict(role="user", content=content, **more)


def said(content, **more):
    return dict(role="assistant", content=content, **more)


def system(content):
    return dict(role="system", content=content)


TALK = "\n\nHuman: the river?\n\nAssistant:"
TOOLS = [{"type": "function", "function": {"name": "clock", "parameters": {"type": "object"}}}]
PAIRS = {
    "strings": dict(prompt="the river carries", chosen=" a letter over the bridge.", rejected=" no 東京 🚀 letter"),
    "an answer that ends in the end token": dict(prompt="Q:", chosen=" yes<EOS>", rejected=" no"),
    "message lists": dict(prompt=[user("the river?")], chosen=[said("yes, it does")], rejected=[said("no")]),
    "a system message": dict(
        prompt=[system("be brief"), user("the river?")], chosen=[said("yes")], rejected=[said("no, naïve")]
    ),
    "several turns": dict(
        prompt=[user("a letter"), said("over the bridge"), user("the river?")],
        chosen=[said("yes")],
        rejected=[said("no")],
    ),
    "whole conversations": dict(
        chosen=[user("the river?"), said("yes")], rejected=[user("the river?"), said("no")]
    ),
    "whole conversations of several turns": dict(
        chosen=[system("be brief"), user("a"), said("b"), user("the river?"), said("yes")],
        rejected=[system("be brief"), user("a"), said("b"), user("the river?"), said("no")],
    ),
    "an answer of several messages": dict(
        prompt=[user("the river?")], chosen=[said("wait"), user("so?"), said("yes")], rejected=[said("no")]
    ),
    "hh-rlhf": dict(chosen=TALK + " yes", rejected=TALK + " no"),
    "hh-rlhf of several turns": dict(
        chosen=TALK + " so" + TALK + " yes, it does", rejected=TALK + " so" + TALK + " no"
    ),
    "a prompt that ends with the assistant": dict(
        prompt=[user("the river?"), said("Well, ")], chosen=[said("yes")], rejected=[said("no")]
    ),
    "tools": dict(tools=TOOLS, prompt=[user("a")], chosen=[said("yes")], rejected=[said("no")]),
    "tools as JSON text": dict(
        tools=json.dumps(TOOLS), prompt=[user("a")], chosen=[said("yes")], rejected=[said("no")]
    ),
    "chat_template_kwargs": dict(
        chat_template_kwargs={"mode": "deep"}, prompt=[user("a")], chosen=[said("yes")], rejected=[said("no")]
    ),
}
LABELLED = {
    "labelled strings": dict(prompt="the river", completion=" carries a letter", label=True),
    "labelled messages": dict(prompt=[user("the river?")], completion=[said("no")], label=False),
}
COMPLETIONS = {
    "prompt and completion": dict(prompt="the river", completion=" carries a letter"),
    "prompt and completion as messages": dict(prompt=[user("the river?")], completion=[said("yes, it does")]),
    "messages": dict(messages=[user("the river?"), said("yes")]),
    "messages of several turns": dict(
        messages=[system("be brief"), user("a"), said("over the bridge"), user("the river?"), said("yes, 東京")]
    ),
    "text": dict(text="the river carries a letter"),
}

# The fixtures' templates, with tools and a variable before them, and with what Transformers counts as the assistant's.
BEFORE = "{% for t in tools or [] %}{{ t.function.name }};{% endfor %}{{ mode }}"
TEMPLATES = {
    "qwen2": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
    "{% generation %}{{ m['content'] + '<|im_end|>\n' }}{% endgeneration %}{% else %}"
    "{{ m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "llama": "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' }}"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ m['content'] | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}",
}

out = []
for family, template in TEMPLATES.items():
    folder = FIXTURES / family / "policy"
    model, reference = (AutoModelForCausalLM.from_pretrained(folder) for _ in range(2))

    def tokenizer():
        it = AutoTokenizer.from_pretrained(folder)
        it.chat_template = BEFORE + template
        it.pad_token = it.pad_token or it.eos_token
        return it

    eos = tokenizer().eos_token

    def spelled(row):
        return json.loads(json.dumps(row).replace("<EOS>", eos))

    def options(config, **more):
        return config(output_dir=tempfile.mkdtemp(), use_cpu=True, report_to=[], max_length=512, **more)

    def add(form, row, **ids):
        out.append({"family": family, "form": form, "row": row, **ids})

    for form, row in PAIRS.items():
        row = spelled(row)
        trainer = DPOTrainer(
            model, ref_model=reference, args=options(DPOConfig), train_dataset=Dataset.from_list([row]),
            processing_class=tokenizer(),
        )
        (got,) = trainer.train_dataset
        add(form, row, prompt=got["prompt_ids"], completions=[got["chosen_ids"], got["rejected_ids"]])
    for form, row in LABELLED.items():
        other = dict(row, label=not row["label"])
        trainer = KTOTrainer(
            model, ref_model=reference, args=options(KTOConfig, per_device_train_batch_size=2),
            train_dataset=Dataset.from_list([row, other]), processing_class=tokenizer(),
        )
        got = trainer.train_dataset[0]
        add(form, row, prompt=got["prompt_ids"], completions=[got["completion_ids"]], label=got["label"])
    for form, row in COMPLETIONS.items():
        trainer = SFTTrainer(
            model, args=options(SFTConfig, assistant_only_loss="messages" in row),
            train_dataset=Dataset.from_list([row]), processing_class=tokenizer(),
        )
        batch = trainer.data_collator([trainer.train_dataset[0]])
        ids, labels = batch["input_ids"][0].tolist(), batch["labels"][0].tolist()
        # the first token is predicted from nothing
        add(form, row, ids=ids, scored=[i for i, label in enumerate(labels) if label != -100 and i > 0])

path = Path(__file__).parent / "rows.json"
templates = {family: BEFORE + template for family, template in TEMPLATES.items()}
path.write_text(
    json.dumps({"templates": templates, "rows": []})[:-3] + "[\n"
    + ",\n".join(json.dumps(row, ensure_ascii=False) for row in out) + "\n]}\n"
)
