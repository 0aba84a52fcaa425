"""What drawing again may change: settings of layout, of which nothing has to be computed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from experiments.kit.provenance import overrides, write_text
from experiments.kit.result import AGAIN, Saved

FREE = ("redraw", "hydra", "figure", "device", "cache_dir", "size")
"""Settings that say nothing of what is computed."""
REDRAWN = "redrawn"
"""In provenance.json: the settings of layout that a folder was drawn again with."""


def asked_layout(config: DictConfig, source: str | Path, layout: str) -> dict[str, Any]:
    """The settings of layout on the command line of a redraw=source.

    layout: names of those that the figure takes. Raises DeconvError for any other setting whose
    value is not that of the saved run.
    """
    given = {one.lstrip("+~").partition("=")[0].partition(".")[0] for one in overrides()}
    asked = {name: config[name] for name in layout.split() if name in given}
    saved = OmegaConf.load(Path(source) / "config.yaml")
    for name in sorted(given - {*asked, *FREE}):
        if name not in saved or saved[name] != config[name]:
            raise DeconvError(
                f"redraw= computes nothing, and a figure with another {name}= has to be computed: "
                f"it takes {', '.join(f'{one}=' for one in layout.split()) or 'no setting'}; or "
                f"{AGAIN}"
            )
    return {name: OmegaConf.to_container(config, resolve=True)[name] for name in asked}


def write_layout(folder: Path, asked: dict[str, Any]) -> None:
    """Note in a copy's provenance.json with which settings of layout it is drawn."""
    if asked:
        facts = Saved(folder).facts
        facts[REDRAWN] = facts.get(REDRAWN, {}) | asked
        write_text(folder / "provenance.json", json_text(facts) + "\n")


def layout_of(saved: Saved) -> dict[str, Any]:
    """The settings of layout that a saved figure is drawn again with; {} as it was computed."""
    return saved.facts.get(REDRAWN, {})


def saved_maps(
    saved: Saved, layer: str, there: list[int], usual: Mapping[str, list[int]] | None = None
) -> list[int]:
    """Positions of the maps to draw of a layer among those that were saved, `there`.

    usual: the maps that are drawn by layer, if not all, where drawing again names none.

    Raises DeconvError for one that was not saved, naming those that were.
    """
    wanted = (layout_of(saved).get("maps") or usual or {}).get(layer)
    if wanted is None:
        return list(range(len(there)))
    if missing := [n for n in wanted if n not in there]:
        raise DeconvError(
            f"map {missing[0]} of {layer} was not saved: redraw= can show maps "
            f"{', '.join(map(str, there))}; or {AGAIN}"
        )
    return [there.index(n) for n in wanted]


def saved_layers(saved: Saved, there: list[str]) -> list[str]:
    """The layers to draw among those that were saved; as `ShowsMaps.shown_layers` chooses them.

    Raises DeconvError for one that was not saved, naming those that were.
    """
    asked = layout_of(saved)
    wanted = [str(one) for one in asked.get("layers") or asked.get("maps") or there]
    if missing := [one for one in wanted if one not in there]:
        raise not_saved(missing[0], there)
    return wanted


def not_saved(layer: str, there: Iterable[str]) -> DeconvError:
    """The error for a layer that is not among those that were saved."""
    return DeconvError(f"{layer} was not saved: redraw= can show {', '.join(there)}; or {AGAIN}")
