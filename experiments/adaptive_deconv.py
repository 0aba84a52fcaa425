"""What the deconvnet grew out of: Zeiler, Taylor & Fergus (ICCV 2011), at small scale, no labels.

    python -m experiments.adaptive_deconv
    python -m experiments.adaptive_deconv data=caltech101 data.root=<folder>
    python -m experiments.adaptive_deconv redraw=outputs/adaptive_deconv/<folder>

Layers of convolutional sparse coding with switch pooling, learned one by one; each reconstructs
the input through all layers below it. `deconv/studies/sparse_coding/__init__.py` states the cost,
what is known of the original and what is unverified; every number below is a choice, since those of
the original were not at hand. The 2014 deconvnet takes a trained convnet's filters, transposed, and
the maps of a single pass; here the filters are learned for reconstruction and the maps are inferred
iteratively. Both unpool with the image's switches and project by transposed convolution.

Of held-out images: the share of their energy that each layer does not explain, beside (a) filters
drawn at random, inferred alike, (b) a single step of inference from zero, at its best gain.

Cost: laptop about four minutes on an idle core; paper: not tried.
Expected: learned filters explain held-out images better than random ones, at every layer.

Writes figure.png and figure.pdf, arrays.npz (filters, pictures), table.csv (one row per layer),
history.csv (one row per epoch), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deconv import figures
from deconv.data import Squares
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.normalisation import local_contrast_norm
from deconv.pixels import Grey
from deconv.studies.bootstrap import bootstrap
from deconv.studies.sparse_coding import (
    SOLVERS,
    AdaptiveDeconvNet,
    Epoch,
    epoch_row,
    layer_row,
    measure,
    picture_arrays,
    signal_to_noise_db,
    train,
)
from experiments.kit import (
    Drawn,
    Finding,
    Result,
    Saved,
    Subject,
    by_size,
    check_name,
    experiment,
    judged,
    log,
)
from experiments.kit.facts import data_facts
from experiments.kit.inputs import data_name

PARTS = (5, 25, 125)
"""Features of the layers below the shown unit, by the caption of the original's Figure 1."""
NUMBERS = "train_on measured shown crop_px epochs steps filter_steps final_steps"
COUNTS = NUMBERS.split()
"""Settings that are 1 or more."""


@dataclass
class Adaptive(Drawn):
    """The groups model and train are not used: this experiment has a network of its own."""

    data: Any = field(default_factory=lambda: {"cache": False})  # few images are read
    train_on: int = by_size(paper=200, laptop=40, smoke=6)  # of "train", to learn filters on
    measured: int = by_size(paper=100, laptop=24, smoke=6)  # of "val", for all numbers
    shown: int = 4  # of the measured ones, in the figure
    crop_px: int = by_size(paper=128, laptop=64, smoke=32)  # side of the crops
    window_px: int = 9  # of local contrast normalisation (Jarrett et al. 2009); 0: only minus mean
    window_sigma: float = 1.6  # of the Gaussian of that window, in pixels
    maps: list[int] = by_size(paper="[16,48,96]", laptop="[16,32,32]", smoke="[4,6,6]")  # a layer
    kernels_px: list[int] = by_size(
        paper="[7,5,5]", laptop="[7,5,5]", smoke="[5,3,3]"
    )  # sides of the filters, a layer
    lambdas: list[float] = by_size(paper="[1,0.5,0.4]", laptop="[1,0.5,0.4]", smoke="[2,2,2]")
    # weight of the error against the l1 norm, a layer
    pool_px: int = 2  # side of the windows that are pooled
    pool_maps: int = 2  # neighbouring maps that are pooled together
    competition: bool = True  # one value a block of the layer's own pooling
    solver: str = "fista"  # fista, ista
    epochs: int = by_size(paper=40, laptop=12, smoke=2)  # inference and a step of the filters
    steps: int = 6  # of inference an epoch
    filter_steps: int = 3  # of conjugate gradients an epoch
    final_steps: int = 40  # of inference for switches and for all numbers, from zero

    def __post_init__(self) -> None:
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise DeconvError(f"{name}={getattr(self, name)} must be at least 1")
        if self.shown > self.measured:
            raise DeconvError(f"shown={self.shown} images of measured={self.measured}")
        check_name("solver", self.solver, SOLVERS)
        if self.window_px < 0 or (self.window_px and self.window_px % 2 == 0):
            raise DeconvError(f"window_px={self.window_px} is odd, or 0 for no window")
        if self.window_sigma <= 0:
            raise DeconvError(f"window_sigma={self.window_sigma} must be above 0")

    @property
    def edge_px(self) -> int:
        """Cut off each side after normalisation, whose two windows reach over the border."""
        return 2 * (self.window_px // 2)

    def network(self) -> AdaptiveDeconvNet:
        """The network with random filters."""
        sizes = (self.maps, self.kernels_px, self.lambdas, self.pool_px, self.pool_maps)
        return AdaptiveDeconvNet(*sizes, seed=self.seed)

    def images(self, it: Subject, split: str) -> Squares:
        """The photographs of a split."""
        return it.squares(split, self.crop_px + 2 * self.edge_px)


def check(cfg: Adaptive, it: Subject) -> None:
    """Raise DeconvError for sizes that do not fit each other, and for too few images."""
    cfg.network().check_size(cfg.crop_px, cfg.crop_px)
    for split, key in (("train", "train_on"), ("val", "measured")):
        have, wanted = len(cfg.images(it, split)), getattr(cfg, key)
        if have < wanted:
            raise DeconvError(
                f"{split!r} of {data_name(cfg)} has {have} images, {key}={wanted} are wanted"
            )


def compute(cfg: Adaptive, it: Subject) -> Result:
    """Learn on "train", measure on "val"."""
    it.first_alone()
    how = {"solver": cfg.solver, "competition": cfg.competition, "seed": cfg.seed}
    net, untrained = cfg.network().to(it.device), cfg.network().to(it.device)
    learned_on = load(cfg, cfg.images(it, "train"), cfg.train_on).to(it.device)
    held_out = load(cfg, cfg.images(it, "val"), cfg.measured).to(it.device)
    times = {name: getattr(cfg, name) for name in ("epochs", "steps", "filter_steps")}
    history = train(net, learned_on, switch_steps=cfg.final_steps, report=log_epoch, **times, **how)
    log(f"measuring on {len(held_out)} images")
    measured = measure(net, untrained, held_out, cfg.final_steps, **how)
    rows = [layer_row(net, i, history, measured) for i in range(net.layers)]
    for one in rows:
        log(
            f"layer {one['layer']}: {one['relative_error']:.3f} of the energy not explained "
            f"(random filters {one['random_filters']:.3f}, single step {one['single_step']:.3f}), "
            f"{100 * one['nonzero_share']:.1f} % of values not zero"
        )
    arrays = picture_arrays(net, measured, history, cfg.shown, PARTS)
    for name, shares in measured.unexplained.items():
        arrays |= {f"{name}/{i + 1}": share for i, share in enumerate(shares)}
    facts = {
        "figure": "of Zeiler, Taylor & Fergus 2011, in kind",
        "choices": choices(cfg),
        "train_on": cfg.train_on,
        "measured": cfg.measured,
        "steps": cfg.steps,
        "epochs": cfg.epochs,
        "training_data": data_facts(cfg, "train", cfg.images(it, "train")),
        "data": data_facts(cfg, "val", cfg.images(it, "val")),
        "layers": rows,
    }
    tables = {"table": rows, "history": [epoch_row(one) for one in history]}
    return Result(facts, arrays, tables, findings(measured.unexplained, cfg.seed), net)


def load(cfg: Adaptive, data: Squares, count: int) -> torch.Tensor:
    """`count` images of a seeded choice, grey and normalised: N×1×S×S."""
    chosen = np.sort(np.random.default_rng(cfg.seed).permutation(len(data))[:count])
    grey = Grey()(torch.stack([data[int(i)][0] for i in chosen]).float() / 255)
    if not cfg.window_px:
        return grey - grey.mean(dim=(2, 3), keepdim=True)
    cut = slice(cfg.edge_px, cfg.edge_px + cfg.crop_px)
    return local_contrast_norm(grey, cfg.window_px, cfg.window_sigma)[..., cut, cut].contiguous()


def log_epoch(epoch: Epoch) -> None:
    """Log one line per epoch."""
    log(
        f"layer {epoch.layer}, epoch {epoch.epoch}: cost {epoch.cost[0]:.1f} to "
        f"{epoch.cost[-1]:.1f}, {epoch.error:.3f} of the energy not explained"
    )


def choices(cfg: Adaptive) -> dict[str, Any]:
    """How it was done, and that the original's way is not verified."""
    window = f"local contrast, window {cfg.window_px}, sigma {cfg.window_sigma}, border cut off"
    return {
        "input": f"grey; {window if cfg.window_px else 'minus its mean'}",
        "cost": "lambda/2 · |R z - y|² + |z|_1 against the image, through all layers below",
        "lambdas": cfg.lambdas,
        "pooling": f"blocks of {cfg.pool_maps} maps × {cfg.pool_px}×{cfg.pool_px}, largest "
        "magnitude, sign kept",
        "competition": cfg.competition,
        "switches": "a layer's own renewed with each step, fixed for the layers above",
        "solver": cfg.solver,
        "steps": f"{cfg.steps} an epoch, going on from the epoch before; {cfg.final_steps} "
        "from zero for switches and numbers",
        "filters": f"{cfg.filter_steps} steps of conjugate gradients an epoch, unit length",
        "epochs": cfg.epochs,
        "unverified": "all of these against the original's text, but for the layers of sparse "
        "coding and max pooling and the image as what each layer reconstructs (abstract)",
    }


BASELINES = {
    "random": "filters drawn at random, inferred alike",
    "single_step": "one step of inference at its best gain",
}


def findings(unexplained: Mapping[str, Sequence[np.ndarray]], seed: int) -> list[Finding]:
    """Judge whether learned filters and inference explain held-out images better than baselines."""
    found = []
    for name, words in BASELINES.items():
        pairs = zip(unexplained["learned"], unexplained[name], strict=True)
        gains = [other - learned for learned, other in pairs]
        ranges = [bootstrap(one, seed) for one in gains]
        key, holds = f"control/adaptive_deconv/gain/{name}", all(low > 0 for low, _ in ranges)
        gain, images = float(gains[-1].mean()), len(gains[-1])
        found.append(judged(key, gain, ranges[-1], images, holds=holds, over=words))
    return found


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    layers = [_layer(saved.arrays, saved.facts, row) for row in saved.facts["layers"]]
    return figures.adaptive_deconv(layers, saved.arrays["images"], caption(saved.facts))


def _layer(
    arrays: Mapping[str, np.ndarray], facts: dict[str, Any], row: dict[str, Any]
) -> figures.CodedLayer:
    layer, last = row["layer"], len(facts["layers"])
    shares = zip(arrays[f"learned/{layer}"], arrays[f"{layer}/nonzero"], strict=False)
    words = [f"{signal_to_noise_db(e):.1f} dB, {100 * n:.1f} % ≠ 0" for e, n in shares]
    count = 1 if layer == last else PARTS[last - layer - 1]
    return figures.CodedLayer(
        title=f"Layer {layer}",
        note=f"{row['maps']} maps, {row['field_px']}×{row['field_px']} px each, λ = "
        f"{row['lambda']:g}",
        words=words,
        part_note=f"{count} of layer {layer}",
        updates=[facts["steps"] * n for n in range(1, facts["epochs"])],
        **{name: arrays[f"{layer}/{name}"] for name in ("features", "rebuilt", "parts", "cost")},
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    by_layer = "; ".join(
        f"layer {r['layer']} {100 * r['relative_error']:.0f} % ({r['snr_db']:.1f} dB; "
        f"{100 * r['random_filters']:.0f} % with random filters, {100 * r['single_step']:.0f} % "
        f"after one step at its best gain), {100 * r['nonzero_share']:.1f} % of values not zero "
        f"(after one step {100 * r['single_step_nonzero_share']:.1f} %)"
        for r in facts["layers"]
    )
    return (
        "Layers of convolutional sparse coding with switch pooling, in the manner of Zeiler, "
        f"Taylor & Fergus (2011), learned without labels on {facts['train_on']} images of "
        f"{facts['data']['name']}, one layer after the other, each to reconstruct the image "
        f"itself. Above: each map's strongest unit over {facts['measured']} held-out images, "
        "painted alone with that image's switches (dead maps stay grey). Below: "
        "contrast-normalised held-out images and each layer's reconstruction, with its "
        "signal-to-noise ratio and the share of non-zero values; the strongest unit of the last "
        "layer, and the features below that it is made of. Every picture has its own scale, grey "
        f"is zero. Energy of the images left unexplained: {by_layer}. Dots on the curves: updates "
        "of the filters. In the deconvnet of 2014 the filters are those of a convnet trained with "
        "labels, transposed, and maps come from a single pass; here both are optimised for "
        "reconstruction. Sizes, λ and solver are choices, not the original's."
    )


FILES = "arrays.npz table.csv history.csv findings.json"

main = experiment(Adaptive, compute, draw, check, saves=FILES)

if __name__ == "__main__":
    main()
