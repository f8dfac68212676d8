"""Makes tests/fixtures/configs.json: what Transformers 5 reads from config.json in the forms that the hub holds.

    python tests/golden/configs.py > tests/fixtures/configs.json

[config.json, what is read (null where Transformers raises)].
"""
import json
import logging
import sys
import tempfile
from pathlib import Path

from transformers import AutoConfig

logging.disable(logging.CRITICAL)
BASE = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4, vocab_size=100,
            rms_norm_eps=1e-5, max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
MISTRAL = dict(BASE, architectures=["MistralForCausalLM"], model_type="mistral", num_key_value_heads=2)
QWEN = dict(BASE, architectures=["Qwen2ForCausalLM"], model_type="qwen2", num_key_value_heads=2)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)


def without(config, *keys):
    return {key: value for key, value in config.items() if key not in keys}


CASES = [
    BASE, MISTRAL, QWEN,
    *(dict(BASE, architectures=a) for a in ([], None, ["llamaforcausallm"], ["LlamaModel"], ["LLaMAForCausalLM"], "LlamaForCausalLM", ["MyModel"], ["MistralForCausalLM"], ["LlamaForCausalLM", "Other"])),
    without(BASE, "architectures"), without(BASE, "model_type"), dict(BASE, model_type="Llama"), dict(BASE, model_type="bert"),
    *(dict(BASE, bos_token_id=b, eos_token_id=e) for b, e in ((-1, 2), (1, -1), (None, None), (1, [2, 3]), (0, 0), (1, []), (1, [-1, 2]))),
    without(BASE, "bos_token_id", "eos_token_id"), without(QWEN, "bos_token_id", "eos_token_id"),
    *(without(b, "rms_norm_eps") for b in (BASE, MISTRAL, QWEN)), *(without(b, "max_position_embeddings") for b in (BASE, MISTRAL, QWEN)), dict(BASE, rms_norm_eps=0),
    *(without(b, "num_key_value_heads") for b in (MISTRAL, QWEN)), *(dict(b, num_key_value_heads=None) for b in (BASE, MISTRAL, QWEN)),
    *(dict(b, head_dim=h) for b in (BASE, MISTRAL, QWEN) for h in (16, None)), dict(BASE, hidden_size=50),
    *(dict(BASE, hidden_act=a) for a in ("silu", "swish", "gelu", "relu", None)), without(BASE, "hidden_act"),
    *(dict(b, tie_word_embeddings=t) for b in (BASE, QWEN) for t in (True, False)), without(BASE, "vocab_size"), without(BASE, "intermediate_size"), without(BASE, "num_hidden_layers"), without(BASE, "hidden_size"), without(BASE, "num_attention_heads"),
    *(dict(BASE, rope_theta=t) for t in (10000, 500000.0, 1000000)),
    *(dict(BASE, rope_scaling=r) for r in (None, {}, {"type": "linear", "factor": 1.0}, {"type": "linear", "factor": 2.0}, {"rope_type": "dynamic", "factor": 1.0}, {"rope_type": "dynamic", "factor": 2.0}, {"type": "default"}, {"rope_type": "default"}, LLAMA3,
                                           dict(LLAMA3, type="llama3"), {"type": "yarn", "factor": 2.0}, {"type": "mrope", "mrope_section": [1, 2]}, {"factor": 2.0}, dict(LLAMA3, factor=None))),
    dict(BASE, rope_theta=5e5, rope_scaling=LLAMA3), dict(BASE, rope_scaling=without(LLAMA3, "original_max_position_embeddings")), dict(BASE, rope_theta=5e5, original_max_position_embeddings=16, rope_scaling=LLAMA3),
    dict(BASE, rope_parameters=dict(LLAMA3, rope_theta=5e5)), dict(BASE, rope_parameters={"rope_type": "default", "rope_theta": 5e5}), dict(BASE, rope_parameters={"rope_theta": 5e5}), dict(BASE, rope_theta=7.0, rope_parameters={"rope_type": "default"}), dict(BASE, rope_theta=7.0, rope_parameters={"rope_theta": 5e5}),
    dict(BASE, rope_parameters={"rope_type": "default", "rope_theta": 5e5}, rope_scaling=LLAMA3), dict(BASE, rope_parameters=dict(LLAMA3, rope_theta=5e5), rope_scaling={"type": "linear", "factor": 1.0}), dict(BASE, rope_parameters=dict(LLAMA3, rope_theta=5e5), rope_scaling={}), dict(BASE, rope_parameters=dict(LLAMA3, rope_theta=5e5), rope_scaling=None),
    dict(BASE, rope_parameters={"full_attention": {"rope_type": "default", "rope_theta": 5.0}}), dict(BASE, partial_rotary_factor=0.5), dict(BASE, partial_rotary_factor=1.0),
    *(dict(MISTRAL, sliding_window=w) for w in (None, 16, 0, -1, 4096)), without(MISTRAL, "sliding_window"), dict(BASE, sliding_window=16), dict(BASE, sliding_window=16, use_sliding_window=True),
    *(dict(MISTRAL, sliding_window=16, layer_types=t) for t in (["full_attention"] * 2, ["sliding_attention"] * 2, ["full_attention", "sliding_attention"], None)), dict(MISTRAL, sliding_window=None, layer_types=["sliding_attention"] * 2),
    *(dict(QWEN, use_sliding_window=u, sliding_window=16, max_window_layers=m) for u, m in ((True, 0), (True, 1), (True, 28), (False, 0), (None, 0))), dict(QWEN, sliding_window=16, use_sliding_window=True, layer_types=["full_attention"] * 2), dict(QWEN, sliding_window=16, use_sliding_window=True, layer_types=["sliding_attention"] * 2),
    dict(QWEN, use_sliding_window=False, layer_types=["sliding_attention"] * 2), dict(QWEN, use_sliding_window=True, max_window_layers=0), dict(QWEN, use_sliding_window=True, sliding_window=None, max_window_layers=0), dict(BASE, layer_types=["sliding_attention"] * 2),
    dict(BASE, attention_bias=True), dict(BASE, mlp_bias=True), dict(BASE, attention_bias=False), dict(QWEN, attention_bias=False), dict(BASE, pretraining_tp=2), dict(BASE, attention_dropout=0.1), dict(BASE, torch_dtype="float16", use_cache=False, transformers_version="4.31.0", _name_or_path="x"),
    dict(BASE, quantization_config={"quant_method": "gptq", "bits": 4}), dict(BASE, num_key_value_heads=3), dict(BASE, hidden_size="48"), dict(BASE, num_hidden_layers=2.0), dict(BASE, vocab_size=100.5),
]


def read(config):
    with tempfile.TemporaryDirectory() as path:
        (Path(path) / "config.json").write_text(json.dumps(config))
        try:
            c = AutoConfig.from_pretrained(path)
        except Exception:
            return None
        if c.model_type not in ("llama", "mistral", "ministral", "qwen2"):
            return None
        kinds = list(getattr(c, "layer_types", None) or [])
        # A Mistral with layer_types is a Ministral for AutoConfig.
        window = getattr(c, "sliding_window", None) if c.model_type != "llama" else None
        windows = [window if c.model_type == "mistral" or kind == "sliding_attention" else None for kind in kinds[:c.num_hidden_layers] or [None] * c.num_hidden_layers]
        heads = c.num_attention_heads
        return dict(model_type=c.model_type.replace("ministral", "mistral"), hidden_size=c.hidden_size, intermediate_size=c.intermediate_size, num_hidden_layers=c.num_hidden_layers, num_attention_heads=heads,
                    num_key_value_heads=c.num_key_value_heads, head_dim=getattr(c, "head_dim", None) or c.hidden_size // heads, vocab_size=c.vocab_size, rms_norm_eps=c.rms_norm_eps, max_position_embeddings=c.max_position_embeddings,
                    hidden_act=c.hidden_act, tie_word_embeddings=c.tie_word_embeddings, bos=c.bos_token_id, eos=c.eos_token_id, rope=c.rope_parameters, windows=windows)


json.dump([[config, read(config)] for config in CASES], sys.stdout, separators=(",", ":"))
print()
