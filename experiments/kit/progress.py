"""The progress of `reproduce` on standard output."""

from __future__ import annotations

import sys
from pathlib import Path

from tqdm import tqdm

from experiments.kit.steps import DONE, Outcome, Step, last_line, log_path


class Progress:
    """Show what is running: a bar on a terminal, elsewhere one line per experiment."""

    def __init__(self, folder: Path, total: int) -> None:
        self.folder, self.total, self.count = folder, total, 0
        self.bar = tqdm(total=total, unit="experiment") if sys.stderr.isatty() else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def show(self, what: str, step: Step, outcome: Outcome) -> None:
        """Called by `run_steps`."""
        if what == "tick":
            if self.bar is not None:
                line = last_line(log_path(self.folder, step.name))
                self.bar.set_postfix_str(line[:60])
        elif what == "start":
            self.count += 1
            if self.bar is not None:
                self.bar.set_description(step.name)
            else:
                print(f"{self._head(step)} … ", end="", flush=True)
        elif what == "end" and step.arguments:
            self._end(step, outcome_words(outcome), begun=True)
        else:
            self.count += 1
            before = "finished before, " if what == "kept" else ""
            self._end(step, before + outcome_words(outcome), begun=False)

    def _head(self, step: Step) -> str:
        return f"[{self.count}/{self.total}] {step.name}"

    def _end(self, step: Step, words: str, begun: bool) -> None:
        if self.bar is not None:
            tqdm.write(f"{self._head(step)} … {words}")
            self.bar.set_postfix_str("")
            self.bar.update()
        else:
            print(words if begun else f"{self._head(step)} … {words}", flush=True)


def outcome_words(outcome: Outcome) -> str:
    """How an experiment ended, for people."""
    time = f"{outcome.seconds:.0f} s"
    if outcome.status == DONE:
        return f"done in {time}"
    after = f" after {time}" if outcome.seconds else ""
    return f"{outcome.status}{after}" + (f": {outcome.error}" if outcome.error else "")
