"""The learning rate: a function of the recipe and of the past, checked against PyTorch's schedulers
and against cases worked out by hand."""

import copy
import random

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau

from deconv.errors import DeconvError
from deconv.training import Recipe, learning_rate, stalls


def history(errors):
    """The metrics of epochs with these validation errors; None where there was no validation."""
    return [
        {"epoch": epoch} | ({} if error is None else {"val_top1_error": error})
        for epoch, error in enumerate(errors, start=1)
    ]


def rates(rule, errors):
    """The rate of each epoch up to the one after the last error."""
    return [learning_rate(rule, epoch, history(errors)) for epoch in range(1, len(errors) + 2)]


def optimizer(lr):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)


def pytorch(errors, lr, **options):
    """The same by PyTorch: `step` after each validation."""
    sgd = optimizer(lr)
    scheduler = ReduceLROnPlateau(sgd, threshold_mode="abs", **options)
    found = [lr]
    for error in errors:
        if error is not None:
            scheduler.step(error)
        found.append(sgd.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("patience", [1, 2, 5])
@pytest.mark.parametrize("improvement", [0.0, 0.1, 2.0])
def test_a_plateau_is_what_pytorch_takes_for_one(patience, improvement):
    """PyTorch lowers the rate when more than `patience` validations bring nothing, we at so many.

    It wants more than the improvement and we at least it, which random numbers do not tell apart;
    its lowest rate is ours after max_drops.
    """
    chance = random.Random(f"{patience} {improvement}")
    fallen = set()
    for trial in range(40):
        level, errors = 90.0, []
        for _ in range(80):
            level -= chance.expovariate(1) * chance.choice([0, 0, 0, 0.2, 2])
            errors.append(level + chance.gauss(0, 0.3) if chance.random() < 0.8 else None)
        drops, factor = trial % 4, chance.choice([0.1, 0.5])
        rule = Recipe(
            lr=0.02,
            lr_factor=factor,
            patience=patience,
            min_improvement=improvement,
            max_drops=drops,
        )
        expected = pytorch(
            errors,
            0.02,
            factor=factor,
            patience=patience - 1,
            threshold=improvement,
            min_lr=0.02 * factor**drops,
            eps=0,
        )
        assert rates(rule, errors) == pytest.approx(expected, rel=1e-9)
        fallen.add(len(stalls(rule, history(errors))))
    assert fallen == {0, 1, 2, 3}, "all of it has been seen"


@pytest.mark.parametrize(
    ("errors", "expected"),
    [
        ([], []),
        ([80, 70, 60, 50], []),
        ([80, 80, 80], [3]),
        ([80, 79.5, 80], []),  # exactly the improvement asked for counts
        ([80, 79.75, 79.625], [3]),  # each a little, together not enough
        ([80, 79.75, 79.5, 79.25], []),  # each a little, every other one enough with it
        ([80, 90, 95], [3]),
        ([80, 80, 70, 71, 72], [5]),  # a new best starts the count anew
        ([80, 80, 80, 80, 80, 80], [3, 5]),  # a drop starts it anew too, and max_drops ends it
        ([80, 80, 80, 50, 50, 50, 20, 20, 20, 20], [3, 6]),
        ([80, None, 80, None, None, 80], [6]),  # epochs without a validation do not count
        ([None, None, None], []),
        ([80, 81, 79.5, 79.6, 79.6], [5]),
    ],
)
def test_stalls_by_hand(errors, expected):
    rule = Recipe(patience=2, min_improvement=0.5, max_drops=2)
    assert stalls(rule, history(errors)) == expected


def test_the_validation_after_the_last_epoch_does_not_count_where_none_was_due():
    """Else a run of 5 epochs that goes on to 9 would differ from one of 9 at once."""
    rule = Recipe(lr=1.0, patience=2, min_improvement=0.5, max_drops=9, eval_every=2)
    at_once = [None, 80, None, 80, None, 80, None, 80]
    gone_on = [*at_once[:4], 80, *at_once[5:]]
    assert stalls(rule, history(at_once)) == stalls(rule, history(gone_on)) == [6]
    assert rates(rule, at_once) == rates(rule, gone_on)


def test_the_rate_falls_in_the_epoch_after_a_stall():
    rule = Recipe(lr=1.0, patience=2, min_improvement=0.5, max_drops=3)
    assert rates(rule, [80, 80, 80, 70, 70, 70]) == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01])
    never = Recipe(lr=1.0, patience=1, max_drops=0)
    assert rates(never, [80, 90, 95, 99]) == [1.0] * 5


def test_an_epoch_knows_nothing_of_what_came_after_it():
    rule = Recipe(lr=1.0, patience=1)
    errors = [80, 90, 60, 70, 70]
    known = [learning_rate(rule, e, history(errors[: e - 1])) for e in range(1, 7)]
    assert known == rates(rule, errors) and len(set(known)) == 4


@pytest.mark.parametrize(
    "rule",
    [
        Recipe(patience=2),
        Recipe(schedule="fixed", lr_drops=(2, 3)),
        Recipe(schedule="cosine", epochs=9, warmup_epochs=2),
    ],
    ids=lambda rule: rule.schedule,
)
def test_the_rate_depends_on_its_arguments_alone(rule):
    past = history([80, 81, 82, 70, 75, None])
    before = copy.deepcopy(past)
    asked = [(epoch, part) for epoch in range(1, 8) for part in (0, 0.25, 0.5)]
    first = [learning_rate(rule, epoch, past, part) for epoch, part in asked]
    shuffled = random.Random(0).sample(range(len(asked)), len(asked))
    for number in shuffled:
        epoch, part = asked[number]
        assert learning_rate(rule, epoch, tuple(past), part) == first[number]
    assert past == before
    with_more = [row | {"lr": 5.0, "val_loss": 9.0, "train_error": 1.0} for row in past]
    assert [learning_rate(rule, epoch, with_more, part) for epoch, part in asked] == first


@pytest.mark.parametrize("epochs", [1, 2, 7, 90])
def test_a_cosine_is_pytorchs_at_the_beginning_of_each_epoch(epochs):
    sgd = optimizer(0.3)
    scheduler = CosineAnnealingLR(sgd, epochs)
    rule = Recipe(schedule="cosine", lr=0.3, epochs=epochs)
    for epoch in range(1, epochs + 1):
        assert learning_rate(rule, epoch) == pytest.approx(sgd.param_groups[0]["lr"], rel=1e-6)
        sgd.step()
        scheduler.step()
    assert learning_rate(rule, epochs, part=1.0) == pytest.approx(0, abs=1e-12)


def test_a_cosine_falls_within_an_epoch_too():
    """A run of 3 epochs of 4 updates is one of 12 epochs of one update."""
    coarse = Recipe(schedule="cosine", lr=0.3, epochs=3)
    fine = Recipe(schedule="cosine", lr=0.3, epochs=12)
    inside = [learning_rate(coarse, e, part=k / 4) for e in (1, 2, 3) for k in range(4)]
    assert inside == pytest.approx([learning_rate(fine, epoch) for epoch in range(1, 13)])
    assert inside == sorted(inside, reverse=True) and len(set(inside)) == 12


@pytest.mark.parametrize("schedule", ["fixed", "plateau"])
def test_other_rates_are_the_same_throughout_an_epoch(schedule):
    rule = Recipe(schedule=schedule, lr_drops=(1,) if schedule == "fixed" else ())
    assert learning_rate(rule, 2, part=0.9) == learning_rate(rule, 2)


def test_a_rate_that_falls_at_fixed_epochs():
    rule = Recipe(lr=0.8, schedule="fixed", lr_drops=(2, 4, 4), lr_factor=0.5)
    expected = [0.8, 0.8, 0.4, 0.4, 0.1, 0.1]
    assert [learning_rate(rule, e) for e in range(1, 7)] == pytest.approx(expected)
    assert [learning_rate(rule, e, history([50] * 6)) for e in range(1, 7)] == pytest.approx(
        expected
    )


@pytest.mark.parametrize("schedule", ["fixed", "plateau", "cosine"])
def test_a_warm_up_is_a_straight_line_times_the_schedule(schedule):
    rule = Recipe(lr=0.4, schedule=schedule, epochs=8, warmup_epochs=2)
    cold = Recipe(lr=0.4, schedule=schedule, epochs=8)
    for epoch, part, share in ((1, 0, 0), (1, 0.5, 0.25), (2, 0, 0.5), (2, 0.75, 0.875)):
        warm = learning_rate(rule, epoch, part=part)
        assert warm == pytest.approx(share * learning_rate(cold, epoch, part=part)), (epoch, part)
    for epoch in range(3, 9):
        assert learning_rate(rule, epoch, part=0.3) == learning_rate(cold, epoch, part=0.3)


def test_drops_at_epochs_with_another_schedule_are_refused():
    with pytest.raises(DeconvError, match=r"lr_drops=\[3\] belong to schedule=fixed"):
        Recipe(schedule="plateau", lr_drops=(3,))
