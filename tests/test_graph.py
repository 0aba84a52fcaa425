"""Networks of any shape: what is read, painted and seen, against hooks, patches, NaNs, captum."""

import contextlib
import warnings

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import deconv
from deconv.errors import DeadUnitWarning, DeconvError, NoRuleWarning
from deconv.layers import Grey
from deconv.models.kinds import NO_RULE
from deconv.projection.mirror import refusal

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
    "convnext_tiny": "features.3.1",
}
"""Network -> a point in its middle: modules, containers that stand for their last step."""


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


@pytest.fixture(scope="module", params=POINTS)
def subject(request, images):
    """(name, module, network, point)"""
    made = module(request.param)
    return request.param, made, deconv.wrap(made, request.param, PX), POINTS[request.param]


def test_values_are_those_that_hooks_see(subject, images):
    _, made, net, point = subject
    modes = [m.training for m in made.modules()]
    names = [n for n in net.layers[:9:4]]
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
    return [n for n in net.layers if len(s := net.steps[n].shape) == 4 and min(s[2:]) > 1]


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
        values = net.record(images, [point], logits=False).activations[point]
        reached = values.isnan().any(1)  # image × rows × columns
        for unit in {0, 1, side // 2, side - 1}:
            at = reached.select(1 + axis, unit).any(1).nonzero().flatten().numpy()
            seen = net.support(point, axis, unit, (PX, PX))
            np.testing.assert_array_equal(seen, at, err_msg=f"{name} {point} {axis} {unit}")


def test_interior_fields_are_those_of_a_large_image():
    net = deconv.wrap(module("resnet18"), "resnet18", PX)
    for point in ("layer1", "layer2", "layer3.0.conv2"):
        size, stride, start = net.interior(point, 0)
        middle = 700 // stride
        seen = net.support(point, 0, middle, (2000, 2000))
        assert (seen[0], seen[-1]) == (start + middle * stride, start + middle * stride + size - 1)
    assert deconv.geometry.unclipped_field(net, "fc", 0, 0, (64, 80)) == (0, 0, 64, 80)


@pytest.mark.parametrize("name", ["alexnet", "vgg16_bn"])
def test_chains_get_the_mirror_and_captum_agrees(name, images):
    made = module(name)
    for part in made.modules():  # captum's hooks do not stand ReLUs in place
        if isinstance(part, nn.ReLU):
            part.inplace = False
    made.eval()
    net = deconv.wrap(made, name, PX)
    (answer,) = net.points[-1:]
    assert not refusal(net, answer)
    record = net.record(images, [answer])
    units = torch.tensor([[0, 2, 0, 0], [1, 6, 0, 0]])
    mirror, auto, vjp = (
        deconv.project(net, record, answer, units, seed="one", engine=engine)
        for engine in ("mirror", "auto", "vjp")
    )
    assert torch.equal(mirror, auto)
    torch.testing.assert_close(mirror, vjp, rtol=1e-9, atol=1e-12 * mirror.abs().max())
    methods = (("deconvnet", captum.attr.Deconvolution(made)),
               ("guided", captum.attr.GuidedBackprop(made)))  # fmt: skip
    for rule, method in methods:
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
    assert {"a", "relu", "b", "relu_1", "cat", "fc"} <= set(net.points)
    assert net.before("relu") == "a" and net.before("a") is None
    assert net.check_point("2") == "b", "by number among the layers with weights"
    foreign = {step.what for step in net.steps.values() if step.kind == NO_RULE}
    assert foreign == {"sigmoid", "mul"}, "a product of two values has no rule, of one it has"
    z, a = (
        net.record(torch.randn(1, 3, 9, 9), ["a", "relu"]).activations[p] for p in ("a", "relu")
    )
    assert (z < 0).any() and not (a < 0).any(), "in place does not reach what was read before"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: deconv.wrap(Odd(), input_px=2), "cannot take 3×2×2 images"),
        (lambda: deconv.wrap(nn.Conv2d(3, 4, 1), input_px=4), "answers with 1×4×4×4, not with"),
        (lambda: deconv.wrap(Two(), input_px=4), "does not answer with one tensor"),
        (lambda: deconv.wrap(Branches(), input_px=4), "cannot be traced"),
        (lambda: deconv.wrap(Odd(), input_px=9).check_point("reluu"), "Did you mean 'relu'"),
        (lambda: deconv.wrap(Odd(), input_px=9).check_point("7"), "3 layers with weights, no numb"),
        (
            lambda: deconv.wrap(module("resnet18"), "r", PX).check_point("conv2"),
            "'conv2' fits 8 points of r: layer1.0.conv2, layer1.1.conv2",
        ),
        (
            lambda: vit().support("encoder.ln", 0, 0, (32, 32)),
            "is no point to read",
        ),
        (
            lambda: vit().check_point("encoder.layers.encoder_layer_1"),
            "encoder.layers.encoder_layer_1 of v is no point to read: its values are tokens "
            "1×17×16, no maps with rows and columns. Maps: conv_proj",
        ),
        (lambda: vit().check_point("encoder"), "its values are tokens 1×17×16, no maps"),
        (lambda: vit().check_point("nothing"), "unknown layer of v 'nothing'. Valid: conv_proj"),
        (
            lambda: deconv.wrap(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), "grey", 8),
            "the network takes 1 channel, and images here have 3 (RGB): put a module before it "
            "that makes them of three, such as deconv.layers.Grey for one",
        ),
        (
            lambda: deconv.wrap(nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten()), "lazy", 8),
            "lazy has layers without weights yet (LazyConv2d): run one batch through it first",
        ),
        *(
            (lambda by=by: deconv.wrap(Odd(), input_px=9, divide_by=by), "divide_by takes three")
            for by in ([1, 2], [1, 0, 2], [1, 2, float("nan")])
        ),
        (
            lambda: deconv.wrap(Odd(), input_px=9).stages_to("fc"),
            "Odd is no chain of modules up to fc",
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
    pair = [deconv.project(net, record, "2", units, engine=e) for e in ("auto", "vjp")]
    torch.testing.assert_close(*pair)
    assert net.support("2", 0, 1, (8, 8)).tolist() == [1, 2, 3]


class Two(nn.Module):
    def forward(self, x):
        return x.flatten(1), x


class Branches(nn.Module):
    def forward(self, x):
        return x.flatten(1) if x.sum() > 0 else -x.flatten(1)


def test_images_stay_in_pixels_where_a_network_divides_them(images):
    made = module("alexnet").float().eval()
    std = (50.0, 60.0, 70.0)
    plain, scaled = deconv.wrap(made, "p", PX), deconv.wrap(made, "s", PX, divide_by=std)
    pixels = images.float() * torch.tensor(std).view(3, 1, 1)
    one, two = plain.record(images.float(), ["features.7"]), scaled.record(pixels, ["features.7"])
    torch.testing.assert_close(one.logits, two.logits)
    units = (one.activations["features.7"] > 0).nonzero()[:4]
    below = deconv.project(plain, one, "features.7", units) / torch.tensor(std).view(3, 1, 1)
    for engine in ("mirror", "vjp"):
        found = deconv.project(scaled, two, "features.7", units, engine=engine)
        torch.testing.assert_close(found, below, rtol=1e-4, atol=1e-6 * below.abs().max())


def test_mining_peaks_and_views_work_on_any_network(images):
    from deconv.peak_views import peak_views

    net = deconv.wrap(module("googlenet").float(), "googlenet", PX)
    data = [(image.float(), 0) for image in images.repeat(3, 1, 1, 1) + torch.randn(6, 1, 1, 1)]
    batches = [torch.stack([image for image, _ in data])]
    peaks = deconv.top_activations(net, batches, ["inception3a", "2"], k=2, progress=False)
    values = net.record(batches[0], ["inception3a"]).activations["inception3a"].amax((2, 3))
    expected = values.sort(0, descending=True).values[:2].T
    torch.testing.assert_close(peaks["inception3a"].value, expected, rtol=1e-4, atol=1e-5)
    maps = (peaks["inception3a"].value[:, 1] > 0).nonzero().flatten()[:2]
    picture = [torch.zeros(3, PX, PX, dtype=torch.uint8)] * 6
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeadUnitWarning)
        views = peak_views(
            net, data, "inception3a", peaks["inception3a"], maps, picture.__getitem__
        )
    assert views.projection.shape[:2] == (2, 2) and views.projection.abs().amax((2, 3, 4)).min() > 0
    maps = deconv.occlude(net, images[:1].float(), 3, layer="inception3a", size_px=32, stride_px=16)
    assert maps.probability.shape == (3, 3)
