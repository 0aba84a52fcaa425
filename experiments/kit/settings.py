"""The settings that commands share, as dataclasses: Hydra knows each setting's kind from here.

A command's own settings are a dataclass in its module that inherits from `Settings` or `Figure`.
The groups `model` and `data` are listed here; `train` is `deconv.training.Recipe`, filled from
conf/train, and `size` chooses among all of them, see conf/size.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, OmegaConf

from deconv.data import SPLITS, WHOLE
from deconv.errors import DeconvError, unknown
from deconv.figures import Look
from deconv.networks import is_foreign
from deconv.training import Recipe


def by_size(**values: Any) -> Any:
    """A default that depends on size=: by_size(paper=50, laptop=24, smoke=3)."""
    return "${by_size:${size_name},{" + ",".join(f"{k}:{v}" for k, v in values.items()) + "}}"


def check_name(kind: str, name: object, valid: Collection[str]) -> None:
    """Raise DeconvError, suggesting the nearest valid names, unless `name` is among `valid`."""
    if name not in valid:
        raise unknown(kind, name, valid)


OmegaConf.register_new_resolver("by_size", lambda size, values: values[size])


def groups(
    model: str = "zfnet", data: str = "imagenet", train: str = "paper", size: str = "laptop"
) -> list[Any]:
    """For the field `defaults` of settings: what a command takes of each group unless told."""
    return ["base", {"model": model}, {"data": data}, {"train": train}, {"size": size}, "_self_"]


@dataclass
class Settings:
    """What every command takes."""

    of_training: ClassVar[bool] = False  # whether, without data=, the network's training tells
    defaults: list[Any] = field(default_factory=groups)
    hydra: Any = None
    model: Any = MISSING  # a network by name, see the groups above
    data: Any = MISSING  # a data set by name
    train: Any = MISSING  # a recipe: paper, laptop, smoke, modern
    size_name: str = MISSING  # set by size=paper, laptop or smoke, whose figures are coarse
    pictures: str = MISSING  # of a training, at each snapshot, at those kept for good, or none
    seed: int = 0  # of every random choice
    device: str = "auto"  # auto (a GPU if there is one), cpu, cuda, cuda:1 …
    cache_dir: str = "${oc.env:DECONV_CACHE,.cache}"  # where drawn and decoded images are kept
    group_timeout_s: float = 1800.0  # of processes of torchrun that wait for one another


@dataclass
class Drawn(Settings):
    """A command that draws a figure."""

    redraw: str | None = None  # a folder of an earlier run: draw it again, compute nothing
    figure: Look = field(default_factory=Look)  # how it looks


@dataclass
class Figure(Drawn):
    """A command that looks at one trained network over a data set."""

    of_training: ClassVar = True
    snapshot: str | None = None  # null: train cfg.model first (not at size=paper)
    split: str = "val"  # train, val or all: where images are drawn from


@dataclass
class Comparison(Drawn):
    """A command that compares networks in roles, see `Subject.roles`.

    Each role is a setting, too: it names the snapshot of that network; null: a twin is trained.
    """

    roles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # role -> what its training changes
    of_training: ClassVar = True
    twins_of: ClassVar[Sequence[str]] = ()  # twins have the network of the first of these given

    epochs: int = 10  # of each network that is trained here, at most train.epochs
    split: str = "val"  # train, val or all: the images that the networks are looked at on

    def __post_init__(self) -> None:
        check_name("split", self.split, (*SPLITS, WHOLE))
        if self.epochs < 1:
            raise DeconvError(f"epochs must be at least 1, got {self.epochs}")


# Models


@dataclass
class Chain:
    """A network of this library, see `deconv.build`; null is the network's own."""

    name: str  # model=zfnet, alexnet or zfnet_mini
    num_classes: int | None = None  # null: as many as the data has
    input_px: int | None = None  # side of the input
    remove: list[int] = field(default_factory=list)  # Table 3: layers out of 3, 4, 6, 7
    maps_345: list[int] | None = None  # Table 3: [512,1024,512]
    fc_width: int | None = None  # Table 3: 2048 or 8192
    first_layer: str | None = None  # coarse: as AlexNet's
    norm: str | None = None  # response, local, none: contrast normalisation
    dropout: float | None = None  # share of the units of layers 6 and 7
    init: str | None = None  # paper, gain, he, he_pixels: see deconv/networks/zfnet.py
    weights: str | None = None  # a file, .pth, .pt or .safetensors: look at it, or train on
    mean: list[float] | None = None  # three numbers in 0…255; null: the data's or the weights'
    std: list[float] | None = None  # three numbers in 0…255 to divide by; null: nothing is


@dataclass
class Mlp:
    """A small fully connected network, for what its first weights look like."""

    name: str = "mlp"  # mlp
    num_classes: int | None = None  # null: as many as the data has
    input_px: int | None = None  # null: 32
    fc_width: int | None = None  # null: 128, units of fc1 and fc2
    grey: bool = False  # images are made grey first
    init: str | None = None  # null: he
    weights: str | None = None  # a file, as for other networks
    mean: list[float] | None = None  # as for other networks
    std: list[float] | None = None  # null: 64


@dataclass
class Foreign:
    """Any network of others: model=torchvision/resnet50, model=file:path.py:function …"""

    name: str  # model=torchvision/…, timm/… or file:path.py:function
    weights: str | None = None  # trained ones, e.g. DEFAULT, or a file; random: untrained
    num_classes: int | None = None  # null: as many as the data has, or as the weights have
    input_px: int | None = None  # null: as the package states it
    mean: list[float] | None = None  # three numbers in 0…255; null: as the package states it
    std: list[float] | None = (
        None  # three numbers in 0…255 to divide by; null: as the package states it
    )
    class_names: str | None = None  # a file with one name a line; null: the package's, or numbers
    trained_on: str | None = None  # what its weights learnt, for captions: imagenet
    titles: Any = None  # of layers in figures, model.titles='{features.12: fire9}'


# Data sets, see `deconv.data.photographs`


@dataclass
class Photographs:
    """Images in files. root: where they lie; each data set says in what layout."""

    name: str  # chosen by data=
    root: str = "${oc.env:DECONV_DATA,data}"  # folder that they lie in
    side_px: int | None = None  # of the stored squares; null: 256/224 of the network's input
    cache: bool = False  # decode once into cache_dir
    workers: int = 2  # processes that load images
    bad_images: str = "error"  # skip: train without the images that cannot be read; needs no cache
    partial: bool = False  # take a known data set with other counts than the published ones


@dataclass
class Downloaded(Photographs):
    """Images that torchvision can download."""

    download: bool = False  # fetch the data set if it is not there


@dataclass
class Caltech101(Downloaded):
    """root/caltech101/101_ObjectCategories/<class>/image_0001.jpg"""

    name: str = "caltech101"  # caltech101
    cache: bool = True
    train_per_class: int = 30  # Table 4: 15 or 30
    test_per_class: int | None = 50  # §5.2: at most 50; null: all others
    seed: int = 0  # of the random split


@dataclass
class Caltech256(Downloaded):
    """root/caltech256/256_ObjectCategories/001.ak47/001_0001.jpg"""

    name: str = "caltech256"  # caltech256
    cache: bool = True
    train_per_class: int = 60  # Table 5: 15, 30, 45 or 60
    test_per_class: int | None = None  # null: all others; the paper states no number
    clutter: bool = False  # whether 257.clutter is a class, too
    seed: int = 0  # of the random split


@dataclass
class ImageFolder(Photographs):
    """root/train/<class>/… and root/val/<class>/…, or root/<class>/…, split at random."""

    name: str = "imagefolder"  # imagefolder
    val_fraction: float = 0.2  # only for a root without train and val
    seed: int = 0  # of that split


@dataclass
class Imagenette(Downloaded):
    """Ten classes of ImageNet."""

    name: str = "imagenette"  # imagenette
    size: str = "full"  # full, 320px or 160px


@dataclass
class DrawnScenes:
    """Built in: drawn scenes with known parts, nothing to download."""

    name: str = "scenes"  # scenes
    train_images: int = 6000  # how many to train on
    val_images: int = 1200  # how many to validate on
    train_seed: int = 1  # of the scenes to train on
    val_seed: int = 2  # of the scenes to validate on
    side_px: int | None = None  # of the stored squares; null: 256/224 of the input
    cache: bool = True  # drawn once, then read from cache_dir
    workers: int = 2  # processes that load images


MODELS = {name: Chain(name) for name in ("zfnet", "alexnet", "zfnet_mini")} | {"mlp": Mlp()}

DATA = {
    "caltech101": Caltech101(),
    "caltech256": Caltech256(),
    "cifar10": Downloaded("cifar10"),
    "fashion_mnist": Downloaded("fashion_mnist"),
    "imagefolder": ImageFolder(),
    # What scripts/prepare_tiny_imagenet.py wrote. With model.input_px=56 the squares have 64 px.
    "tiny_imagenet": Photographs("tiny_imagenet", cache=True),
    # As torchvision.datasets.ImageNet lays it out.
    "imagenet": Photographs("imagenet", workers=8),
    "imagenette": Imagenette(),
    # root/VOCdevkit/VOC2012: several labels an image, for table6_pascal and for figures.
    "voc2012": Downloaded("voc2012", cache=True),
    "scenes": DrawnScenes(),
    # A handful, for tests.
    "scenes_smoke": DrawnScenes(train_images=60, val_images=36, workers=0),
}


def register() -> None:
    """Tell Hydra of the groups."""
    store = ConfigStore.instance()
    for group, choices in (("model", MODELS), ("data", DATA)):
        for name, node in choices.items():
            store.store(group=group, name=name, node=node)
    store.store(group="train", name="recipe", node=_recipe())


def _recipe() -> DictConfig:
    recipe = OmegaConf.structured(Recipe)
    OmegaConf.set_readonly(recipe, False)  # a Recipe is frozen, settings of one are not yet
    return recipe


def register_foreign(arguments: list[str]) -> None:
    """Tell Hydra of the foreign networks that a command line names: model=timm/resnet18,…"""
    for key, _, value in (argument.partition("=") for argument in arguments):
        names = value.strip("'\"").split(",") if key == "model" else []
        for name in filter(is_foreign, names):
            group, _, last = f"model/{name}".rpartition("/")
            ConfigStore.instance().store(group=group, name=last, node=Foreign(name))


# What people write


def typed(cfg: DictConfig) -> DictConfig:
    """The same settings, the groups of a person's own yaml files as the dataclasses above.

    Raises DeconvError for a name that a dataclass does not have, such as +new.key=1 makes.
    """
    plain = [key for key in ("model", "data", "train") if OmegaConf.get_type(cfg, key) is dict]
    if plain:
        cfg = cfg.copy()
    for key in plain:
        written, cfg[key] = cfg[key], _schema(key, cfg[key].get("name"))
        for name in set(written) - set(cfg[key]):
            raise unknown("setting", f"{key}.{name}", keys(cfg))
        cfg.merge_with({key: written})
    if new := sorted(set(keys(cfg)) - set(known := list(keys(cfg, declared=True)))):
        raise unknown("setting", new[-1], known)
    return cfg


def _schema(group: str, name: str | None) -> Any:
    if group == "train":
        return _recipe()
    if group == "data":
        if name not in DATA:
            raise unknown("data.name", name, DATA)
        return DATA[name]
    return MODELS.get(name) or (Foreign(name) if is_foreign(str(name)) else Chain(str(name)))


def keys(cfg: DictConfig, prefix: str = "", declared: bool = False) -> Iterator[str]:
    """Every dotted key of a configuration, those of groups included.

    declared: only those that its dataclasses have.
    """
    kind = OmegaConf.get_type(cfg)
    fields = (
        {one.name for one in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else None
    )
    for key in cfg:
        if declared and fields is not None and key not in fields:
            continue
        yield f"{prefix}{key}"
        value = None if OmegaConf.is_missing(cfg, key) else cfg._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_interpolation():
            yield from keys(value, f"{prefix}{key}.", declared)
