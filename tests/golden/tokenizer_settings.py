"""Makes tests/fixtures/tokenizers/settings.json: what Transformers 5 makes of the files beside tokenizer.json.

    python tests/golden/tokenizer_settings.py > tests/fixtures/tokenizers/settings.json

Each case: a fixture's tokenizer.json (with `change` made to it), the files beside it, and for each text the ids without
and with special tokens, and the text decoded without special tokens.
"""
import json
import sys
import tempfile
from pathlib import Path

from transformers import AutoTokenizer

FIXTURES = Path(__file__).parent.parent / "fixtures"
TEXTS = ["the river", "x<|tool|>y", " <|tool|> <|extra|>a", "a[X] b", "<s>the</s> river", "<|im_start|>user", "the <pad>", "Day <|image|>"]


def token(content, **more):
    return dict({"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True}, **more)


QWEN = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
LLAMA = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>"}
MISTRAL = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TOP = 384
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}


def cases():
    for name, config in (("qwen2", QWEN), ("llama", LLAMA), ("mistral", MISTRAL)):
        yield name, config, {}, {}
        for bos in (True, False, None):
            yield name, dict(config, add_bos_token=bos), {}, {}
            yield name, dict(config, add_bos_token=bos), {}, {"post_processor": BYTE_LEVEL if name != "mistral" else None}
        yield name, dict(config, add_eos_token=True), {}, {}
        yield name, dict(config, add_eos_token=True, add_bos_token=True), {}, {}
        yield name, config, {}, {"post_processor": None}
        yield name, dict(config, added_tokens_decoder={str(TOP): token("<|tool|>")}), {}, {}
        yield name, dict(config, added_tokens_decoder={"900": token("<|tool|>"), "500": token("<|extra|>", special=False, normalized=True)}), {}, {}
        yield name, dict(config, added_tokens_decoder={str(TOP): token("[X]", lstrip=True, rstrip=True), "3": token("river", special=False)}), {}, {}
        yield name, config, {"added_tokens.json": {"<|tool|>": TOP, "<|extra|>": TOP + 1}}, {}
        yield name, dict(config, added_tokens_decoder={}), {"added_tokens.json": {"<|tool|>": TOP}}, {}
        yield name, config, {"added_tokens.json": {"<|tool|>": 7}}, {}
        yield name, config, {"special_tokens_map.json": {"pad_token": "<pad>"}}, {}
        yield name, config, {"special_tokens_map.json": {"pad_token": token("<pad>", lstrip=True)}}, {}
        yield name, config, {"special_tokens_map.json": {"eos_token": "a"}}, {}
        yield name, dict(config, added_tokens_decoder={}), {"special_tokens_map.json": {"pad_token": "<pad>"}}, {}
        yield name, config, {"special_tokens_map.json": {"pad_token": "<pad>"}, "added_tokens.json": {"<pad>": TOP}}, {}
        yield name, dict(config, extra_special_tokens=["<|tool|>", "<|extra|>"]), {}, {}
        yield name, dict(config, extra_special_tokens={"image_token": "<|image|>"}), {}, {}
        yield name, dict(config, additional_special_tokens=["<|tool|>"]), {}, {}
        yield name, dict(config, additional_special_tokens=["<|tool|>"], extra_special_tokens=["<|extra|>"]), {}, {}
        yield name, dict(config, image_token="<|image|>"), {}, {}
        yield name, dict(config, pad_token="<pad>"), {}, {}
        yield name, dict(config, pad_token="the"), {}, {}
        yield name, dict(config, pad_token=None, split_special_tokens=True), {}, {}
        yield name, dict(config, pad_token=dict(token("<pad>", rstrip=True, special=False), __type="AddedToken")), {}, {}
        yield name, dict(config, clean_up_tokenization_spaces=True), {}, {}


def main():
    out = []
    for name, config, files, change in cases():
        with tempfile.TemporaryDirectory() as path:
            definition = json.loads((FIXTURES / name / "policy/tokenizer.json").read_text())
            files = {"tokenizer_config.json": config, **files}
            for file, content in {"tokenizer.json": dict(definition, **change), **files}.items():
                (Path(path) / file).write_text(json.dumps(content))
            tokenizer = AutoTokenizer.from_pretrained(path)
            rows = []
            for text in TEXTS:
                plain = tokenizer(text, add_special_tokens=False).input_ids
                rows.append([text, plain, tokenizer(text).input_ids, tokenizer.decode(plain, skip_special_tokens=True)])
            out.append({"family": name, "change": change, "files": files, "bos": tokenizer.bos_token_id, "eos": tokenizer.eos_token_id, "rows": rows})
    json.dump(out, sys.stdout, ensure_ascii=False, separators=(",", ":"))
    print()


main()
