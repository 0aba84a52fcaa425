"""What stands beside a result: its table, and the record of where it comes from."""

from __future__ import annotations

import csv
import io
import platform
import shlex
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

import deconv
from deconv import distributed
from deconv.atomic_files import write_whole
from deconv.data.text_files import json_text
from deconv.networks import ChainNet
from deconv.training.snapshots import weights_hash

CHECKOUT = Path(__file__).resolve().parent.parent.parent


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    """Rows as CSV, whole or not at all; the columns are all keys in order of appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """A text file in UTF-8, whole or not at all, its line ends as they are."""
    # A file name that is no text holds surrogates, which UTF-8 has not: they are escaped.
    write_whole(path, text.encode("utf-8", "backslashreplace"))


def write_provenance(folder: Path, net: ChainNet, facts: dict[str, Any]) -> None:
    """folder/provenance.json: `facts`, then weights, command, commit and versions."""
    record = facts | {"model": net.recipe, "weights_sha256": weights_hash(net)}
    record |= {"device": str(next(net.parameters()).device)} | circumstances()
    write_text(folder / "provenance.json", json_text(record) + "\n")


def circumstances() -> dict[str, Any]:
    """The command, its processes and threads, the commit, the time and the versions."""
    return {
        "experiment": Path(sys.argv[0]).stem,
        "command": command_line(),
        "processes": distributed.ranks(),
        "threads": torch.get_num_threads(),
        "commit": _commit(),
        "time_utc": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "versions": {
            "deconv": deconv.__version__,
            "torch": str(torch.__version__),
            "torchvision": version("torchvision"),
            "python": platform.python_version(),
        },
    }


def command_line() -> str:
    """What to type for this job: in a sweep its own choices instead of the sweep's."""
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    sweep = hydra is not None and hydra.mode == RunMode.MULTIRUN
    arguments = [*_sources(hydra), *hydra.overrides.task] if sweep else sys.argv[1:]
    return shlex.join(["python", "-m", f"experiments.{Path(sys.argv[0]).stem}", *arguments])


def _sources(hydra: Any) -> list[str]:
    """The options by which a sweep found its configuration."""
    told = [o.path for o in hydra.runtime.config_sources if o.provider == "command-line"]
    folders = [part for path in told for part in ("--config-dir", path)]
    name = hydra.job.config_name
    named = [] if name == Path(sys.argv[0]).stem else ["--config-name", name]
    searched = [o for o in hydra.overrides.hydra if o.startswith("hydra.searchpath=")]
    return [*folders, *named, *searched]


def overrides() -> list[str]:
    """What was asked of this job, as `key=value`."""
    if HydraConfig.initialized():
        return list(HydraConfig.get().overrides.task)
    return [argument for argument in sys.argv[1:] if "=" in argument and argument[0] != "-"]


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What decides the last bits and is otherwise than it was at another of a run's starts.

    Left out is what a snapshot of an older version does not say.
    """
    pairs = [(key, before.get(key), now[key]) for key in ("processes", "threads")]
    pairs.append(("torch", before.get("versions", {}).get("torch"), now["versions"]["torch"]))
    pairs.append(("device", before.get("device"), now["device"]))
    return [f"{key}: {new} in place of {old}" for key, old, new in pairs if old not in (None, new)]


def device_kind(where: torch.device) -> str:
    """The device for people: a GPU's name, or which instructions PyTorch uses of a CPU."""
    if where.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(where)})"
    cpu = torch.backends.cpu.get_cpu_capability()
    return f"cpu ({cpu})" if where.type == "cpu" else str(where)


def _commit() -> str:
    """The checkout's commit, with a + if files differ from it; "unknown" outside git."""
    try:
        git = ["git", "-C", str(CHECKOUT)]
        commit = subprocess.check_output(
            [*git, "rev-parse", "HEAD"], text=True, stderr=subprocess.DEVNULL
        ).strip()
        changed = subprocess.check_output([*git, "status", "--porcelain"], text=True).strip()
        return commit + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
