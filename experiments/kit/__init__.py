"""What every command shares: settings, the runner, the sidecar, findings, trainings, results.

An experiment is a dataclass of settings, `compute(cfg, it) -> Result` and `draw(saved)`;
`experiment` makes a command of them.
"""

from experiments.kit.command import Command, compose
from experiments.kit.experiment import experiment
from experiments.kit.findings import Finding, judged
from experiments.kit.inputs import log
from experiments.kit.result import Result, Saved
from experiments.kit.settings import Comparison, Drawn, Figure, Settings, by_size, check_name
from experiments.kit.subject import Subject

__all__ = [
    "Command",
    "Comparison",
    "Drawn",
    "Figure",
    "Finding",
    "Result",
    "Saved",
    "Settings",
    "Subject",
    "by_size",
    "check_name",
    "compose",
    "experiment",
    "judged",
    "log",
]
