"""The Y-Decoder of `y_decoder` in PyTorch, trained on texts alone: from the embedding of a text with noise back to the text.

    cargo build --release -p vljepa-train --example batches
    target/release/examples/batches examples/sprites.toml texts 60000 > texts.jsonl
    python decoder.py --start FOLDER --texts texts.jsonl --out OUT

FOLDER is a model with the tensors `y_encoder.*` and `y_head.*` and a `target_tokenizer.json`. OUT gets `decoder.safetensors` with the tensors
`y_decoder.*`, and `y_decoder.json` with the key of `config.json`.
"""

import argparse
import json
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from sprites import Model, newton_schulz, rotate_half

HIDDEN, HEADS, INNER, LAYERS, PREFIX = 192, 4, 512, 3, 4
THETA = 10_000.0
# Words that no text holds are never said.
NEVER = -60.0


def initial(width, dim, vocabulary):
    random_ = lambda *shape: torch.randn(*shape) * 0.02
    w = {"prefix.weight": torch.randn(PREFIX * HIDDEN, dim) / math.sqrt(dim), "prefix.bias": torch.zeros(PREFIX * HIDDEN)}
    w["embed_projection.weight"] = torch.randn(HIDDEN, width) / math.sqrt(width)
    for i in range(LAYERS):
        n = f"layers.{i}"
        for part in "qkvo":
            w[f"{n}.self_attn.{part}_proj.weight"] = random_(HIDDEN, HIDDEN)
        w[f"{n}.mlp.gate_proj.weight"], w[f"{n}.mlp.up_proj.weight"] = random_(INNER, HIDDEN), random_(INNER, HIDDEN)
        w[f"{n}.mlp.down_proj.weight"] = random_(HIDDEN, INNER)
        for part in ("input_layernorm", "post_attention_layernorm"):
            w[f"{n}.{part}.weight"] = torch.ones(HIDDEN)
    w["norm.weight"] = torch.ones(HIDDEN)
    w["lm_projection.weight"] = random_(width, HIDDEN)
    w["lm_head.bias"] = torch.full((vocabulary,), NEVER)
    return w


class Decoder:
    def __init__(self, weights, table, used):
        self.w, self.table = weights, table
        self.used, self.used_table = used, table[used]

    def rms(self, x, name):
        return F.rms_norm(x, x.shape[-1:], self.w[name + ".weight"], 1e-5)

    def __call__(self, embeddings, ids):
        """[B, dim], [B, N] -> logits of the words in use, [B, N + 1, used]."""
        prefix = F.linear(embeddings, self.w["prefix.weight"], self.w["prefix.bias"]).unflatten(-1, (PREFIX, HIDDEN))
        x = torch.cat((prefix, F.linear(self.table[ids], self.w["embed_projection.weight"])), 1)
        head = HIDDEN // HEADS
        angle = torch.arange(x.shape[1])[:, None] * THETA ** (-torch.arange(head // 2, dtype=torch.float64) * 2 / head)
        cos, sin = angle.cos().float(), angle.sin().float()
        for i in range(LAYERS):
            n = f"layers.{i}"
            h = self.rms(x, n + ".input_layernorm")
            q, k, v = (F.linear(h, self.w[f"{n}.self_attn.{part}_proj.weight"]).unflatten(-1, (HEADS, head)).transpose(1, 2) for part in "qkv")
            h = F.scaled_dot_product_attention(rotate_half(q, cos, sin), rotate_half(k, cos, sin), v, is_causal=True)
            x = x + F.linear(h.transpose(1, 2).flatten(2), self.w[f"{n}.self_attn.o_proj.weight"])
            h = self.rms(x, n + ".post_attention_layernorm")
            gate = F.silu(F.linear(h, self.w[n + ".mlp.gate_proj.weight"])) * F.linear(h, self.w[n + ".mlp.up_proj.weight"])
            x = x + F.linear(gate, self.w[n + ".mlp.down_proj.weight"])
        x = self.rms(x[:, PREFIX - 1 :], "norm")
        return F.linear(F.linear(x, self.w["lm_projection.weight"]), self.used_table, self.w["lm_head.bias"][self.used])


def noisy(rows, most):
    """Unit rows with noise of a random size, of unit length again: what predictions are like."""
    size = most * torch.rand(len(rows), 1)
    return F.normalize(rows + size * F.normalize(torch.randn_like(rows), dim=-1), dim=-1)


@torch.no_grad()
def greedy(decoder, rows, end, most=48):
    ids = torch.zeros(len(rows), 0, dtype=torch.long)
    ended = torch.zeros(len(rows), dtype=torch.bool)
    while ids.shape[1] < most and not ended.all():
        following = decoder.used[decoder(rows, ids)[:, -1].argmax(-1)]
        ended |= following == end
        ids = torch.cat((ids, following[:, None]), 1)
    return [[t for t in row[: row.index(end)] if t] if end in row else row for row in ids.tolist()]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--start", required=True, type=Path)
    arguments.add_argument("--texts", required=True, type=Path)
    arguments.add_argument("--out", required=True, type=Path)
    arguments.add_argument("--steps", type=int, default=4000)
    arguments.add_argument("--batch", type=int, default=192)
    arguments.add_argument("--noise", type=float, default=1.0, help="largest norm of the noise on unit embeddings")
    arguments.add_argument("--lr", type=float, default=2e-3)
    arguments.add_argument("--muon-lr", type=float, default=0.02)
    arguments.add_argument("--minutes", type=float, default=1e9, help="end after so long, along the same schedule in time")
    a = arguments.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(1)
    dice = random.Random(1)
    weights = load_file(a.start / "model.safetensors")
    model = Model(weights)
    tokenizer = Tokenizer.from_file(str(a.start / "target_tokenizer.json"))
    end = tokenizer.token_to_id("[SEP]")
    texts = {}
    for line in open(a.texts):
        row = json.loads(line)
        texts[dice.choice(row["captions"])] = None
        for answer in row["answers"]:
            texts[answer] = None
    texts = list(texts)
    dice.shuffle(texts)
    encoded = [e.ids for e in tokenizer.encode_batch(texts)]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    rows = torch.zeros(len(texts), weights["y_head.weight"].shape[0])
    started = time.time()
    with torch.no_grad():
        for at in range(0, len(order), 256):
            part = order[at : at + 256]
            width = max(len(encoded[i]) for i in part)
            ids = torch.tensor([encoded[i] + [0] * (width - len(encoded[i])) for i in part])
            mask = torch.arange(width)[None, :] < torch.tensor([len(encoded[i]) for i in part])[:, None]
            rows[torch.tensor(part)] = model.text(ids, mask)
    print(f"{len(texts)} texts embedded in {time.time() - started:.0f} s", flush=True)
    targets = [e[1:] for e in encoded]
    table = weights["y_encoder.embeddings.word_embeddings.weight"]
    used = torch.tensor(sorted({t for row in targets for t in row}))
    w = initial(table.shape[1], rows.shape[1], len(table))
    w["lm_head.bias"][used] = 0.0
    place = torch.full((len(table),), -100)
    place[used] = torch.arange(len(used))
    for name, p in w.items():
        p.requires_grad_(True)
    matrices = {n: p for n, p in w.items() if p.dim() > 1 and n not in ("prefix.weight", "embed_projection.weight", "lm_projection.weight")}
    others = [p for n, p in w.items() if n not in matrices]
    adamw = torch.optim.AdamW(others, lr=a.lr, betas=(0.9, 0.98), weight_decay=0.01)
    momentum = {n: torch.zeros_like(p) for n, p in matrices.items()}
    decoder = Decoder(w, table, used)
    validation, train = list(range(256)), list(range(256, len(texts)))
    # Captions are many, answers few and short: of a batch an eighth are answers.
    short = [i for i in train if len(targets[i]) <= 5]
    long = [i for i in train if len(targets[i]) > 5]
    print(f"{len(used)} words, {len(long)} captions, {len(short)} short texts", flush=True)
    started, seen, step = time.time(), [], 0
    while True:
        done = max(step / a.steps, (time.time() - started) / 60 / a.minutes)
        if done >= 1:
            break
        chosen = dice.sample(long, a.batch - a.batch // 8) + dice.choices(short, k=a.batch // 8)
        width = max(len(targets[i]) for i in chosen)
        ids = torch.tensor([targets[i] + [0] * (width - len(targets[i])) for i in chosen])
        right = place[ids].masked_fill(torch.arange(width)[None, :] >= torch.tensor([len(targets[i]) for i in chosen])[:, None], -100)
        logits = decoder(noisy(rows[torch.tensor(chosen)], a.noise), ids[:, :-1])
        loss = F.cross_entropy(logits.flatten(0, 1), right.flatten(), ignore_index=-100)
        loss.backward()
        factor = min(1.0, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * done))
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        for group in adamw.param_groups:
            group["lr"] = a.lr * factor
        adamw.step()
        with torch.no_grad():
            for n, p in matrices.items():
                m = momentum[n].mul_(0.95).add_(p.grad, alpha=0.05)
                update = newton_schulz(0.05 * p.grad + 0.95 * m)
                p.mul_(1 - a.muon_lr * factor * 0.02).add_(update, alpha=-a.muon_lr * factor * max(1, p.shape[0] / p.shape[1]) ** 0.5)
                p.grad = None
        adamw.zero_grad()
        seen.append(loss.item())
        step += 1
        if step % 100 == 0:
            print(f"{step} loss {sum(seen[-100:]) / 100:.3f} {(time.time() - started) / step:.2f} s/step", flush=True)
    for size in (0.0, 0.5, 1.0):
        part = torch.tensor(validation)
        said = greedy(decoder, F.normalize(rows[part] + size * F.normalize(torch.randn_like(rows[part]), dim=-1), dim=-1), end)
        exact = sum(s == targets[i][:-1] for s, i in zip(said, validation))
        print(f"noise {size}: {exact} of {len(validation)} word for word", flush=True)
        for i in (0, 1, 2):
            print("   ", texts[i], "->", tokenizer.decode(said[i]), flush=True)
    a.out.mkdir(parents=True, exist_ok=True)
    save_file({"y_decoder." + n: p.detach().contiguous() for n, p in w.items()}, a.out / "decoder.safetensors")
    config = {
        "vocab_size": len(table), "hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "head_dim": HIDDEN // HEADS, "rms_norm_eps": 1e-5,
        "rope_theta": THETA, "max_position_embeddings": 512,
    }
    key = {"config": config, "prefix_tokens": PREFIX, "max_tokens": 96, "end_id": end}
    (a.out / "y_decoder.json").write_text(json.dumps(key, indent=2) + "\n")


if __name__ == "__main__":
    main()
