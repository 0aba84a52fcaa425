"""The way down watched step by step, against autograd, loops, and what each step may do."""

import itertools

import pytest
import torch
from oracles import (
    SMALL_SIZE,
    linear_down,
    live_units,
    loop_unpool,
    randn,
    relative_error,
    small_net,
)
from torch import nn

import deconv
from deconv.deconvnet.projection import OPERATIONS, project_steps
from deconv.errors import DeadUnitWarning, DeconvError
from deconv.rules import of_module

IMAGES = randn(3, 3, *SMALL_SIZE, seed=7)
POINTS = ("conv1", "norm1", "conv2:z", "pool2", "conv3", "pool3", "grid", "fc4", "fc5")


def steps_of(point, **options):
    net = small_net(norm=True)
    record = net.record(IMAGES, [point])
    units = live_units(record.activations[point].detach(), 4)
    return net, record, units, list(project_steps(net, record, point, units, **options))


def one_down(stage, name, signal, record, image, collisions="sum"):
    """A stage's way down, one image at a time: loops for pools, autograd for what is linear."""
    if isinstance(stage, nn.ReLU):
        return "rectify", torch.where(signal > 0, signal, 0.0)
    if isinstance(stage, nn.MaxPool2d):
        switches = record.switches[name][image]
        return "unpool", loop_unpool(signal, switches, record.shapes[name][1:], collisions)
    if isinstance(stage, nn.Conv2d | nn.Linear):
        plain = linear_down(stage, signal, record.shapes[name])
        return "filter", plain
    if isinstance(stage, nn.Flatten):
        return "reshape", signal.reshape(-1, *record.shapes[name])
    if isinstance(stage, nn.AdaptiveAvgPool2d):
        return "spread", linear_down(stage, signal, record.shapes[name])
    return "skip", signal


@pytest.mark.parametrize("collisions", ["sum", "max"])
@pytest.mark.parametrize("point", POINTS)
def test_each_step_is_what_its_operation_says(point, collisions):
    net, record, units, steps = steps_of(point, collisions=collisions)
    values = record.activations[point].detach()
    assert (steps[0].stage, steps[0].operation) == (point, "seed")
    for row, unit in enumerate(units.tolist()):
        at = tuple(unit)[: values.dim()]
        assert steps[0].signal[row].count_nonzero() == 1
        assert steps[0].signal[(row, *at[1:])] == values[at]
    stages = net.stages_to(point)[::-1]
    assert [step.stage for step in steps[1:]] == [name for name, _ in stages]
    for above, step, (name, stage) in zip(steps, steps[1:], stages, strict=False):
        kind, wanted = one_down(stage, name, above.signal, record, units[:, 0], collisions)
        assert step.operation == kind
        assert relative_error(step.signal, wanted) < 1e-12, name


@pytest.mark.parametrize("point", POINTS)
def test_the_last_step_is_the_projection(point):
    net, record, units, steps = steps_of(point)
    assert torch.equal(steps[-1].signal, deconv.project(net, record, point, units))
    other = deconv.project(net, record, point, units, engine="vjp")
    assert relative_error(steps[-1].signal, other) < 1e-12
    assert not any(step.signal.requires_grad for step in steps)


def test_energies_go_as_the_operations_allow():
    seen = set()
    for point in POINTS:
        _, record, units, steps = steps_of(point)
        for above, step in itertools.pairwise(steps):
            before, after = above.energy(), step.energy()
            wanted = [sum(v * v for v in row.flatten().tolist()) for row in step.signal]
            torch.testing.assert_close(after, torch.tensor(wanted, dtype=torch.float64))
            if step.operation in ("skip", "reshape"):
                assert torch.equal(before, after)
            if step.operation == "rectify":
                lost = above.signal.clamp(max=0).flatten(1).square().sum(dim=1)
                torch.testing.assert_close(before, after + lost)
            if step.operation == "unpool":
                whole = [s.flatten().sum().item() for s in above.signal]
                assert step.signal.flatten(1).sum(dim=1).tolist() == pytest.approx(whole)
                flat = record.switches[step.stage][units[:, 0]].flatten(2)
                for row in range(len(units)):
                    apart = all(len(set(at.tolist())) == len(at) for at in flat[row])
                    if apart:
                        assert after[row] == pytest.approx(before[row].item())
            seen.add(step.operation)
    # No network here has a batch normalisation; test_wrapped.py has some.
    assert seen | {"seed", "scale"} == set(OPERATIONS)


def test_steps_are_worked_out_one_by_one_and_leave_the_mode_of_gradients_alone():
    net = small_net()
    record = net.record(IMAGES, ["conv3"])
    units = live_units(record.activations["conv3"].detach(), 1)
    steps = project_steps(net, record, "conv3", units)
    next(steps)
    with torch.no_grad():
        net.conv3.weight.zero_()
    assert next(steps).operation == "rectify" and torch.is_grad_enabled()
    assert next(steps).energy().item() == 0


def test_input_is_checked_before_the_first_step():
    net = small_net()
    record = net.record(IMAGES, ["conv3"])
    units = live_units(record.activations["conv3"].detach(), 1)
    with pytest.raises(DeconvError, match="Did you mean 'sum'"):
        project_steps(net, record, "conv3", units, collisions="summ")
    with pytest.raises(DeconvError, match="is outside conv3"):
        project_steps(net, record, "conv3", torch.tensor([[0, 99, 0, 0]]))
    with pytest.raises(DeconvError, match="the record holds no 'conv2'"):
        project_steps(net, record, "conv2", units)
    dead = (record.activations["conv3"] == 0).nonzero()[:1]
    with pytest.warns(DeadUnitWarning) as warned:
        steps = project_steps(net, record, "conv3", dead)
    assert warned[0].filename == __file__
    assert all(step.energy().item() == 0 for step in steps)


def test_what_has_no_rule_is_passed_on_by_name():
    passed = nn.Dropout(), nn.LocalResponseNorm(3)
    assert {of_module(stage).name for stage in passed} == {"skip"}
    assert {of_module(stage).name for stage in (nn.Linear(1, 1), nn.Conv2d(1, 1, 1))} == {"filter"}
