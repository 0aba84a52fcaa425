"""The vector-Jacobian product on any graph and in any spelling, against hooks and loops."""

import copy
import importlib
import types

import pytest
import torch
import torch.nn.functional as F
import torchvision
from oracles import (
    assert_unchanged,
    loop_max_pool,
    loop_unpool,
    randn,
    randomise,
    relative_error,
    state,
)
from torch import nn

from deconv.deconvnet.projection import vector_jacobian
from deconv.pooling import COLLISIONS
from deconv.rules.run import Run


class Residual(nn.Module):
    """A small residual network with a branch, a concatenation and normalisations; modules only."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.inner, self.outer = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.side = nn.Conv2d(4, 3, 1)
        self.batch = nn.BatchNorm2d(4)
        self.norm = nn.LocalResponseNorm(3, alpha=1.0)
        self.top = nn.Conv2d(7, 5, 3)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))

    def rectify(self, number, x):
        return self.relus[number](x)

    def forward(self, x):
        x = self.pool(self.rectify(0, self.stem(x)))
        x = x + self.batch(self.outer(self.rectify(1, self.inner(x))))
        x = self.rectify(2, x)
        x = torch.cat([x, self.rectify(3, self.side(x))], dim=1)
        return self.rectify(4, self.top(x))


def _relu_and_discard(x):
    x = x + 0
    torch.relu_(x)
    return x


RELUS = {
    "torch.relu": torch.relu,
    "by keyword": lambda x: torch.relu(input=x),
    "F.relu": F.relu,
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu_": lambda x: torch.relu_(x + 0),
    "method": lambda x: x.relu(),
    "method in place": lambda x: (x + 0).relu_(),
    "module in place": nn.ReLU(inplace=True),
    "in place, result unused": _relu_and_discard,
}


class Spelled(Residual):
    """The same network with its ReLUs written in another way."""

    def __init__(self, relu):
        super().__init__()
        self.relu = relu

    def rectify(self, number, x):
        return self.relu(x)


def hooked(net, point, images, seed):
    """The deconvnet by hooks that rectify the gradient at the outputs of nn.ReLU modules."""

    def rectify(module, below, above):
        return (above[0].clamp(min=0),)

    handles = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            # The gradient through a plain ReLU is masked by activity; a linear one is not.
            module.forward = types.MethodType(lambda self, x: _Straight.apply(x), module)
            handles.append(module.register_full_backward_hook(rectify))
    images = images.clone().requires_grad_()
    values = point(images)
    (pixels,) = torch.autograd.grad(values, images, seed(values.detach()))
    for handle in handles:
        handle.remove()
    return pixels


class _Straight(torch.autograd.Function):
    """ReLU forwards, identity backwards."""

    @staticmethod
    def forward(ctx, x):
        return torch.where(x > 0, x, 0.0)

    @staticmethod
    def backward(ctx, signal):
        return signal


def centre_unit(values):
    """The seed that keeps the strongest unit of each row."""
    flat = values.flatten(1)
    signal = torch.zeros_like(flat)
    at = flat.argmax(1, keepdim=True)
    return signal.scatter(1, at, flat.gather(1, at)).view_as(values)


def residual_oracle(images):
    """The residual net by hooks; its response norm replaced by a constant, hence skipped."""
    net = randomise(Residual())
    return hooked(net, net, images, centre_unit)


@pytest.mark.parametrize("spelling", RELUS)
def test_any_spelling_of_relu_on_a_residual_graph(spelling):
    net = Spelled(RELUS[spelling])
    reference = randomise(Residual())
    net.double().eval().load_state_dict(reference.state_dict())
    images = randn(2, 3, 12, 13, seed=5)
    expected = residual_oracle(images)
    before = state(net)
    pixels = vector_jacobian(net, images, centre_unit)
    assert relative_error(pixels, expected) < 1e-10
    assert_unchanged(net, before)
    with Run("deconvnet"):
        values = net(images)
    assert torch.equal(values, reference(images))


def test_the_deconvnet_is_not_the_gradient_on_a_residual_graph():
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5).requires_grad_()
    (gradient,) = torch.autograd.grad(net(images), images, centre_unit(net(images).detach()))
    pixels = vector_jacobian(net, images, centre_unit)
    assert relative_error(pixels, gradient) > 1e-2


def test_the_rules_end_with_their_context():
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5).requires_grad_()

    def gradient():
        return torch.autograd.grad(net(images).square().sum(), images)[0]

    expected = gradient()
    vector_jacobian(net, images, centre_unit)
    assert torch.equal(gradient(), expected)

    def broken(x):
        raise KeyError("broken")

    with pytest.raises(KeyError):
        vector_jacobian(broken, images, centre_unit)
    assert torch.equal(gradient(), expected)
    assert images.grad is None


@pytest.mark.parametrize("weights_need_gradients", [True, False])
def test_vector_jacobian_works_without_gradient_mode(weights_need_gradients):
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5)
    expected = vector_jacobian(net, images, centre_unit)
    net.requires_grad_(weights_need_gradients)
    with torch.no_grad():
        assert torch.equal(vector_jacobian(net, images, centre_unit), expected)


POOL_CALLS = {
    "function": lambda x: F.max_pool2d(x, 3, 2, 1),
    "keywords": lambda x: F.max_pool2d(input=x, kernel_size=3, stride=2, padding=1),
    "torch": lambda x: torch.max_pool2d(x, 3, 2, 1),
    "module": nn.MaxPool2d(3, 2, 1),
    "with indices": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[0],
    "indices function": lambda x: F.max_pool2d_with_indices(x, 3, 2, 1)[0],
}


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("spelling", POOL_CALLS)
def test_any_spelling_of_max_pool_follows_the_policy(spelling, collisions):
    images = randn(2, 3, 8, 9)
    values, switches = loop_max_pool(images, 3, 2, 1)
    signal = randn(*values.shape, seed=1)
    below = vector_jacobian(POOL_CALLS[spelling], images, lambda _: signal, collisions)
    assert relative_error(below, loop_unpool(signal, switches, (8, 9), collisions)) < 1e-12


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x: F.local_response_norm(x, 3, 1.0),
        lambda x: F.local_response_norm(input=x, size=3, alpha=1.0),
        nn.LocalResponseNorm(3, 1.0),
    ],
    ids=["function", "keywords", "module"],
)
def test_any_spelling_of_response_norm_is_skipped(spelling):
    images = randn(2, 3, 4, 5)
    signal = randn(*images.shape, seed=1)
    seen = []
    below = vector_jacobian(spelling, images, lambda values: (seen.append(values), signal)[1])
    assert torch.equal(below, signal)
    assert relative_error(seen[0], nn.LocalResponseNorm(3, 1.0)(images)) < 1e-14


def up_to(net, last):
    """Images to the output of the child `last` of a torchvision ResNet."""

    def point(images):
        x = images
        for name, child in net.named_children():
            x = child(x)
            if name == last:
                break
        return x

    return point


def test_resnet18_equals_the_hooks():
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=2).double().eval()
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    images, before = randn(2, 3, 64, 64), state(net)
    pixels = vector_jacobian(up_to(net, "layer3"), images, centre_unit)
    assert_unchanged(net, before)
    assert pixels.shape == images.shape and pixels.isfinite().all()
    assert relative_error(pixels, hooked(twin, up_to(twin, "layer3"), images, centre_unit)) < 1e-10


def test_googlenet_with_functional_relus_equals_replaced_functions(monkeypatch):
    net = torchvision.models.GoogLeNet(num_classes=2, aux_logits=False, init_weights=False)
    randomise(net)
    images, before = randn(1, 3, 64, 64), state(net)
    pixels = vector_jacobian(net, images, torch.ones_like)
    assert_unchanged(net, before)
    assert pixels.isfinite().all()

    class Rectified(_Straight):
        @staticmethod
        def backward(ctx, signal):
            return signal.clamp(min=0)

    replaced = types.SimpleNamespace(relu=lambda x, inplace: Rectified.apply(x))
    module = importlib.import_module("torchvision.models.googlenet")
    monkeypatch.setattr(module, "F", replaced)
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(leaf).sum(), leaf)
    assert relative_error(pixels, expected) < 1e-10
