"""What fine-tuning VGG16 on ELPV takes: many recipes on the development seeds, in minutes on one GPU.

    python benchmarks/explore_finetuned.py [--seeds 0-3] [--seconds 280] [--recipes a,b]

The recipes are those of `headstart train` and some that it does not have, written once more in PyTorch with
all images in the GPU's memory, so that a run takes seconds. Splits, weights and the head to begin with are
those of `bench_finetuned.py`. Every run is logged when it ends, and not repeated.

Several processes share a GPU: each takes every n-th run with `--share i/n`, and a log of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import bench_elpv
import bench_finetuned
import numpy as np
import torch
from bench_elpv import VGG16
from torch.nn import functional

from headstart.backbones import weights
from headstart.backbones.vgg import conv_names
from headstart.provenance import hardware
from headstart.rundir import write_json
from headstart.training.head import scaling
from headstart.training.probe import PENALTIES
from headstart.training.temperature import calibrated_loss

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOG = Path(__file__).parent / "results" / "elpv-explored.json"
VIEWS = 8
JUDGED = 128


@dataclass(frozen=True)
class Recipe:
    """One way of fine-tuning; `finetuned` is the place to begin from."""

    name: str
    classes: int = 2
    size: int = 224
    unfreeze: str = "block3"
    head: str = "taps"
    epochs: int = 12
    batch: int = 32
    rate: float = 1e-4
    layer_decay: float = 1.0
    class_weight: str = "balanced"
    soft: bool = False
    average: float = 0.99
    dropout: float = 0.0
    mixup: float = 0.0
    jitter: bool = False


RECIPES = (
    Recipe("block3"),
    Recipe("all", unfreeze="all"),
    Recipe("block4", unfreeze="block4"),
    Recipe("unweighted classes", class_weight="none"),
    Recipe("300 px", size=300),
    Recipe("4 classes, unweighted", classes=4, class_weight="none"),
    Recipe("rate 3e-5", rate=3e-5),
    Recipe("rate 3e-4", rate=3e-4),
    Recipe("24 epochs", epochs=24),
    Recipe("all, rates by layer", unfreeze="all", layer_decay=0.8),
    Recipe("gap", head="gap"),
    Recipe("soft labels", soft=True, class_weight="none"),
    Recipe("mixup", mixup=0.2),
    Recipe("jitter", jitter=True),
    Recipe("4 classes", classes=4),
    Recipe("4 classes, soft labels", classes=4, soft=True, class_weight="none"),
    Recipe("300 px, all", size=300, unfreeze="all"),
    Recipe("batch 64", batch=64),
)


class Network(torch.nn.Module):  # type: ignore[misc]  # where PyTorch is not installed
    """VGG16 with a linear head on the scaled means and maxima of its taps."""

    def __init__(self, recipe: Recipe, arrays: dict[str, np.ndarray]) -> None:
        super().__init__()
        self.recipe, self.taps = recipe, VGG16.taps(recipe.head)
        above = VGG16.above(VGG16.boundary(recipe.unfreeze))
        self.kernels, self.biases = torch.nn.ParameterDict(), torch.nn.ParameterDict()
        for name, _, _ in conv_names(VGG16):
            kernel = torch.from_numpy(arrays[f"{name}/kernel"].transpose(3, 2, 0, 1).copy())
            self.kernels[name] = kernel.contiguous(memory_format=torch.channels_last)
            self.biases[name] = torch.from_numpy(arrays[f"{name}/bias"])
            for parameter in (self.kernels[name], self.biases[name]):
                parameter.requires_grad = name in above
        width = VGG16.width(recipe.head, recipe.size)
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("centre", torch.tensor(VGG16.mean).reshape(1, 3, 1, 1))
        self.head = torch.nn.Linear(width, recipe.classes)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """(B, S, S) uint8, grey → (B, D) float32."""
        x = pixels.float()[:, None].expand(-1, 3, -1, -1) - self.centre
        x = x.contiguous(memory_format=torch.channels_last)
        found = []
        with torch.autocast(DEVICE, torch.bfloat16):
            for name in VGG16.layers:
                if "conv" in name:
                    x = functional.relu(
                        functional.conv2d(x, self.kernels[name], self.biases[name], padding=1)
                    )
                else:
                    x = functional.max_pool2d(x, 2)
                if name in self.taps:
                    found += [x.float().mean((2, 3)), x.float().amax((2, 3))]
                if name == VGG16.last_map:
                    break
        return torch.cat(found, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = (self.features(pixels) - self.mean) / self.scale
        return self.head(functional.dropout(x, self.recipe.dropout, self.training))


class Cells:
    """The images in the GPU's memory, and a task of each seed."""

    def __init__(self) -> None:
        self.pictures = bench_elpv.cells()[1]
        self.arrays = weights.find(VGG16)
        self.squares: dict[int, torch.Tensor] = {}

    def views(self, size: int) -> torch.Tensor:
        """(N, 8, S, S) uint8, in the order of `headstart.data.geometry.dihedral`."""
        if size not in self.squares:
            from headstart.data.geometry import dihedral
            from headstart.data.loader import ahead

            squares = list(ahead(lambda picture: picture.square(size, "letterbox"), self.pictures))
            stacked = np.stack([[dihedral(s, view)[..., 0] for view in range(VIEWS)] for s in squares])
            self.squares[size] = torch.from_numpy(stacked).to(DEVICE)
        return self.squares[size]


def run(recipe: Recipe, seed: int, cells: Cells) -> dict[str, Any]:
    """Figures of the head alone, of the network half way and at the end, and of its averaged weights."""
    torch.manual_seed(seed)
    setting = next(s for s in bench_finetuned.SETTINGS if s.levels == recipe.classes and not s.whole_modules)
    setting = replace(setting, class_weight=recipe.class_weight)
    task = bench_finetuned.make_task(setting, seed, bench_finetuned.OPTIONS)
    x = cells.views(recipe.size)
    rows = {split: np.flatnonzero(task.split == split) for split in ("train", "val", "test")}
    y = torch.from_numpy(task.y).to(DEVICE)
    target = functional.one_hot(y, recipe.classes).float()
    weight = task.training_weight() if not recipe.soft else np.ones(len(rows["train"]))
    if recipe.soft and recipe.classes == 2:
        p = torch.from_numpy(_probability()).float().to(DEVICE)
        target = torch.stack([1 - p, p], 1)
    elif recipe.soft:
        target = 0.9 * target + 0.1 * (_neighbours() @ target.cpu().T).T.to(DEVICE)
    weights_of = torch.zeros(len(y), device=DEVICE)
    weights_of[rows["train"]] = torch.from_numpy(weight / weight.mean()).float().to(DEVICE)

    network = Network(recipe, cells.arrays).to(DEVICE)
    _begin(network, x, y, weights_of, rows)

    def figures() -> dict[str, float]:
        return bench_finetuned.figures(task, {s: judged(network, x, rows[s]) for s in ("val", "test")})

    found: dict[str, Any] = {"frozen": figures()}
    average = [p.detach().clone() for p in network.parameters() if p.requires_grad]
    for epoch in _train(network, x, target, weights_of, rows["train"], seed, average):
        if epoch in (recipe.epochs // 2, recipe.epochs):
            found[f"epoch {epoch}"] = figures()
    _assign(network, average)
    return found | {"average": figures()}


def _probability() -> np.ndarray:
    from headstart.data.sources import elpv

    return elpv.read_labels()["probability"].to_numpy()


def _neighbours() -> torch.Tensor:
    """(4, 4) which level a level is taken for: one of the next."""
    near = torch.zeros(4, 4)
    for i in range(4):
        beside = [j for j in (i - 1, i + 1) if 0 <= j < 4]
        near[beside, i] = 1 / len(beside)
    return near


def _begin(
    network: Network, x: torch.Tensor, y: torch.Tensor, weight: torch.Tensor, rows: dict[str, np.ndarray]
) -> None:
    """Solves the head on the frozen network: the path of penalties, the one that suits validation best."""
    network.eval()
    with torch.no_grad():
        features = {s: _features(network, x, rows[s]) for s in ("train", "val")}
    train = features["train"].reshape(-1, features["train"].shape[-1])
    found = scaling(train.cpu().numpy(), VGG16.parts(network.recipe.head))
    mean, scale = (torch.from_numpy(part).float().to(DEVICE) for part in (found.mean, found.scale))
    z = (train - mean) / scale
    labels = y[rows["train"]].repeat_interleave(VIEWS)
    share = weight[rows["train"]].repeat_interleave(VIEWS)
    share = share / share.sum()
    head = torch.nn.Linear(z.shape[1], network.recipe.classes).to(DEVICE)
    torch.nn.init.zeros_(head.weight)
    torch.nn.init.zeros_(head.bias)
    best, chosen = np.inf, head.state_dict()
    val = (features["val"].mean(1) - mean) / scale
    for penalty in PENALTIES[:6]:
        solver = torch.optim.LBFGS(head.parameters(), max_iter=150, line_search_fn="strong_wolfe")

        def closure(penalty: float = penalty, solver: Any = solver) -> torch.Tensor:
            solver.zero_grad()
            losses = functional.cross_entropy(head(z), labels, reduction="none")
            loss = (losses * share).sum() + penalty / 2 * head.weight.square().sum()
            loss.backward()
            return loss

        solver.step(closure)
        loss = calibrated_loss(head(val).detach().cpu().numpy(), y[rows["val"]].cpu().numpy())
        if loss < best:
            best, chosen = loss, {name: value.clone() for name, value in head.state_dict().items()}
    root = float(np.sqrt(z.shape[1]))
    network.mean.copy_(mean)
    network.scale.copy_(scale * root)
    network.head.load_state_dict({"weight": chosen["weight"] * root, "bias": chosen["bias"]})


def _features(network: Network, x: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
    """(N, 8, D)."""
    flat = x[rows].flatten(0, 1)
    found = [network.features(flat[i : i + JUDGED]) for i in range(0, len(flat), JUDGED)]
    return torch.cat(found).reshape(len(rows), VIEWS, -1)


def judged(network: Network, x: torch.Tensor, rows: np.ndarray) -> np.ndarray:
    """(N, C) logits, the mean over the views."""
    network.eval()
    with torch.no_grad():
        z = (_features(network, x, rows) - network.mean) / network.scale
        return np.asarray(network.head(z).mean(1).cpu())


def _train(
    network: Network, x: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, rows: np.ndarray,
    seed: int, average: list[torch.Tensor],
) -> Any:  # fmt: skip
    """Yields the number of each epoch when it is over."""
    recipe = network.recipe
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(_groups(network), recipe.rate, eps=1e-7, fused=DEVICE == "cuda")
    steps = -(-len(rows) // recipe.batch)
    total, warmup = steps * recipe.epochs, int(0.1 * steps * recipe.epochs)

    def factor(step: int) -> float:
        if step < warmup:
            return step / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / (total - warmup)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    for epoch in range(1, recipe.epochs + 1):
        network.train()
        order = np.random.default_rng([seed, 1, epoch]).permutation(rows)
        view = (epoch - 1) % VIEWS
        for start in range(0, len(order), recipe.batch):
            chosen = torch.from_numpy(order[start : start + recipe.batch]).to(DEVICE)
            pixels, aim, share = x[chosen, view], target[chosen], weight[chosen]
            if recipe.jitter:
                pixels = _jittered(pixels.float())
            if recipe.mixup:
                part = float(np.random.default_rng([seed, epoch, start]).beta(recipe.mixup, recipe.mixup))
                part = max(part, 1 - part)
                pixels = part * pixels.float() + (1 - part) * pixels.float().flip(0)
                aim = part * aim + (1 - part) * aim.flip(0)
                share = part * share + (1 - part) * share.flip(0)
            loss = (functional.cross_entropy(network(pixels), aim, reduction="none") * share).mean()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            torch._foreach_lerp_(average, [p.detach() for p in trained], 1 - recipe.average)
        yield epoch


def _groups(network: Network) -> list[dict[str, Any]]:
    """Kernels decay and biases don't; rates fall by `layer_decay` with each block below the head."""
    recipe, found = network.recipe, []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            block = int(name.split("block")[1][0]) if "block" in name else 6
            rate = recipe.rate * recipe.layer_decay ** (6 - block)
            decay = 0.0 if "bias" in name else 0.01
            found.append({"params": [parameter], "lr": rate, "weight_decay": decay})
    return found


def _jittered(pixels: torch.Tensor) -> torch.Tensor:
    """Turned by up to 5°, moved and scaled by up to 3 %, brightness and contrast by up to 10 %."""
    n = len(pixels)
    u = torch.rand(6, n, device=pixels.device) * 2 - 1
    angle, scale = u[0] * np.pi / 36, 1 + 0.03 * u[1]
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([cos, -sin, 0.03 * u[2], sin, cos, 0.03 * u[3]], 1).reshape(n, 2, 3)
    grid = functional.affine_grid(theta, [n, 1, *pixels.shape[1:]], align_corners=False)
    moved = functional.grid_sample(pixels[:, None], grid, padding_mode="reflection", align_corners=False)
    moved = moved[:, 0]
    centre = moved.mean((1, 2), keepdim=True)
    moved = (moved - centre) * (1 + 0.1 * u[4, :, None, None]) + centre * (1 + 0.1 * u[5, :, None, None])
    return moved.clamp(0, 255)


def _assign(network: Network, values: list[torch.Tensor]) -> None:
    with torch.no_grad():
        trained = [p for p in network.parameters() if p.requires_grad]
        for parameter, value in zip(trained, values, strict=True):
            parameter.copy_(value)


def main() -> None:
    """Runs what fits in the time, all recipes of the first seed first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--log", type=Path, default=LOG)
    parser.add_argument("--seeds", default="0-3")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--recipes", default="")
    asked = parser.parse_args()
    end = time.monotonic() + asked.seconds
    torch.backends.cudnn.benchmark = True
    first, last = map(int, asked.seeds.split("-"))
    share, of = map(int, asked.share.split("/"))
    names = [name for name in asked.recipes.split(",") if name]
    recipes = [recipe for recipe in RECIPES if not names or recipe.name in names]
    jobs = [(seed, recipe) for seed in range(first, last + 1) for recipe in recipes][share::of]
    log = json.loads(asked.log.read_text()) if asked.log.exists() else {"hardware": hardware(), "runs": {}}
    cells = Cells()
    longest = 0.0
    for seed, recipe in jobs:
        if (key := f"{recipe.name}, seed {seed}") in log["runs"]:
            continue
        start = time.monotonic()
        if start + longest > end:
            break
        log["runs"][key] = found = run(recipe, seed, cells)
        longest = max(longest, time.monotonic() - start)
        write_json(asked.log, log)
        print(key, json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
