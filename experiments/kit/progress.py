"""The progress of `reproduce` on standard output."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from experiments.kit.steps import DONE, Outcome, Step, last_line, log_path

SILENT_S = 20
"""Without a terminal something is printed at least as often."""


class Progress:
    """Show what is running: a bar on a terminal, elsewhere lines.

    expected: step -> seconds that it is expected to take, 0 if that is not known.
    """

    def __init__(
        self, folder: Path, total: int, expected: Callable[[str], float] = lambda _: 0.0
    ) -> None:
        self.folder, self.total, self.count, self.expected = folder, total, 0, expected
        self.bar = tqdm(total=total, unit="experiment") if sys.stderr.isatty() else None
        self.said, self.at, self.on_head = "", time.monotonic(), False

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, what: str, step: Step, outcome: Outcome) -> None:
        """Called by `run_steps`."""
        if what == "tick":
            self._tick(last_line(log_path(self.folder, step.name)))
        elif what == "start":
            self.count += 1
            if self.bar is not None:
                self.bar.set_description(step.name)
            else:
                seconds = self.expected(step.name)
                about = f" (about {seconds:.0f} s)" if seconds else ""
                self._print(f"{self._head(step)}{about} … ", on_head=True)
        elif what == "end" and step.arguments:
            self._end(step, outcome_words(outcome), begun=True)
        else:
            self.count += 1
            before = "finished before, " if outcome.status == DONE else ""
            self._end(step, before + outcome_words(outcome), begun=False)

    def say(self, line: str) -> None:
        """Print a line of its own."""
        if self.bar is not None:
            tqdm.write(line)
        else:
            self._print(f"{line}\n")

    def _tick(self, line: str) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(line[:60])
            return
        silent = time.monotonic() - self.at
        if line and (silent > SILENT_S or (line != self.said and silent > SILENT_S / 4)):
            self.said = line
            self._print(("\n" if self.on_head else "") + f"      {line[:90]}\n")

    def _print(self, text: str, on_head: bool = False) -> None:
        print(text, end="", flush=True)
        self.at, self.on_head = time.monotonic(), on_head

    def _head(self, step: Step) -> str:
        return f"[{self.count}/{self.total}] {step.name}"

    def _end(self, step: Step, words: str, begun: bool) -> None:
        if self.bar is not None:
            tqdm.write(f"{self._head(step)} … {words}")
            self.bar.set_postfix_str("")
            self.bar.update()
        else:
            self._print(f"{words if begun and self.on_head else f'{self._head(step)} … {words}'}\n")


def outcome_words(outcome: Outcome) -> str:
    """How an experiment ended, for people."""
    time = f"{outcome.seconds:.0f} s"
    if outcome.status == DONE:
        return f"done in {time}"
    after = f" after {time}" if outcome.seconds else ""
    return f"{outcome.status}{after}" + (f": {outcome.error}" if outcome.error else "")
