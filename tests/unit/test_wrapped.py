"""Networks of any shape: what is read, painted and seen, against hooks, patches, NaNs, captum."""

import contextlib
import warnings

import captum.attr
import pytest
import torch
import torch.nn.functional as F
import torchvision
from mostly_slow import mostly_slow
from torch import nn

import deconv
from deconv.deconvnet.mirror import refusal
from deconv.errors import DeconvError, NoRuleWarning
from deconv.pixels import Grey

PX = 64
POINTS = {
    "alexnet": "features.7",
    "vgg16_bn": "features.12",
    "googlenet": "inception4a",
    "squeezenet1_1": "features.7",
    "resnet18": "layer3",
    "resnet50": "layer2.1",
    "densenet121": "features.denseblock2.denselayer3",
    "mobilenet_v2": "features.7",
    "resnext50_32x4d": "layer2",
    "convnext_tiny": "features.2",
}
"""Network -> a point in its middle: a module or a container."""
LARGE = ("vgg16_bn", "googlenet", "resnet50", "densenet121", "resnext50_32x4d")
"""What each of these is made of, a smaller network has too."""


def module(name, **options):
    """torchvision's module with random weights, batch statistics and biases that are not 0."""
    if name == "googlenet":
        options["init_weights"] = False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        made = torchvision.models.get_model(name, weights=None, num_classes=7, **options)
        for part in made.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias, 0, 0.1)
            elif isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
    return made.double()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, PX, PX, generator=torch.Generator().manual_seed(0)).double()


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=[pytest.mark.slow] * (n in LARGE)) for n in POINTS],
)
def subject(request, images):
    """(name, module, network, point)"""
    made = module(request.param)
    return request.param, made, deconv.wrap(made, request.param, PX), POINTS[request.param]


def test_values_are_those_that_hooks_see(subject, images):
    _, made, net, point = subject
    modes = [m.training for m in made.modules()]
    names = list(net.layers[:9:4])
    seen = {}
    hooks = [
        made.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: seen.update({name: out.clone()})
        )
        for name in names
    ]
    record = net.record(images, [point, *names])
    for hook in hooks:
        hook.remove()
    again = net.record(images, [point], logits=False)
    assert [m.training for m in made.modules()] == modes, "its mode is as it was"
    with torch.no_grad():
        assert torch.equal(record.logits, made.eval()(images))
    made.train()
    for name in names:
        torch.testing.assert_close(record.activations[name], seen[name], rtol=0, atol=0)
    assert again.logits is None and torch.equal(again.activations[point], record.activations[point])
    assert net.classes == 7 and set(names) <= set(net.points)


@contextlib.contextmanager
def patched(rule):
    """Another way to the same derivative: every ReLU of PyTorch replaced by one with `rule`."""

    class Relu(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, top):
            ctx.save_for_backward((x > 0) & (x < top))
            return x.clamp(0, top)

        @staticmethod
        def backward(ctx, signal):
            on = ctx.saved_tensors[0]
            below = signal if rule == "gradient" else signal.clamp(min=0)
            return (below if rule == "deconvnet" else below * on), None

    def norm(x, shape, weight=None, bias=None, eps=1e-5):
        if rule != "deconvnet":
            return before[2](x, shape, weight, bias, eps)
        mean = x.detach().mean(-1, keepdim=True)
        std = (x.detach().var(-1, unbiased=False, keepdim=True) + eps).sqrt()
        return (x - mean) / std * weight + bias

    before = F.relu, F.hardtanh, F.layer_norm, F.relu6
    F.relu = lambda x, inplace=False: Relu.apply(x, float("inf"))
    F.hardtanh = lambda x, low, high, inplace=False: Relu.apply(x, high)
    F.relu6 = lambda x, inplace=False: Relu.apply(x, 6.0)
    F.layer_norm = norm
    try:
        yield
    finally:
        F.relu, F.hardtanh, F.layer_norm, F.relu6 = before


def painted_with_hooks(made, name, images, unit, rule):
    """The derivative of one unit of a module's output, under patched ReLUs."""
    seen = []
    hook = made.get_submodule(name).register_forward_hook(lambda m, i, out: seen.append(out))
    pixels = images.clone().requires_grad_()
    with patched(rule):
        made.eval()(pixels)
        made.train()
    hook.remove()
    value = seen[0][tuple(unit)]
    (found,) = torch.autograd.grad(value, pixels, value.detach())
    return found[unit[0]]


@pytest.mark.parametrize("rule", ["deconvnet", "guided", "gradient"])
def test_projections_are_those_of_patched_relus(subject, images, rule):
    name, made, net, _ = subject
    points = {net.layers[min(len(net.layers) // 2, 8)]: [[0, 3, 1, 1], [1, 5, 0, 1]]}
    if rule == "deconvnet":  # and from near the logits, through everything that it has
        points[maps_of(net)[-1]] = [[1, 2, 0, 1]]
    for point, units in points.items():
        record = net.record(images, [point])
        expected = torch.stack(
            [painted_with_hooks(made, point, images, unit, rule) for unit in units]
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NoRuleWarning)
            found = deconv.project(net, record, point, torch.tensor(units), rule=rule, engine="vjp")
        assert expected.abs().max() > 0, name
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12 * expected.abs().max())


def maps_of(net):
    """The convolutions with maps of 2×2 or more."""
    return [n for n in net.layers if len(s := net.calls.values[n].shape) == 3 and min(s[1:]) > 1]


def test_attention_goes_by_its_derivative_and_is_warned_of():
    made = vision_transformer().double()
    net = deconv.wrap(made, "v", 32)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(4)).double()
    record = net.record(images, ["heads.head"])
    units = [[0, 3, 0, 0], [1, 5, 0, 0]]
    with pytest.warns(NoRuleWarning, match=r"no rule for GELU, MultiheadAttention.* 4 times"):
        found = deconv.project(net, record, "heads.head", torch.tensor(units))
    expected = torch.stack(
        [painted_with_hooks(made, "heads.head", images, unit[:2], "deconvnet") for unit in units]
    )
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12 * expected.abs().max())


def vision_transformer():
    torch.manual_seed(2)
    made = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=7)
    nn.init.normal_(made.heads.head.weight)  # it begins at 0
    return made


def test_receptive_fields_are_what_a_nan_reaches(subject):
    """A row or column of NaNs in the image makes NaN of exactly the units that look at it."""
    name, _, net, point = subject
    side = net.record(torch.zeros(1, 3, PX, PX).double(), [point]).activations[point].shape[2]
    for axis in (0, 1):
        images = torch.zeros(PX, 3, PX, PX).double()
        for i in range(PX):
            images[i].select(1 + axis, i).fill_(float("nan"))
        values = net.record(images, [point], logits=False, finite=False).activations[point]
        reached = values.isnan().any(1)  # image × rows × columns
        for unit in {0, 1, side // 2, side - 1}:
            at = reached.select(1 + axis, unit).any(1).nonzero().flatten().numpy()
            box = net.field(point, unit, unit, (PX, PX))
            ends = box[axis], box[axis + 2]
            assert ends == (at[0], at[-1] + 1), f"{name} {point} {axis} {unit}"


def test_interior_fields_are_those_of_a_large_image():
    net = deconv.wrap(module("resnet18"), "resnet18", PX)
    for point in ("layer1", "layer2"):
        size, stride, start = net.interior(point, 0)
        middle = 72 // stride
        box = net.field(point, middle, middle, (144, 144))
        assert (box[0], box[2]) == (start + middle * stride, start + middle * stride + size)
    assert deconv.fields.unclipped_field(net, "fc", 0, 0, (64, 80)) == (0, 0, 64, 80)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not already require gradients")
@pytest.mark.parametrize("name", ["alexnet", "squeezenet1_1", *mostly_slow(["vgg16_bn"], 0)])
def test_captum_agrees(name, images):
    made = module(name)
    for part in made.modules():  # captum's hooks do not stand ReLUs in place
        if isinstance(part, nn.ReLU):
            part.inplace = False
    made.eval()
    net = deconv.wrap(made, name, PX)
    (answer,) = net.points[-1:]
    assert "no chain of stages" in refusal(net, answer)
    record = net.record(images, [answer])
    units = torch.tensor([[0, 2, 0, 0], [1, 6, 0, 0]])
    for rule, method in (
        ("deconvnet", captum.attr.Deconvolution(made)),
        ("guided", captum.attr.GuidedBackprop(made)),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            wanted = method.attribute(images, target=torch.tensor([2, 6])).detach()
        found = deconv.project(net, record, answer, units, seed="one", rule=rule)
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-12 * wanted.abs().max())
    saliency = captum.attr.Saliency(made).attribute(images, torch.tensor([2, 6]), abs=False)
    plain = deconv.project(net, record, answer, units, seed="one", rule="gradient")
    torch.testing.assert_close(plain, saliency.detach(), rtol=1e-8, atol=1e-14)


def test_what_has_no_rule_is_warned_of_and_nothing_else(images):
    for name, foreign in (("convnext_tiny", "GELU"), ("resnet18", None)):
        net = deconv.wrap(module(name), name, PX)
        point = POINTS[name]
        record = net.record(images, [point])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            deconv.project(net, record, point, torch.tensor([[0, 0, 0, 0]]))
        said = [str(w.message) for w in caught if w.category is NoRuleWarning]
        assert len(said) == bool(foreign)
        assert not foreign or f"no rule for {foreign}" in said[0]


class Odd(nn.Module):
    """Functional, in-place and reused rectifications, products, and a split of channels."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding="same")
        self.relu, self.fc = nn.ReLU(inplace=True), nn.Linear(4, 5)
        self.gain = nn.Parameter(torch.full((4, 1, 1), 1.5))

    def forward(self, x):
        x = self.relu(self.a(x))
        y = F.relu(self.b(x) * self.gain)
        left, right = torch.cat([y, x], 1).chunk(2, 1)
        return self.fc((self.relu(left) + right * left.sigmoid()).mean((2, 3)))


def test_names_of_points_and_what_stands_before_them():
    net = deconv.wrap(Odd(), input_px=9)
    assert net.name == "Odd" and net.layers == ("a", "b", "fc")
    assert {"a", "relu:1", "b", "mul:1", "F.relu", "cat", "relu:2", "mean", "fc"} <= set(net.points)
    assert net.before("relu:1") == "a" and net.before("F.relu") == "mul:1"
    assert net.before("a") is None and net.before("relu:2") is None, "a part of several is no point"
    assert net.check_point("2") == "b", "by number among the layers with weights"
    without = {ran.what for ran in net.calls.ran if not ran.known}
    assert without == {"sigmoid", "mul"}, "a product of two values has no rule, of one it has"
    z, a = (
        net.record(torch.randn(1, 3, 9, 9), ["a", "relu:1"]).activations[p] for p in ("a", "relu:1")
    )
    assert (z < 0).any() and not (a < 0).any(), "in place does not reach what was read before"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: deconv.wrap(Odd(), input_px=2), "cannot take 3×2×2 images"),
        (
            lambda: deconv.wrap(nn.Conv2d(3, 4, 1), input_px=4),
            "answers two images with 2×4×4×4, not with logits",
        ),
        (lambda: deconv.wrap(Two(), input_px=4), "does not answer with one tensor"),
        (lambda: deconv.wrap(Odd(), input_px=9).check_point("reluu"), "Did you mean 'relu:2'"),
        (
            lambda: deconv.wrap(Odd(), input_px=9).check_point("relu"),
            "relu of Odd is called 2 times: name one of the calls, relu:1, relu:2",
        ),
        (lambda: deconv.wrap(Odd(), input_px=9).check_point("7"), "3 layers with weights, no numb"),
        (
            lambda: deconv.wrap(module("resnet18"), "r", PX).check_point("conv2"),
            "'conv2' fits 8 points of r: layer1.0.conv2, layer1.1.conv2",
        ),
        (lambda: vit().field("encoder.ln", 0, 0, (32, 32)), "is no point to read"),
        (
            lambda: vit().check_point("encoder.layers.encoder_layer_1"),
            "encoder.layers.encoder_layer_1 of v is no point to read: its values are tokens "
            "N×17×16, no maps with rows and columns. Maps: conv_proj",
        ),
        (lambda: vit().check_point("encoder"), "its values are tokens N×17×16, no maps"),
        (lambda: vit().check_point("nothing"), "unknown layer of v 'nothing'. Valid: conv_proj"),
        (
            lambda: deconv.wrap(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), "grey", 8),
            "the network takes 1 channel, and images here have 3 (RGB): put a module before it "
            "that makes them of three, such as deconv.pixels.Grey for one",
        ),
        (
            lambda: deconv.wrap(nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten()), "lazy", 8),
            "lazy has layers without weights yet (LazyConv2d): run one batch through it first",
        ),
        *(
            (
                lambda std=std: deconv.wrap(Odd(), input_px=9, normalize=((0.5, 0.5, 0.5), std)),
                "normalize takes (mean, std), three numbers in 0…1 each, std above 0",
            )
            for std in ([0.1, 0.2], [0.1, 0, 0.2], [0.1, 0.2, float("nan")], [58.4, 57.1, 57.4])
        ),
    ],
)
def test_what_cannot_be_used_is_named(make, message):
    with pytest.raises(DeconvError) as error:
        make()
    assert message in str(error.value)
    assert "While executing" not in str(error.value) and len(str(error.value)) < 400


def vit():
    return deconv.wrap(vision_transformer(), "v", 32)


def test_a_grey_network_can_be_wrapped_behind_a_greying():
    grey = nn.Sequential(Grey(), nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten())
    net = deconv.wrap(grey.double(), "grey", 8)
    record = net.record(torch.randn(1, 3, 8, 8).double(), ["2"])
    units = record.activations["2"].nonzero()[:2]
    found = deconv.project(net, record, "2", units, seed="one")
    shares = torch.tensor([0.299, 0.587, 0.114]).double().view(3, 1, 1)
    for picture, (_, number, y, x) in zip(found, units.tolist(), strict=True):
        wanted = torch.zeros(3, 8, 8).double()
        wanted[:, y : y + 3, x : x + 3] = shares * grey[1].weight[number].detach()
        torch.testing.assert_close(picture, wanted)
    assert net.field("2", 1, 2, (8, 8)) == (1, 2, 4, 5)


class Two(nn.Module):
    def forward(self, x):
        return x.flatten(1), x


class Branches(nn.Module):
    """A forward pass that depends on its values, in buffers, arguments and functions."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 4, 3), nn.Linear(4, 3)
        self.register_buffer("shift", torch.tensor(0.5))

    def forward(self, x, twice=False):
        x = self.conv(x) + self.shift
        x = F.relu(x) if x.mean() > -100 else -x
        return self.fc((2 * x if twice else x).mean((2, 3)))


def test_what_cannot_be_traced_runs():
    net = deconv.wrap(Branches(), input_px=8)
    images = torch.randn(2, 3, 8, 8)
    record = net.record(images, ["relu"])
    assert torch.equal(record.logits, net.module.eval()(images).detach())
    assert net.before("relu") == "add"
    unit = record.activations["relu"].argmax()
    unit = torch.stack(torch.unravel_index(unit, record.activations["relu"].shape))[None]
    _, number, y, x = unit[0].tolist()
    wanted = torch.zeros(3, 8, 8)
    wanted[:, y : y + 3, x : x + 3] = net.module.conv.weight[number].detach()
    torch.testing.assert_close(deconv.project(net, record, "relu", unit, seed="one")[0], wanted)
