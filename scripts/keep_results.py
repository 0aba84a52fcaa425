"""Keep the numbers of runs in experiments/results, and print them in the README.

    python -m scripts.keep_results training <name> <training folder> [<figure folder> …]
    python -m scripts.keep_results folds <row> <training folder> …       # Table 4: adds to the row
    python -m scripts.keep_results probes <name> <folder of table4_…, table5_… or table7_…>
    python -m scripts.keep_results renormalisation <name> <its folder>
    python -m scripts.keep_results ledger <name> <folder of reproduce>
    python -m scripts.keep_results tables <name> <folder of an experiment>
    python -m scripts.keep_results readme                                # only write the README

The numbers are read from the folders' files; the README's blocks between the markers are written
from experiments/results alone. No number is typed by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from deconv.data.text_files import json_text
from deconv.errors import DeconvError, unknown
from experiments import kept_account
from experiments.kept_account import FOLDS, PROBES
from experiments.kit import kept_results, ledger

CHECKOUT = Path(__file__).resolve().parent.parent
RESULTS = CHECKOUT / "experiments" / "results"
README = CHECKOUT / "README.md"
RESULTS_LINK = "experiments/results"
"""How the README reaches RESULTS."""
START = "<!-- results: written by scripts/keep_results.py -->"
END = "<!-- end of results -->"
LEDGER_START = "<!-- ledger: written by scripts/keep_results.py -->"
LEDGER_END = "<!-- end of ledger -->"
SPEED, ONSET = "training_speed.json", "renormalisation.json"


def keep(kind: str, name: str, folders: list[Path]) -> None:
    """Write one result to its file in experiments/results."""
    RESULTS.mkdir(exist_ok=True)
    if kind == "training":
        figures = [kept_results.figure(folder) for folder in folders[1:]]
        _write(f"trained_{name}.json", kept_results.training(folders[0]) | {"figures": figures})
    elif kind == "folds":
        rows = _read(FOLDS)
        already = rows.get(name, {"folds": []})["folds"]
        rows[name] = kept_results.row_of_folds(folders, already)
        _write(FOLDS, dict(sorted(rows.items())))
    elif kind == "probes":
        _write(PROBES, _read(PROBES) | {name: kept_results.probes(folders[0])})
    elif kind == "renormalisation":
        _write(ONSET, _read(ONSET) | {name: kept_results.onset(folders)})
    elif kind == "ledger":
        path = folders[0] / ledger.FILE
        if not path.is_file():
            raise DeconvError(f"{folders[0]} holds no {ledger.FILE}: name a folder of reproduce")
        ledger.write(RESULTS / f"ledger_{name}.json", json.loads(path.read_text(encoding="utf-8")))
    elif kind == "tables":
        _write(f"tables_{name}.json", kept_results.tables(folders[0]))
    else:
        kinds = ("training", "folds", "probes", "renormalisation", "ledger", "tables", "readme")
        raise unknown("kind of result", kind, kinds)


def _read(name: str) -> dict[str, Any]:
    path = RESULTS / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _write(name: str, content: dict[str, Any]) -> None:
    (RESULTS / name).write_text(json_text(content) + "\n", encoding="utf-8")


def block() -> str:
    """The README's tables, from all of experiments/results."""
    parts = [folds(), probed(), trained(), mined(), speed(), onset()]
    return "\n\n".join([START, *("\n".join(part) for part in parts if part), END])


def folds() -> list[str]:
    """Caltech-101 from scratch beside the paper's."""
    rows = []
    for name, kept in _read(FOLDS).items():
        each = ", ".join(f"{one['mean_class_accuracy']:.1f}" for one in kept["folds"])
        spread = kept["standard_deviation"]
        here = f"{kept['mean']:.1f}" + (f" ± {spread:.1f}" if spread is not None else "")
        first, paper = kept["folds"][0], kept["reported"]
        rows.append(
            f"| {name} | {paper['mean']} ± {paper['spread']} | {here} | {each} "
            f"| {first['epochs']} | {first['training_minutes']:.0f} min |"
        )
    head = (
        "| Caltech-101 from scratch, mean accuracy per class (%) | paper, Table 4 | here | folds "
    )
    return rows and [f"{head}| epochs | training |", "|---|---|---|---|---|---|", *rows]


def probed() -> list[str]:
    """Linear classifiers on frozen layers: a line a network, classifier and number of images."""
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    networks = kept_account.trained_networks(RESULTS)
    for kept in _read(PROBES).values():
        own = next(row["network"] for row in kept["rows"] if row["source"] == "here")
        words = kept_account.probed_network(kept, networks)
        for row in kept["rows"]:
            network = words if row["network"] == own else row["network"]
            if row["source"] == "control":
                network = f"{words.partition(',')[0]}, {network}"
            line = (kept["data"], row["per_class"], network, row["classifier"], row["folds"])
            spread = f" ± {float(row['std']):.1f}" if row.get("std") else ""
            cells.setdefault(line, {})[row["layer"]] = f"{float(row['mean']):.1f}{spread}"
    layers = sorted({layer for row in cells.values() for layer in row}, key=int)
    lines = [
        f"| {data}, {per_class} | {network} | {classifier} | {folds} "
        f"| {' | '.join(row.get(layer, '') for layer in layers)} |"
        for (data, per_class, network, classifier, folds), row in cells.items()
    ]
    head = "| data, images per class | frozen network | classifier | folds | layer "
    names = " | ".join(layers)
    return lines and [f"{head}{names} |", "|---" * (4 + len(layers)) + "|", *lines]


def trained() -> list[str]:
    """The networks that were kept."""
    lines = [
        "| network | trained on | epochs | top-1 accuracy | mean per class | training | images/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("trained_*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        last, data = kept["last_epoch"], path.stem.removeprefix("trained_")
        lines.append(
            f"| {kept['model']['name']} | {data} ({kept['model']['num_classes']} classes) "
            f"| {kept['recipe']['epochs']} | {100 - last['val_top1_error']:.1f} % "
            f"| {last['val_mean_class_accuracy']:.1f} % | {kept['training_minutes']:.0f} min "
            f"| {kept['images_per_second']['median']:.0f} |"
        )
    return lines


def mined() -> list[str]:
    """The figures 2 drawn with them."""
    lines = [
        "| figure 2 of | mined | images/s | figure | on | shared switches, pools in order |",
        "|---|---|---|---|---|---|",
    ]
    for path in sorted(RESULTS.glob("trained_*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        for drawn in kept["figures"]:
            rates = ", ".join(f"{100 * rate:.0f} %" for rate in drawn["collision_rate"].values())
            lines.append(
                f"| {kept['model']['name']}, {path.stem.removeprefix('trained_')} "
                f"| {drawn['data']['images']} images of {drawn['data']['name']} "
                f"| {drawn['mining_images_per_second']:.0f} | {drawn['seconds']:.0f} s "
                f"| {drawn['device']}, {drawn['threads']} threads | {rates} |"
            )
    return lines


def speed() -> list[str]:
    """Training updates beside torchvision's reference loop."""
    kept = _read(SPEED)
    rows = [
        f"| {precision} | {names} | {one['images_per_second']:.0f} "
        f"| {100 * one['share_of_matmul']:.0f} % | {one['ours_is_times_faster']:.2f}× |"
        for precision in ("fp32", "bf16")
        for way, names in (
            ("ours", "here"),
            ("reference", "reference loop, same network"),
            ("stock", "reference loop, PyTorch's own modules"),
        )
        if (one := kept.get(precision, {}).get(way))
    ]
    head = f"| {kept.get('model')}, {kept.get('device')}, {kept.get('threads')} threads | update "
    return rows and [
        f"{head}| images/s | of the matrix-product rate | here is faster |",
        "|---|---|---|---|---|",
        *rows,
    ]


def onset() -> list[str]:
    """When the renormalisation begins to act."""
    lines = []
    for name, kept in _read(ONSET).items():
        pairs = {(float(row["scale"]), float(row["rate"])): [] for row in kept["rows"]}
        for row in kept["rows"]:
            pairs[float(row["scale"]), float(row["rate"])].append(row)
        for (scale, rate), rows in sorted(pairs.items()):
            acted = [r for r in rows if int(r["filters_scaled"])]
            text = acted and (
                f"{', '.join(r['layer'] for r in acted)}, "
                f"{sum(int(r['filters_scaled']) for r in acted)} times, "
                f"first in update {min(int(r['first_update']) for r in acted)}"
            )
            largest = max(float(r["largest_rms"]) for r in rows)
            end = "finite" if rows[0]["loss"] != "nan" else "not finite"
            lines.append(
                f"| {name} | {scale:g} | {rate:g} | {text or f'never (largest RMS {largest:.3f})'} "
                f"| {rows[0]['updates']}, {end} |"
            )
    head = "| renormalisation in | inputs × | learning rate | acts on | updates, loss |"
    return lines and [head, "|---|---|---|---|---|", *lines]


def ledger_block() -> str:
    """The README's ledger: all that is kept, beside the paper."""
    kept = kept_account.records(RESULTS, RESULTS_LINK)
    text = kept_account.page(kept) if kept else "No ledger is kept yet."
    return f"{LEDGER_START}\n\n{text}\n\n{LEDGER_END}"


def write_blocks() -> None:
    """Put each block between its markers of README.md."""
    text = README.read_text(encoding="utf-8")
    for start, end, content in ((START, END, block()), (LEDGER_START, LEDGER_END, ledger_block())):
        before, rest = text.split(start)
        text = before + content + rest.split(end)[1]
    README.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Keep one result, if one is named, and write the README's blocks."""
    if arguments != ["readme"] and len(arguments) < 3:
        sys.exit(__doc__)
    try:
        if arguments != ["readme"]:
            kind, name, *folders = arguments
            keep(kind, name, [Path(folder) for folder in folders])
    except (DeconvError, OSError) as error:
        sys.exit(f"error: {error}")
    write_blocks()


if __name__ == "__main__":
    main(sys.argv[1:])
