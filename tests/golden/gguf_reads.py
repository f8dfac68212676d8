"""The `gguf` package as the judge of a file that mipo wrote: every tensor against the model's own, in the order of rows and
in the format that llama.cpp's converter and the package's quantisers give, and the metadata that llama.cpp asks for.

    deno task export --model MODEL --format gguf --dtype DTYPE --output FILE
    python gguf_reads.py MODEL FILE
"""
import json, sys
from pathlib import Path
import numpy as np
import torch
from gguf import GGMLQuantizationType as T, GGUFReader, MODEL_ARCH_NAMES, get_tensor_name_map
from gguf.quants import quantize
from transformers import AutoModelForCausalLM

model, file = sys.argv[1:3]
reader = GGUFReader(file)
value = lambda key: reader.fields[key].contents()
config = json.loads((Path(model) / "config.json").read_text())
arch = value("general.architecture")
names = get_tensor_name_map({name: a for a, name in MODEL_ARCH_NAMES.items()}[arch], config["num_hidden_layers"])
weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
heads = {"q_proj": config["num_attention_heads"], "k_proj": config["num_key_value_heads"]}


def permute(tensor, n):  # LlamaModel.permute of llama.cpp's converter
    return tensor.reshape(n, 2, tensor.shape[0] // n // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


found = {tensor.name: tensor for tensor in reader.tensors}
tied = config.get("tie_word_embeddings", False)
wanted = {}
for name, tensor in weights.state_dict().items():
    if tied and name == "lm_head.weight":
        continue
    n = next((n for part, n in heads.items() if part in name), None)
    wanted[names.get_name(name, (".weight", ".bias"))] = permute(tensor, n) if n and arch == "llama" else tensor
assert set(found) - {"rope_freqs.weight"} == set(wanted), set(found) ^ set(wanted)
for name, tensor in wanted.items():
    kind, values = found[name].tensor_type, tensor.numpy()
    assert list(reversed(found[name].shape)) == list(values.shape), name
    assert values.ndim > 1 or kind == T.F32, name
    expected = values if kind == T.F32 else values.astype(np.float16) if kind == T.F16 else quantize(values, kind)
    same = np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(found[name].data).tobytes()
    assert same, f"{name}: other bytes than {kind.name} of the model's"
if "rope_freqs.weight" in found:
    inverse = weights.model.rotary_emb.inv_freq.numpy()
    rope = config.get("rope_parameters") or config
    size = 2 * len(inverse)
    plain = rope.get("rope_theta", config.get("rope_theta")) ** -(np.arange(0, size, 2) / size)
    assert np.allclose(plain / found["rope_freqs.weight"].data, inverse, rtol=1e-6)
for ours, ggml in [("hidden_size", "embedding_length"), ("num_hidden_layers", "block_count"),
                   ("intermediate_size", "feed_forward_length"), ("num_attention_heads", "attention.head_count"),
                   ("num_key_value_heads", "attention.head_count_kv")]:
    assert value(f"{arch}.{ggml}") == config[ours], ggml
tokenizer = json.loads((Path(model) / "tokenizer.json").read_text())
tokens = value("tokenizer.ggml.tokens")
assert len(tokens) == config["vocab_size"] == len(value("tokenizer.ggml.token_type"))
vocab = tokenizer["model"]["vocab"] | {t["content"]: t["id"] for t in tokenizer["added_tokens"]}
assert all(tokens[i] == token for token, i in vocab.items())
print(f"{len(wanted)} tensors of {found['token_embd.weight'].tensor_type.name}, {len(vocab)} tokens: as llama.cpp has them")
