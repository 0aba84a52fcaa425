"""What every experiment needs: its data and its network, as the configuration names them."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from deconv import distributed
from deconv.data import SPLITS, WHOLE, Cached, Joined, Squares, cache_path, photographs
from deconv.data.class_names import imagenet_words
from deconv.data.skipping import ERROR
from deconv.data.text_files import read_lines
from deconv.errors import DeconvError, unknown
from deconv.networks import Network, build, input_side, is_foreign
from deconv.networks.preprocessing import stored_side
from deconv.networks.sources import trained_sets
from deconv.scenes import Scenes
from deconv.training import Recipe
from deconv.training.snapshots import Snapshot, is_code, load_snapshot

Config = Any
"""Settings as Hydra has them, or as their dataclass."""

LOG = logging.getLogger("experiments")


def log(message: str) -> None:
    """A plain line of progress, also in the run folder's log; under torchrun of process 0 alone."""
    if distributed.rank() == 0:
        LOG.info(message)


def plain(settings: Any) -> dict[str, Any]:
    """Settings as plain data, whether they are Hydra's or a dataclass."""
    if OmegaConf.is_config(settings):
        return OmegaConf.to_container(settings, resolve=True)
    return dataclasses.asdict(settings)


def device(cfg: Config) -> torch.device:
    """cfg.device, where "auto" is a GPU if there is one."""
    if cfg.device == "auto":
        gpu = torch.cuda.is_available()
        return torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
    try:
        torch.empty(0, device=cfg.device)
    except (RuntimeError, AssertionError) as error:
        raise DeconvError(f"device={cfg.device} cannot be used: {error}; try cpu") from error
    return torch.device(cfg.device)


def squares(cfg: Config, split: str, side_px: int) -> Squares:
    """One split of the data set that cfg.data names, or both ("all"), as `side_px` squares."""
    if split == WHOLE:
        return Joined([squares(cfg, one, side_px) for one in SPLITS])
    return cached(cfg, split, uncached(cfg, split, side_px))


def uncached(cfg: Config, split: str, side_px: int) -> Squares:
    """The same squares, of which none is read or drawn yet."""
    if split == WHOLE:
        return Joined([uncached(cfg, one, side_px) for one in SPLITS])
    if split not in SPLITS:
        raise unknown("split", split, (*SPLITS, WHOLE))
    return _opened(cfg, split, side_px)


def in_one_piece(cfg: Config, side_px: int) -> Squares:
    """All images of a data set that has no splits of its own, before any is drawn."""
    return cached(cfg, WHOLE, _opened(cfg, WHOLE, side_px))


def _opened(cfg: Config, split: str, side_px: int) -> Squares:
    options = plain(cfg.data)
    name = options.pop("name")
    for key in ("cache", "workers", "side_px"):
        options.pop(key)
    if name == "scenes":
        return Scenes(options[f"{split}_images"], options[f"{split}_seed"], side_px)
    return photographs(name, options.pop("root"), split, side_px, **options)


def cached(cfg: Config, split: str, data: Squares) -> Squares:
    """The squares of `uncached` from the cache, put there first, if cfg.data asks for one."""
    if not cfg.data.cache:
        return data
    if getattr(data, "bad_images", ERROR) != ERROR:
        raise DeconvError(
            f"data.bad_images={data.bad_images} is not for a cache, which holds every image: set "
            "data.cache=false"
        )
    path = cache_path(data, cfg.cache_dir)
    if not path.exists():
        log(f"preparing {len(data)} images of {split}, once, into {path}")
    with distributed.first_alone():
        return Cached(data, cfg.cache_dir, cfg.data.workers)


def side_px(cfg: Config, input_px: int) -> int:
    """The side of the stored squares: cfg.data.side_px, or the crop's side times 256/224 (§3)."""
    return cfg.data.side_px or stored_side(input_px)


def workers(cfg: Config) -> int:
    """Processes that load images: none where they come from the cache."""
    return 0 if cfg.data.cache else cfg.data.workers


def recipe_of(cfg: Config) -> Recipe:
    """cfg.train as a recipe, checked."""
    return cfg.train if isinstance(cfg.train, Recipe) else Recipe(**plain(cfg.train))


def data_name(cfg: Config) -> str:
    """The data set's name for people; of an image folder also the folder's."""
    folder = f" {Path(cfg.data.root).resolve().name}" if cfg.data.name == "imagefolder" else ""
    return cfg.data.name + folder


def data_settings(cfg: Config) -> dict[str, Any]:
    """cfg.data without what does not change the images: where they lie and how they are read."""
    settings = plain(cfg.data)
    idle = ("root", "cache", "workers", "download", "side_px", "partial", "bad_images")
    return {key: value for key, value in settings.items() if key not in idle}


ABOUT = ("class_names", "trained_on", "titles")
"""Settings of a model that say something about it and do not change it."""


def build_network(cfg: Config, num_classes: int | None) -> Network:
    """The network of cfg.model, its weights drawn by cfg.seed unless cfg.model.weights names some.

    num_classes: where cfg.model does not say; None: as many as the weights, or the network, have.
    """
    settings = plain(cfg.model)
    settings["num_classes"] = settings.get("num_classes") or num_classes
    for about in ABOUT:
        settings.pop(about, None)
    if settings.get("weights") == RANDOM:
        settings["weights"] = None
    return build(settings.pop("name"), seed=cfg.seed, **settings)


def given(cfg: Config) -> Snapshot | None:
    """The snapshot that cfg.snapshot names; None if there is none and one is to be trained first.

    At size=paper training takes days, so there a snapshot has to be named.
    """
    if cfg.snapshot:
        snapshot = load_snapshot(cfg.snapshot, cfg.model.name)
        asked, held = cfg.model.name, snapshot.recipe["name"]
        if is_foreign(asked) and asked != held:
            raise DeconvError(
                f"model={asked} and snapshot={cfg.snapshot}, which holds {held}, are two "
                "networks: name one of them"
            )
        refuse_code(snapshot, cfg.snapshot, asked)
        return snapshot
    if has_weights(cfg):
        return weights_snapshot(cfg)
    if cfg.size_name == "paper":
        raise DeconvError(
            "size=paper needs a trained network: run python -m experiments.train size=paper "
            "first, then name its snapshot=<folder>/last.pt"
        )
    return None


def has_weights(cfg: Config) -> bool:
    """Whether cfg.model is a network to be looked at, not one to be trained first."""
    return bool(cfg.model.weights) or is_code(cfg.model.name)


def named_by_weights(cfg: Config) -> bool:
    """Whether cfg.model is a network of others with weights; one in a file may be trained first."""
    return is_foreign(cfg.model.name) and cfg.model.weights is not None


def refuse_code(snapshot: Snapshot, path: str, asked: str) -> None:
    """Raise DeconvError for a network whose code would run and is not named by its user."""
    held = snapshot.recipe.get("name")
    if is_code(held) and held != asked:
        raise DeconvError(
            f"{path} would run the code {held}: inspect it, then name it yourself by "
            f"model.name='{held}'"
        )


def learnt_from(name: str, weights: str | None, classes: int) -> str | None:
    """The data set of a package's trained weights: all with 1,000 classes are ImageNet's."""
    packaged = is_foreign(name) and weights not in (None, RANDOM) and classes == 1000
    return "imagenet" if packaged and weights in trained_sets(name) else None


RANDOM = "random"
"""model.weights of a network that is to be looked at untrained."""


def weights_snapshot(cfg: Config) -> Snapshot:
    """The network that cfg.model names with its weights, as a snapshot: to look at, not to go on.

    Its mean image is cfg.model.mean, that of the weights or of the package, at every pixel.
    """
    settings = plain(cfg.model)
    net = build_network(cfg, None)
    wanted = net.preprocessing
    if wanted is None:
        raise DeconvError(
            f"model.weights={settings['weights']} does not tell the mean that images have "
            "subtracted: give model.mean, three numbers in 0…255"
        )
    weights = settings.get("weights")
    learnt = settings.get("trained_on") or learnt_from(settings["name"], weights, net.classes)
    known = net.class_names
    if known is None and learnt == "imagenet" and net.classes == len(imagenet_words()):
        known = tuple(imagenet_words().values())
    if names := settings.get("class_names"):
        known = tuple(read_lines(names, "file of class names"))
    classes = known or [f"class {i}" for i in range(net.classes)]
    if len(classes) != net.classes:
        raise DeconvError(
            f"{settings['name']} has {net.classes} outputs, and {len(classes)} names of classes"
        )
    mean = wanted.mean
    if mean.shape[-1] == 1:
        side = cfg.data.side_px or wanted.stored_px
        mean = mean.expand(3, side, side).contiguous()
    config: dict[str, Any] = {
        "data": learnt,
        "weights": None if weights in (None, RANDOM) else Path(weights).name,
        "named": known is not None,
    }
    return Snapshot(net.recipe, net.state_dict(), mean, list(classes), config=config)


def stored_side_px(cfg: Config, snapshot: Snapshot | None) -> int:
    """The side of the squares that a network is fed from: the snapshot's, or cfg's."""
    if snapshot is not None:
        return snapshot.mean.shape[-1]
    return side_px(cfg, cfg.model.input_px or input_side(cfg.model.name))
