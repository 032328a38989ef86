"""The network of `examples/sprites.json` in PyTorch, trained by the recipe of `examples/sprites.toml` on the same batches.

A trained folder of `vljepa train` (one step suffices) gives the initial weights and the frozen text encoder; weights are read and
written under the names of that folder, so that `vljepa` loads what comes out.

    cargo build --release -p vljepa-train --example batches
    python sprites.py --config sprites.toml --start RUN/model --batches target/release/examples/batches --steps 4000 --out OUT
"""

import argparse
import json
import math
import struct
import subprocess
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

HEADS, HEAD = 4, 48
TUBELET = 4
STEM = [(24, 0), (48, 1), (96, 1), (192, 1)]


def rotate_3d(x, cos_even, sin_even, cos_odd, sin_odd):
    """V-JEPA 2's rotation of neighbouring channels, whose two angles differ: its frequencies are tiled, not repeated."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos_even - b * sin_even, b * cos_odd + a * sin_odd), -1).flatten(-2)


def angles_3d(tubelets, rows, columns):
    count = HEAD // 3 // 2
    frequencies = 10_000.0 ** (-torch.arange(count, dtype=torch.float64) / count)
    ids = torch.arange(tubelets * rows * columns)
    positions = (ids // (rows * columns), ids % (rows * columns) // columns, ids % columns)
    even = torch.cat([p[:, None] * frequencies[(2 * torch.arange(count)) % count] for p in positions], 1)
    odd = torch.cat([p[:, None] * frequencies[(2 * torch.arange(count) + 1) % count] for p in positions], 1)
    return [t.float() for t in (even.cos(), even.sin(), odd.cos(), odd.sin())]


def rotate_half(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def split(x):
    return x.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)


class Model:
    """Functions of a dictionary of weights."""

    def __init__(self, weights):
        self.w = weights
        self.layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("x_encoder.layer."))
        self.predictor_layers = 1 + max(int(n.split(".")[2]) for n in weights if n.startswith("predictor.layers."))

    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, x, name, eps=1e-6):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], eps)

    def rms(self, x, name):
        return F.rms_norm(x, x.shape[-1:], self.w[name + ".weight"], 1e-5)

    def conv(self, x, name, stride):
        weight = self.w[name + ".weight"].permute(0, 3, 1, 2)
        return F.conv2d(x.permute(0, 3, 1, 2), weight, self.w[name + ".bias"], stride, 1).permute(0, 2, 3, 1)

    def stem(self, x, name):
        for i, (_, residual) in enumerate(STEM):
            x = self.conv(x, f"{name}.{i}.conv", 2)
            for j in range(residual):
                r = f"{name}.{i}.residual.{j}"
                x = x + self.conv(F.gelu(self.norm(x, r + ".norm")), r + ".conv", 1)
            x = F.gelu(self.norm(x, f"{name}.{i}.norm"))
        return x

    def encode(self, frames):
        """[B, T, 3, S, S] -> [B, tokens, 192]."""
        batch, time_, channels, side, _ = frames.shape
        tubelets = time_ // TUBELET
        name = "x_encoder.embeddings"
        clips = frames.reshape(batch * tubelets, TUBELET * channels, side, side).permute(0, 2, 3, 1)
        x = self.stem(clips, name + ".stem").flatten(1, 2)
        x = F.linear(x, self.w[name + ".patch_embeddings.proj.0.weight"], self.w[name + ".patch_embeddings.proj.bias"])
        if name + ".patch_embeddings.still.weight" in self.w:
            still = frames.reshape(batch * tubelets, TUBELET, channels, side, side)[:, TUBELET // 2].permute(0, 2, 3, 1)
            x = x + F.linear(self.stem(still, name + ".still_stem").flatten(1, 2), self.w[name + ".patch_embeddings.still.weight"])
        x = x.reshape(batch, -1, x.shape[-1])
        turn = angles_3d(tubelets, side // 16, side // 16)
        for i in range(self.layers):
            n = f"x_encoder.layer.{i}"
            h = self.norm(x, n + ".norm1")
            q, k, v = (split(self.linear(h, f"{n}.attention.{part}")) for part in ("query", "key", "value"))
            h = F.scaled_dot_product_attention(rotate_3d(q, *turn), rotate_3d(k, *turn), v)
            x = x + self.linear(h.transpose(1, 2).flatten(2), n + ".attention.proj")
            x = x + self.linear(F.gelu(self.linear(self.norm(x, n + ".norm2"), n + ".mlp.fc1")), n + ".mlp.fc2")
        return self.norm(x, "x_encoder.layernorm")

    def predict(self, vision, ids, mask):
        """Tokens [P, N, 192], ids and mask [P, L] -> [P, 256], not normalised."""
        # A query without tokens: what its pads become is masked below.
        some = mask | ~mask.any(1, keepdim=True)
        with torch.no_grad():
            states = self.states(ids, some)
        words = F.linear(states, self.w["predictor.embed_projection.weight"])
        x = torch.cat((self.linear(vision, "vision_projection"), words), 1)
        mask = torch.cat((torch.ones(vision.shape[:2], dtype=torch.bool), mask), 1)
        position = torch.arange(x.shape[1])[:, None]
        angle = position * 500_000.0 ** (-torch.arange(HEAD // 2, dtype=torch.float64) * 2 / HEAD)
        cos, sin = angle.cos().float(), angle.sin().float()
        for i in range(self.predictor_layers):
            n = f"predictor.layers.{i}"
            h = self.rms(x, n + ".input_layernorm")
            q, k, v = (split(self.linear(h, f"{n}.self_attn.{part}_proj")) for part in "qkv")
            h = F.scaled_dot_product_attention(
                rotate_half(q, cos, sin), rotate_half(k, cos, sin), v, attn_mask=mask[:, None, None, :]
            )
            x = x + self.linear(h.transpose(1, 2).flatten(2), n + ".self_attn.o_proj")
            h = self.rms(x, n + ".post_attention_layernorm")
            gate = F.silu(self.linear(h, n + ".mlp.gate_proj")) * self.linear(h, n + ".mlp.up_proj")
            x = x + self.linear(gate, n + ".mlp.down_proj")
        x = self.rms(x, "predictor.norm")
        share = mask[..., None] / mask.sum(1)[:, None, None]
        return self.linear((x * share).sum(1), "predictor_head")

    def states(self, ids, mask):
        """BERT: [M, L] -> [M, L, 384]."""
        e = "y_encoder.embeddings"
        x = self.w[e + ".word_embeddings.weight"][ids] + self.w[e + ".position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(x + self.w[e + ".token_type_embeddings.weight"][0], e + ".LayerNorm", 1e-12)
        for i in range(6):
            n = f"y_encoder.encoder.layer.{i}"
            q, k, v = (
                self.linear(x, f"{n}.attention.self.{part}").unflatten(-1, (12, 32)).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            h = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
            h = self.linear(h.transpose(1, 2).flatten(2), n + ".attention.output.dense")
            x = self.norm(x + h, n + ".attention.output.LayerNorm", 1e-12)
            h = self.linear(F.gelu(self.linear(x, n + ".intermediate.dense")), n + ".output.dense")
            x = self.norm(x + h, n + ".output.LayerNorm", 1e-12)
        return x

    def pooled(self, ids, mask):
        x = self.states(ids, mask)
        return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def text(self, ids, mask):
        """With mean pooling and the head: [M, L] -> [M, 256], normalised."""
        return F.normalize(self.linear(self.pooled(ids, mask), "y_head"), dim=-1)


def padded(encodings, most):
    rows = [e[:most] for e in encodings]
    width = max(1, max(map(len, rows)))
    ids = torch.tensor([r + [0] * (width - len(r)) for r in rows])
    mask = torch.tensor([[True] * len(r) + [False] * (width - len(r)) for r in rows])
    return ids, mask


class Texts:
    """Embeddings of texts by the frozen encoder, each made once."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer, self.kept = model, tokenizer, {}

    @torch.no_grad()
    def __call__(self, texts):
        new = sorted({t for t in texts if t not in self.kept}, key=len)
        for at in range(0, len(new), 256):
            part = new[at : at + 256]
            ids, mask = padded([e.ids for e in self.tokenizer.encode_batch(part)], 256)
            self.kept.update(zip(part, self.model.text(ids, mask)))
        return torch.stack([self.kept[t] for t in texts])


def batches(program, config, *what):
    process = subprocess.Popen([program, config, *map(str, what)], stdout=subprocess.PIPE, bufsize=1 << 24)
    pipe = process.stdout
    while length := pipe.read(4):
        header = json.loads(pipe.read(struct.unpack("<I", length)[0]))
        shape = header["shape"]
        pixels = pipe.read(4 * math.prod(shape))
        yield torch.frombuffer(bytearray(pixels), dtype=torch.float32).reshape(shape), header["pairs"]
    if process.wait() != 0:
        raise SystemExit("the batches ended early")


class Queries:
    def __init__(self, path):
        self.tokenizer = Tokenizer.from_file(str(path))

    def __call__(self, pairs, dropout=0.0):
        found = self.tokenizer.encode_batch([p.get("query") or "" for p in pairs], add_special_tokens=False)
        rows = [e.ids for e in found]
        if dropout > 0:
            left = [[t for t, keep in zip(r, (torch.rand(len(r)) >= dropout).tolist()) if keep] for r in rows]
            rows = [some or whole[:1] for some, whole in zip(left, rows)]
        return padded(rows, 32)


def info_nce(logits, own, same):
    """Cross-entropy over rows; texts equal to the right one are left out."""
    logits = logits.masked_fill(same & ~own, -torch.inf)
    return (logits.logsumexp(1) - logits[own]).mean()


def loss_of(prediction, pairs, texts, scale, wrong_share, own_share):
    right = [p["answer"] for p in pairs]
    wrong = list(dict.fromkeys(t for p in pairs for t in p["wrong"]))
    number = {t: i for i, t in enumerate(dict.fromkeys(right + wrong))}
    keys = torch.tensor([number[t] for t in right + wrong])
    targets = texts(right + wrong)
    n = len(right)
    logits = scale * F.normalize(prediction, dim=-1) @ targets.T
    own = torch.eye(n, len(keys), dtype=torch.bool)
    same = keys[:n, None] == keys[None, :]
    first = info_nce(logits[:, :n], own[:, :n], same[:, :n])
    back = info_nce(logits[:, :n].T, own[:, :n], same[:, :n])
    loss = (1 - wrong_share) * (first + back) / 2 + wrong_share * info_nce(logits, own, same)
    if own_share > 0:
        at = {t: n + i for i, t in enumerate(wrong)}
        allowed = own.clone()
        for i, p in enumerate(pairs):
            allowed[i, [at[t] for t in p["wrong"]]] = True
        asked = torch.tensor([bool(p["wrong"]) for p in pairs])
        among = logits.masked_fill(~allowed, -torch.inf)[asked]
        loss = loss + own_share * (among.logsumexp(1) - logits[:, :n].diagonal()[asked]).mean()
    return loss


def newton_schulz(g, steps=5):
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    x = x.mT if tall else x
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


class Optimizer:
    """Muon for matrices, AdamW with clipped gradients for the rest."""

    def __init__(self, params, muon_lr, lr, slow):
        self.muon_lr, self.lr = muon_lr, lr
        self.slow = slow
        excluded = ("predictor.embed_projection.", "predictor_head.")
        self.muon, self.adamw = {}, {}
        for name, p in params.items():
            of = self.muon if p.dim() > 1 and not name.startswith(excluded) else self.adamw
            of[name] = p
        self.momentum = {n: torch.zeros_like(p) for n, p in self.muon.items()}
        self.moments = {n: (torch.zeros_like(p), torch.zeros_like(p)) for n, p in self.adamw.items()}
        self.shapes = {}
        for n, p in self.muon.items():
            self.shapes.setdefault((p.shape[0], p.numel() // p.shape[0]), []).append(n)
        self.step_count = 0

    def rate(self, name):
        return self.slow if ".still_stem." in name or "patch_embeddings.still" in name else 1.0

    @torch.no_grad()
    def step(self, factor):
        self.step_count += 1
        t = self.step_count
        mu = 0.95
        for (rows, columns), names in self.shapes.items():
            ahead = []
            for n in names:
                g = self.muon[n].grad
                m = self.momentum[n].mul_(mu).add_(g, alpha=1 - mu)
                ahead.append(((1 - mu) * g + mu * m).reshape(rows, columns))
            updates = newton_schulz(torch.stack(ahead))
            for n, update in zip(names, updates):
                p, lr = self.muon[n], self.muon_lr * factor * self.rate(n)
                p.mul_(1 - lr * 0.02).add_(update.reshape(p.shape), alpha=-lr * max(1, rows / columns) ** 0.5)
        grads = [p.grad for p in self.adamw.values()]
        norm = torch.stack([g.norm() for g in grads]).norm()
        clip = min(1.0, 1.0 / (norm.item() + 1e-6))
        b1, b2 = 0.9, 0.99
        for n, p in self.adamw.items():
            m, v = self.moments[n]
            g = p.grad * clip
            m.mul_(b1).add_(g, alpha=1 - b1)
            v.mul_(b2).addcmul_(g, g, value=1 - b2)
            lr = self.lr * factor * self.rate(n)
            if p.dim() > 1:
                p.mul_(1 - lr * 0.01)
            p.addcdiv_(m / (1 - b1**t), (v / (1 - b2**t)).sqrt() + 1e-8, value=-lr)
        for p in [*self.muon.values(), *self.adamw.values()]:
            p.grad = None


@torch.no_grad()
def validate(weights, texts, queries, clips):
    model, hits = Model(weights), {}
    predictions, captions = [], []
    for frames, pairs in clips:
        vision = model.encode(frames)
        about = torch.tensor([p["about"] for p in pairs])
        predicted = F.normalize(model.predict(vision[about], *queries(pairs)), dim=-1)
        for row, p in zip(predicted, pairs):
            if p["kind"] == "caption":
                predictions.append(row)
                captions.append(texts([p["answer"]])[0])
                continue
            found = texts([p["answer"], *p["wrong"]]) @ row
            hits.setdefault(p["kind"], []).append(float(found[0] > found[1:].max()))
    logits = torch.stack(captions) @ torch.stack(predictions).T
    hits["t2v"] = (logits.argmax(1) == torch.arange(len(logits))).float().tolist()
    return {k: round(100 * sum(v) / len(v), 1) for k, v in hits.items()}


def warm_start(weights, compact):
    """The still stem of a model of pictures, whose clips are a frame shown twice."""
    name = "x_encoder.embeddings."
    for n, value in compact.items():
        if n.startswith(name + "stem."):
            weights[n.replace("embeddings.stem.", "embeddings.still_stem.")] = value.clone()
    proj = name + "patch_embeddings.proj."
    weights[name + "patch_embeddings.still.weight"] = compact[proj + "0.weight"] + compact[proj + "1.weight"]


def refit(weights, other, found, queries, tokenizer):
    """The weights of another run, with two maps fitted anew by least squares on texts of `found` batches: from its embedding of texts to
    that of `weights`, into the head; and from what queries become here to what they became there."""
    kept = {n: weights[n] for n in weights if n.startswith(("y_encoder.", "y_head."))}
    pairs = [p for _, of in found for p in of]
    ids, mask = padded([e.ids for e in tokenizer.encode_batch(sorted({p["answer"] for p in pairs}))], 256)
    model = Model(weights)
    with torch.no_grad():
        pooled = torch.cat([model.pooled(i, m) for i, m in zip(ids.split(256), mask.split(256))])
        ours, theirs = (F.linear(pooled, w["y_head.weight"], w["y_head.bias"]) for w in (weights, other))
        fit = torch.linalg.lstsq(F.pad(theirs, (0, 1), value=1.0).double(), ours.double(), driver="gelsd").solution.float()
        head = other["predictor_head.weight"], other["predictor_head.bias"]
        other["predictor_head.weight"], other["predictor_head.bias"] = fit[:-1].T @ head[0], fit[:-1].T @ head[1] + fit[-1]
        ids, mask = queries([p for p in pairs if p.get("query")])
        states = torch.cat([model.states(i, m)[m] for i, m in zip(ids.split(256), mask.split(256))])
        words = weights["y_encoder.embeddings.word_embeddings.weight"][ids[mask]] @ other["predictor.embed_projection.weight"].T
        gram = states.T @ states
        ridge = 1e-3 * gram.diagonal().mean() * torch.eye(len(gram))
        other["predictor.embed_projection.weight"] = torch.linalg.solve(gram + ridge, states.T @ words).T.contiguous()
    return {**other, **kept}


def read_compact(folder):
    out = {}
    for path in Path(folder).glob("*.safetensors"):
        raw = load_file(path)
        for n, value in raw.items():
            if n + ".scale" in raw:
                scale = raw[n + ".scale"]
                value = value.float() * scale.reshape(-1, *[1] * (value.dim() - 1))
            if not n.endswith(".scale"):
                out[n] = value.float()
    return out


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--config", required=True)
    arguments.add_argument("--start", required=True, type=Path, help="a folder of `vljepa train`: initial weights and tokenizers")
    arguments.add_argument("--still", help="a folder whose stem the still stem starts from")
    arguments.add_argument("--weights", help="a folder of another run, whose text encoder is the same: its weights, refitted")
    arguments.add_argument("--batches", required=True, help="the built example `batches`")
    arguments.add_argument("--steps", type=int, required=True)
    arguments.add_argument("--first", type=int, default=0, help="step of the schedule to start from")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--wrong", type=float, default=0.7)
    arguments.add_argument("--own", type=float, default=1.0)
    arguments.add_argument("--slow", type=float, default=0.1, help="rate of the still stem against the others'")
    arguments.add_argument("--dropout", type=float, default=0.1)
    arguments.add_argument("--muon-lr", type=float, default=0.02)
    arguments.add_argument("--lr", type=float, default=2e-3)
    arguments.add_argument("--every", type=int, default=250)
    arguments.add_argument("--check", action="store_true", help="print the loss of the first batch and stop")
    a = arguments.parse_args()
    torch.set_num_threads(2)
    torch.manual_seed(a.first)
    weights = load_file(a.start / "model.safetensors")
    if a.still:
        warm_start(weights, read_compact(a.still))
    if a.weights:
        tokenizer = Tokenizer.from_file(str(a.start / "target_tokenizer.json"))
        found = list(batches(a.batches, a.config, a.steps, 20))
        weights = refit(weights, read_compact(a.weights), found, Queries(a.start / "query_tokenizer.json"), tokenizer)
    frozen = ("y_encoder.", "y_head.")
    params = {n: w for n, w in weights.items() if not n.startswith(frozen)}
    texts = Texts(Model(weights), Tokenizer.from_file(str(a.start / "target_tokenizer.json")))
    queries = Queries(a.start / "query_tokenizer.json")
    model = Model(weights)
    if a.check:
        frames, pairs = next(batches(a.batches, a.config, 0, 1))
        with torch.no_grad():
            vision = model.encode(frames)
            about = torch.tensor([p["about"] for p in pairs])
            prediction = model.predict(vision[about], *queries(pairs))
            scale = weights["logit_scale"].exp().clamp(max=100)
            print(len(pairs), "pairs, loss", loss_of(prediction, pairs, texts, scale, a.wrong, a.own).item())
        return
    for p in params.values():
        p.requires_grad_(True)
    ema = {n: p.detach().clone() for n, p in params.items()}
    optimizer = Optimizer(params, a.muon_lr, a.lr, a.slow)
    state = a.out / "state.pt"
    if a.first:
        kept = torch.load(state)
        for n, p in params.items():
            p.data.copy_(kept["params"][n])
        ema, optimizer.momentum, optimizer.moments = kept["ema"], kept["momentum"], kept["moments"]
        optimizer.step_count = kept["step"]
    a.out.mkdir(parents=True, exist_ok=True)
    clips = list(batches(a.batches, a.config, "validation", 200))
    log = open(a.out / "log.jsonl", "a")
    started, seen = time.time(), []
    for step, (frames, pairs) in enumerate(batches(a.batches, a.config, a.first, a.steps - a.first), a.first):
        vision = model.encode(frames)
        about = torch.tensor([p["about"] for p in pairs])
        prediction = model.predict(vision[about], *queries(pairs, a.dropout))
        scale = params["logit_scale"].exp().clamp(max=100)
        loss = loss_of(prediction, pairs, texts, scale, a.wrong, a.own)
        loss.backward()
        warm = min(1.0, (step + 1) / (0.04 * a.steps))
        after = max(0.0, (step / a.steps - 0.04) / 0.96)
        optimizer.step(warm * (0.5 + 0.5 * math.cos(math.pi * after)))
        decay = min(1 - 1 / max(1.0, 0.03 * a.steps), (2 + step) / (11 + step))
        with torch.no_grad():
            for n, p in params.items():
                ema[n].mul_(decay).add_(p, alpha=1 - decay)
        seen.append(loss.item())
        if (step + 1) % 25 == 0:
            each = (time.time() - started) / (step + 1 - a.first)
            print(f"{step + 1}/{a.steps} loss {sum(seen[-25:]) / 25:.3f} {each:.2f} s/step scale {scale.item():.1f}", flush=True)
        if (step + 1) % a.every == 0 or step + 1 == a.steps:
            found = validate({**weights, **ema}, texts, queries, clips)
            print(json.dumps({"step": step + 1, "loss": sum(seen[-100:]) / len(seen[-100:]), **found}), file=log, flush=True)
            print(found, flush=True)
            kept = {"params": params, "ema": ema, "momentum": optimizer.momentum, "moments": optimizer.moments}
            torch.save({**kept, "step": optimizer.step_count}, state)
            out = {n: t.detach().clone().contiguous() for n, t in {**weights, **ema}.items()}
            save_file(out, a.out / "model.safetensors")


if __name__ == "__main__":
    main()
