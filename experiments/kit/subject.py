"""What an experiment works on: its network and its images, opened where first asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader, Dataset

from deconv import distributed
from deconv.data import CentreCrops, Squares
from deconv.data.class_names import class_number, imagenet_words
from deconv.errors import DataMissing, DeconvError
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import Network, is_foreign
from deconv.records import Peaks
from deconv.training.snapshots import Snapshot, load_snapshot
from experiments.kit import inputs, own_layers
from experiments.kit.chosen_images import (
    ChosenImage,
    draw_right_ones,
    named_images,
    need_label,
    of_data_set,
)
from experiments.kit.facts import data_facts, measure_collisions, training_facts
from experiments.kit.inputs import log
from experiments.kit.series import twin
from experiments.kit.settings import Settings
from experiments.kit.titles import titles_of
from experiments.kit.training import train_network
from experiments.kit.training_data import (
    missing,
    named_network,
    same_images,
    trained_on,
    training_data,
)

Chosen = list[ChosenImage]


def _of_data_set(images: Sequence[object]) -> bool:
    return any(of_data_set(one) for one in images)


class OthersLeave(Exception):
    """Raised in every process but the first where the rest is the first one's."""


class Subject:
    """The network and the images that a command's settings name.

    config: the settings as Hydra has them, for trainings. cfg: the same, usually as a dataclass.
    setting: the one that names the snapshot.
    """

    def __init__(
        self, config: DictConfig, cfg: Settings, folder: Path, setting: str = "snapshot"
    ) -> None:
        self.config, self.cfg, self.folder, self.setting = config, cfg, folder, setting
        self._squares: dict[str, Squares] = {}
        self.of_training = False

    def take_training_data(self, asked: Sequence[str]) -> bool:
        """Take the data that the network was trained on, unless data= was asked for.

        Returns whether it did: a snapshot may be another program's weights, and not tell.
        """
        path = named_network(self.cfg) if self.cfg.of_training else None
        if path is None or any(one.lstrip("+").startswith("data=") for one in asked):
            return False
        single = getattr(self.cfg, "snapshot", None) and self.given
        try:
            stored = trained_on(single or load_snapshot(path, self.cfg.model.name))
        except DeconvError:  # said where the network is opened
            return False
        if stored is None:
            return False
        self.config.data = training_data(stored, self.config, list(asked))
        self.cfg.data = OmegaConf.to_object(self.config).data
        self.of_training = True
        return True

    def take_own_layers(self, asked: Sequence[str]) -> bool:
        """Put layers of a network of others in the place of the paper's, unless some are asked for.

        Returns whether it did; says which.
        """
        if any(one.lstrip("+").partition("=")[0] in own_layers.NAMING for one in asked):
            return False
        taken = False
        for name in own_layers.SETTINGS:
            value = getattr(self.cfg, name, None)
            layers = [value] if isinstance(value, str) else list(value or ())
            if not own_layers.are_the_papers(layers) or not self.of_others:
                continue
            own = own_layers.own_layers(self._looked_at, layers)
            log(f"{name}={','.join(own)}, as none is named")
            taken, new = True, own[0] if isinstance(value, str) else own
            setattr(self.cfg, name, new)
            self.config[name] = new
        return taken

    @property
    def _looked_at(self) -> Network:
        """The network that settings name, by its newest snapshot if it is a run."""
        if getattr(self.cfg, "run", None) and (path := named_network(self.cfg)):
            return load_snapshot(path, self.cfg.model.name).network()
        return self.sketch

    @property
    def of_others(self) -> bool:
        """Whether the network is none of this library's."""
        return is_foreign(self.given.recipe["name"] if self.given else self.cfg.model.name)

    # The network

    @cached_property
    def given(self) -> Snapshot | None:
        """The snapshot that snapshot= or model.weights= names; None where one is trained first."""
        found = inputs.given(self.cfg) if hasattr(self.cfg, "snapshot") else None
        return found if found is None else self.named(found)

    def named(self, found: Snapshot) -> Snapshot:
        """A snapshot without class names with those of the folder, if the network has as many.

        A folder of some of ImageNet's classes names all of a network with a thousand.
        """
        if found.config.get("named", True):
            return found
        split = getattr(self.cfg, "split", "val")
        try:
            classes = inputs.uncached(self.cfg, split, found.mean.shape[-1]).classes
        except DeconvError:  # said where images are asked for, if they are
            return found
        every = list(imagenet_words().values()) if len(found.classes) == 1000 else []
        if set(classes) <= set(every):
            classes = every
        if len(classes) != len(found.classes):
            return found
        ends = f"{classes[0]} … {classes[-1]}"
        log(
            f"note: the network's outputs are taken to be the classes of the data, in order: {ends}"
        )
        return dataclasses.replace(found, classes=list(classes))

    @cached_property
    def sketch(self) -> Network:
        """The network, or one like it without training: to check settings by before a training."""
        if self.given:
            return self.given.network()
        return inputs.build_network(self.cfg, len(self.data.classes) if self._squares else 2)

    @cached_property
    def snapshot(self) -> Snapshot:
        """The trained network; trained now where none is given. All processes ask together."""
        if self.given:
            return self.given
        log(f"{self.setting}= is not given: training one first")
        self.folder.mkdir(exist_ok=True)
        return train_network(self.config, self.folder)

    @cached_property
    def net(self) -> Network:
        """The trained network on its device."""
        return (self.sketch if self.given else self.snapshot.network()).to(self.device)

    @property
    def titles(self) -> dict[str, str]:
        """Layer -> title, of the layers that have one, see `layer_title`."""
        given = getattr(self.cfg.model, "titles", None)
        return titles_of(self.sketch.recipe.get("name", ""), given)

    @cached_property
    def device(self) -> torch.device:
        """Where networks run."""
        return inputs.device(self.cfg)

    @cached_property
    def roles(self) -> dict[str, Subject]:
        """The networks that a `Comparison` compares, in its order, each as a subject of its own.

        One that is not given is trained in a folder of its role's name when it is first needed,
        but for a network of others: twins differ in what this library's networks have.
        Raises DeconvError if one is not given at size=paper, where that takes days.
        """
        paths = {role: getattr(self.cfg, role) for role in self.cfg.roles}
        model = self.cfg.model.name
        named = is_foreign(model) and inputs.has_weights(self.cfg)
        missing = [f"{role}=" for role, path in paths.items() if not path]
        if missing and not named and self.cfg.size_name == "paper":
            raise DeconvError(
                f"size=paper needs trained networks, {', '.join(missing)} missing: --help lists "
                "the trainings"
            )
        given = {role: load_snapshot(path, model) if path else None for role, path in paths.items()}
        if named:
            given[self.cfg.twins_of[0]] = inputs.weights_snapshot(self.cfg)
        like = next((given[role] for role in self.cfg.twins_of if given[role]), None)
        if like is not None and is_foreign(like.recipe["name"]):
            given = {role: one for role, one in given.items() if one}
        opened: dict[int, dict[str, Squares]] = {}
        found = {}
        for role in given:
            changes = self.cfg.roles[role] | {"snapshot": paths[role]}
            config = twin(self.config, changes, like)
            one = found[role] = Subject(config, config, self.folder / role, role)
            one.given = given[role]
            # Images as large for two roles are opened once.
            one._squares = opened.setdefault(inputs.stored_side_px(config, one.given), {})
        return found

    # The images

    @property
    def data(self) -> Squares:
        """The images of cfg.split."""
        return self.squares(self.cfg.split)

    @cached_property
    def crops(self) -> CentreCrops:
        """The images of cfg.split as the network is fed them."""
        return CentreCrops(self.data, self.snapshot.mean, self.net.input_px)

    def squares(self, split: str, side_px: int | None = None) -> Squares:
        """The images of a split, as large as the network's mean image or cfg says.

        side_px: another side, where the images are for no network of cfg.model.
        """
        if split not in self._squares:
            side_px = side_px or inputs.stored_side_px(self.cfg, self.given)
            try:
                self._squares[split] = inputs.squares(self.cfg, split, side_px)
            except DataMissing as error:
                raise (missing(error, self.cfg) if self.of_training else error) from error
        return self._squares[split]

    def need_images(self, count: int, why: str) -> None:
        """Raise DeconvError where cfg.split has fewer than `count` images; why: words for it."""
        if len(self.data) < count:
            raise DeconvError(
                f"{self.cfg.split!r} of {inputs.data_name(self.cfg)} has {len(self.data)} images; "
                f"{why} needs {count} or more"
            )

    def loader(self, data: Dataset, batch: int = CHUNK) -> DataLoader:
        """This process's share of `data` in batches."""
        share = distributed.Share(data, batch)
        return DataLoader(share, batch_size=batch, num_workers=inputs.workers(self.cfg))

    def mine(self, layers: Sequence[str], k: int) -> dict[str, Peaks]:
        """The strongest units of every map over cfg.split; all processes ask together."""
        whose = self.net.name if self.setting == "snapshot" else f"{self.setting}= {self.net.name}"
        log(f"mining {', '.join(layers)} of {whose} over {len(self.crops)} images")
        whole = getattr(self.cfg, "whole_fields", False)
        loader = self.loader(self.crops)
        return top_activations(self.net, loader, list(layers), k=k, whole_fields=whole)

    def check_images(self, need_labels: bool = False) -> None:
        """Raise DeconvError for images= that do not exist, cannot be read, or have no class.

        need_labels: whether the class of every image has to be known to the network.
        """
        named = self.cfg.images and (self._labels or not self.by_number)
        if need_labels and not (named or self.knows_classes):
            raise DeconvError(
                f"the network's {len(self.given.classes)} classes are not those of "
                f"{inputs.data_name(self.cfg)}: name images=[…] and labels=[…], each label one of "
                "the network's classes"
            )
        if self.cfg.images:
            of = self.given or Snapshot(
                {}, {}, torch.zeros(self.data[0][0].shape), list(self.data.classes)
            )
            for image in self._named(self.cfg.images, self._labels, of):
                if need_labels:
                    need_label(image)

    @property
    def knows_classes(self) -> bool:
        """Whether the network has a class of the name of each class of cfg.split."""
        return not self.given or set(self.given.classes) >= set(self.data.classes)

    @property
    def by_number(self) -> bool:
        """Whether images of cfg.split are asked for, not files alone."""
        return not self.cfg.images or _of_data_set(self.cfg.images)

    def images(self, count: int, only_right: bool = True, classes: Sequence[str] = ()) -> Chosen:
        """The images that images= names, or `count` that are drawn."""
        if self.cfg.images:
            return self._named(self.cfg.images, self._labels, self.snapshot)
        return self.drawn(count, only_right, classes)

    def drawn(self, count: int, only_right: bool = True, classes: Sequence[str] = ()) -> Chosen:
        """Images of cfg.split drawn by the seed.

        only_right: among those that the network classifies rightly. classes: of these alone.
        """
        if only_right:
            wanted = {class_number(name, self.data.classes) for name in classes} or None
            numbers = self.right_ones(count, wanted=wanted)
        else:
            order = np.random.default_rng(self.cfg.seed).permutation(len(self.data))
            numbers = order[:count].tolist()
        return self._named(numbers, [], self.snapshot)

    def right_ones(self, count: int, **options: Any) -> list[int]:
        """Numbers of images that the network classifies rightly, see `draw_right_ones`."""
        return draw_right_ones(self.snapshot, self.net, self.data, count, self.cfg.seed, **options)

    @property
    def _labels(self) -> Sequence[str]:
        """Of images=, where the command has labels=."""
        return getattr(self.cfg, "labels", [])

    def _named(self, images: Sequence[object], labels: Sequence[str], of: Snapshot) -> Chosen:
        input_px = self.net.input_px if "net" in vars(self) else self.sketch.input_px
        data = self.data if _of_data_set(images) else None
        root = getattr(self.cfg.data, "root", None)
        return named_images(images, labels, of, input_px, data, root)

    # Processes and the sidecar

    def first_alone(self) -> None:
        """From here on process 0 of torchrun works alone; the others leave `compute`."""
        if distributed.rank() > 0:
            raise OthersLeave

    def collisions(self) -> dict[str, float]:
        """Pool -> the share of windows that share their switch, over the first images."""
        return measure_collisions(self.net, self.crops)

    def facts(self) -> dict[str, Any]:
        """What the sidecar says of the network and of the images, as far as they were used."""
        facts: dict[str, Any] = {}
        if self.setting == "snapshot" and self.given:
            facts["titles"] = self.titles
        if "snapshot" in vars(self):
            facts["training"] = training_facts(self.snapshot, self.cfg.snapshot)
        split = getattr(self.cfg, "split", None)
        if split in self._squares:
            data = self._squares[split]
            facts["data"] = data_facts(self.cfg, split, data)
            if "snapshot" in vars(self):
                parts = [one.fingerprint() for one in getattr(data, "parts", [])]
                same = same_images(self.snapshot, split, data.fingerprint(), parts)
                facts["data"]["of_training"] = same
        return facts
