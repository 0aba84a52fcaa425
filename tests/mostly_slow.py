"""Which of many cases of one kind the default run has."""

import pytest


def mostly_slow(cases, first=1):
    """Parameters of which only the first few are in the default run; all are under `-m slow`."""
    cases = list(cases)
    return [
        *cases[:first],
        *(
            pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
            for case in cases[first:]
        ),
    ]
