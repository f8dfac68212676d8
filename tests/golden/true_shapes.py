"""Random models with the true layer shapes and vocabulary of Mistral-7B or Llama-3-8B and two layers, an adapter of rank 16
on every linear layer, and the adapter's gradients from PyTorch and PEFT in float32. With q4_0 or q8_0 the gradients are those
on a base that the `gguf` package has quantised and dequantised; the model is written as it was before.

    python true_shapes.py mistral|llama3 OUT [q4_0|q8_0]
    deno run -A tests/golden/true_shapes.ts OUT [q4_0|q8_0]
"""
import json, sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM
from peft import LoraConfig, get_peft_model

name, out, dtype = sys.argv[1], Path(sys.argv[2]), (sys.argv + [None])[3]
common = dict(hidden_size=4096, intermediate_size=14336, num_hidden_layers=2, num_attention_heads=32, num_key_value_heads=8,
              max_position_embeddings=256, tie_word_embeddings=False, attn_implementation="eager")
torch.manual_seed(3)
torch.set_default_dtype(torch.bfloat16)
if name == "mistral":
    model = MistralForCausalLM(MistralConfig(vocab_size=32000, sliding_window=None, rms_norm_eps=1e-5, **common))
else:
    model = LlamaForCausalLM(LlamaConfig(vocab_size=128256, rms_norm_eps=1e-5, rope_theta=500000.0, **common))
torch.set_default_dtype(torch.float32)
model.save_pretrained(out, max_shard_size="100GB")
model = model.float()
if dtype:
    from gguf import GGMLQuantizationType as T
    from gguf.quants import dequantize, quantize
    with torch.no_grad():
        for p in model.parameters():
            for at in range(0, len(p) if p.ndim == 2 else 0, 4096):  # by rows: the quantiser makes many copies
                rows = p[at:at + 4096]
                rows.copy_(torch.from_numpy(dequantize(quantize(rows.numpy(), T[dtype.upper()]), T[dtype.upper()])))
model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM"))
generator = torch.Generator().manual_seed(5)
with torch.no_grad():
    for key, p in model.named_parameters():
        if "lora_B" in key:
            p.copy_(torch.randn(p.shape, generator=generator) * 0.02)
model.save_pretrained(out / "adapter")
path = out / "adapter" / "adapter_config.json"
path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": ".."}))
ids = torch.randint(0, model.config.vocab_size, (1, 48), generator=generator)
prompt = 16
logp = torch.log_softmax(model(ids).logits[0, :-1].float(), -1).gather(1, ids[0, 1:, None])[:, 0]
(-logp[prompt - 1:].mean()).backward()
grads = {k.replace(".default", ""): p.grad.float().contiguous() for k, p in model.named_parameters() if p.grad is not None}
save_file(grads, out / "gradients.safetensors")
(out / "tokens.json").write_text(json.dumps({"ids": ids[0].tolist(), "prompt": prompt, "logp": float(logp[prompt - 1:].sum())}))
