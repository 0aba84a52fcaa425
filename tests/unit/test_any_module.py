"""Modules as people write them: what is recorded is what they compute, nothing of them is changed,
and what is no image classifier is refused where it enters. The module itself is the oracle."""

import copy
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.studies.occlusion.maps import last_convolution

PX = 12


class Plain(nn.Module):
    """The body of most cases: two convolutions and a head; `between` may be anything."""

    def __init__(self, between=None, after=None):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.bn, self.relu = nn.BatchNorm2d(4), nn.ReLU(inplace=True)
        self.fc = nn.Linear(4, 5)
        self.register_buffer("gain", torch.tensor([0.5, -1.0, 2.0, 1.5]).view(4, 1, 1))
        self.between, self.after = between, after

    def forward(self, x):
        x = self.bn(self.a(x))
        x = x if self.between is None else self.between(self, x)
        x = self.fc(self.b(x).mean((2, 3)))
        return x if self.after is None else self.after(x)


def statement(net, x):
    net.relu(x)
    return x


def added_in_place(net, x):
    y = torch.zeros_like(x)
    y.add_(x)
    y[:, 1:] *= 2
    return y


def written_into(net, x):
    y = x.clone()
    y[:, 0] = F.relu(x[:, 1])
    return y


def chunks_in_place(net, x):
    left, right = x.chunk(2, 1)
    net.relu(left)
    return torch.cat([right, x[:, :2]], 1)


class Hidden(torch.autograd.Function):
    """A custom function, which PyTorch's overrides do not see."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.sigmoid()

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        s = x.sigmoid()
        return signal * (s + x * s * (1 - s))


BODIES = {
    "plain": None,
    "in place, as a statement": statement,
    "added in place": added_in_place,
    "written into": written_into,
    "chunks in place": chunks_in_place,
    "buffer": lambda net, x: x * net.gain,
    "branch": lambda net, x: x.relu() if x.sum() > 0 else -x,
    "loop": lambda net, x: sum((x.relu() / (i + 1) for i in range(int(x.shape[1]))), x),
    "indexed": lambda net, x: x[torch.arange(len(x))][:, [3, 2, 1, 0]],
    "custom function": lambda net, x: Hidden.apply(x),
    "checkpoint": lambda net, x: torch.utils.checkpoint.checkpoint(
        net.relu, x, use_reentrant=False
    ),
    "einsum": lambda net, x: torch.einsum("nchw,cd->ndhw", x, net.fc.weight[:4]),
}


def made(between=None, after=None, dtype=torch.float64):
    torch.manual_seed(3)
    module = Plain(between, after).to(dtype)
    module.bn.running_mean.uniform_(-0.5, 0.5)
    module.bn.running_var.uniform_(0.5, 2)
    return module.train()


def noise(count=2, side=PX, dtype=torch.float64):
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1)).to(dtype)


class First(nn.Module):
    """The first of several answers, for the last position."""

    def forward(self, answer):
        return answer[0][:, -1]


def answers(module, images):
    """What the module says itself, in evaluation mode."""
    twin = copy.deepcopy(module).eval()
    with torch.no_grad():
        return twin(images.clone())


@pytest.mark.parametrize("body", BODIES)
def test_what_is_recorded_is_what_the_module_computes(body):
    module, images = made(BODIES[body]), noise()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    net = deconv.wrap(module, input_px=PX)
    given = images.clone()
    record = net.record(given, ["bn", "b"])
    assert torch.equal(record.logits, answers(module, images))
    assert torch.equal(given, images) and module.training and module.bn.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    # The point is the value when its module was done, whatever is written over it later.
    with torch.no_grad():
        twin = copy.deepcopy(module).eval()
        torch.testing.assert_close(record.activations["bn"], twin.bn(twin.a(images)))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


@pytest.mark.parametrize(
    "body", [b for b in BODIES if b not in ("in place, as a statement", "checkpoint")]
)
def test_a_plain_gradient_is_autograd_s(body):
    module, images = made(BODIES[body]), noise()
    net = deconv.wrap(module, input_px=PX)
    record = net.record(images, ["fc"])
    found = deconv.project(
        net, record, "fc", torch.tensor([[1, 2, 0, 0]]), rule="gradient", seed="one"
    )
    leaf = images.clone().requires_grad_()
    twin = copy.deepcopy(module).eval()
    twin.relu.inplace = False  # what autograd refuses of a chunk, and means the same here
    if body == "chunks in place":
        twin.between = lambda net, x: torch.cat([x[:, 2:], net.relu(x[:, :2])], 1)
    twin(leaf.clone())[1, 2].backward()
    torch.testing.assert_close(found[0], leaf.grad[1])


def test_a_custom_function_is_named_among_what_has_no_rule():
    net = deconv.wrap(made(BODIES["custom function"]), input_px=PX)
    record = net.record(noise(), ["fc"])
    with pytest.warns(deconv.NoRuleWarning, match="no rule for Hidden, which"):
        deconv.project(net, record, "fc", torch.tensor([[0, 1, 0, 0]]), seed="one")


def test_only_what_the_signal_crosses_is_warned_of():
    def beside(net, x):
        x.sigmoid()
        return x

    net = deconv.wrap(made(beside), input_px=PX)
    record = net.record(noise(), ["fc"])
    with warnings.catch_warnings():
        warnings.simplefilter("error", deconv.NoRuleWarning)
        deconv.project(net, record, "fc", torch.tensor([[0, 1, 0, 0]]), seed="one")


HIDDEN_WAYS = {
    "detach": lambda net, x: x + x.relu().detach(),
    "no_grad": lambda net, x: x + by_itself(net.b, x),
    "mask": lambda net, x: x * (x > 0),
    "mask of numbers": lambda net, x: x * (x > 0).double(),
    "masked_fill": lambda net, x: x.masked_fill(x < 0, 0),
    "where": lambda net, x: torch.where(x > 0, x, 0),
    "index": lambda net, x: set_to_zero(x),
    "maximum": lambda net, x: torch.maximum(torch.zeros_like(x), x),
    "sorted": lambda net, x: x.gather(1, x.argsort(1)),
}
"""Ways to bend values of which a derivative does not tell."""


@torch.no_grad()
def by_itself(conv, x):
    return F.conv2d(x, conv.weight, padding=1)


def set_to_zero(x):
    y = x.clone()
    y[y < 0] = 0
    return y


@pytest.mark.parametrize("way", HIDDEN_WAYS)
def test_values_that_no_gradient_follows_are_said(way):
    net = deconv.wrap(made(HIDDEN_WAYS[way]), input_px=PX)
    record = net.record(noise(), ["fc"])
    with pytest.warns(deconv.NoRuleWarning, match="no rule for"):
        deconv.project(net, record, "fc", torch.tensor([[0, 1, 0, 0]]), seed="one")
    if way in ("detach", "no_grad", "sorted"):
        with pytest.raises(DeconvError, match="the receptive field of b is not known: at "):
            net.field("b", 2, 2, (PX, PX))
    else:
        assert net.field("b", 2, 2, (PX, PX)) == (2, 2, 7, 7)


SPELLINGS = {
    "clip": lambda net, x: torch.clip(x, min=0),
    "clamp": lambda net, x: x.clamp(0),
    "clamp_min": lambda net, x: x.clamp_min(0),
    "threshold": lambda net, x: F.threshold(x, 0.0, 0.0),
    "maximum": lambda net, x: torch.maximum(x, torch.zeros(())),
    "max": lambda net, x: torch.max(x, torch.zeros_like(x)),
    "hardtanh": lambda net, x: F.hardtanh(x, 0.0, 1e9),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_relu_in_other_words_is_a_relu(spelling):
    units = torch.tensor([[0, 1, 2, 2], [1, 3, 4, 0]])
    found = []
    for body in (SPELLINGS[spelling], lambda net, x: F.relu(x)):
        net = deconv.wrap(made(body), input_px=PX)
        record = net.record(noise(), ["b"])
        with warnings.catch_warnings():
            warnings.simplefilter("error", deconv.NoRuleWarning)
            found.append(deconv.project(net, record, "b", units, seed="one"))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_is_moved_and_cast_after_wrapping(dtype):
    module = made(dtype=torch.float32)
    net = deconv.wrap(module, input_px=PX, normalize=((0.5, 0.4, 0.3), (0.2, 0.2, 0.3)))
    assert net.to(dtype) is net and module.fc.weight.dtype == dtype
    images = noise(dtype=dtype) * 60
    record = net.record(images, ["b"])
    scale = 255 * torch.tensor([0.2, 0.2, 0.3], dtype=dtype).view(3, 1, 1)
    torch.testing.assert_close(record.logits, answers(module, images / scale), rtol=1e-2, atol=1e-2)
    units = torch.tensor([[0, 1, 2, 2]])
    found = deconv.project(net, record, "b", units, seed="one")
    assert found.dtype == dtype and found.any() and found.isfinite().all()


@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_is_a_network_of_its_own(how):
    net = deconv.wrap(made(), input_px=PX)
    twin = copy.deepcopy(net) if how == "deepcopy" else pickle.loads(pickle.dumps(net))
    with torch.no_grad():
        twin.module.fc.bias += 1
    images = noise()
    assert twin.points == net.points
    torch.testing.assert_close(twin.record(images).logits, net.record(images).logits + 1)
    assert torch.equal(net.record(images).logits, answers(net.module, images))


def test_a_part_edited_after_wrapping_is_the_one_that_is_seen():
    net = deconv.wrap(made(), input_px=PX)
    assert net.field("b", 2, 2, (PX, PX)) == (2, 2, 7, 7)
    net.module.b.dilation = (2, 2)
    assert net.field("b", 2, 2, (PX, PX)) == (2, 2, 9, 9)
    net.module.fc.weight = nn.Parameter(torch.zeros(7, 4).double())
    net.module.fc.bias = None
    assert net.classes == 7


def test_another_branch_than_at_the_entrance_is_refused():
    def twice(net, x):
        if x.mean() > 5:
            x = F.relu(x)
        return F.relu(net.b(x))

    class Twice(Plain):
        def forward(self, x):
            return self.fc(twice(self, self.a(x)).mean((2, 3)))

    net = deconv.wrap(Twice().double(), input_px=PX)
    assert net.record(noise(), ["relu"], logits=False).activations["relu"].shape == (2, 4, 8, 8)
    with pytest.raises(DeconvError, match="relu of Twice did not run for these images"):
        net.record(noise() + 1e4 * net.module.a.weight.sign().mean(), ["relu"], logits=False)


def test_an_identity_names_nothing_but_itself():
    made = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.Conv2d(4, 4, 3),
        nn.Identity(),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 3),
    )
    net = deconv.wrap(made, input_px=PX)
    assert [ran.name for ran in net.calls.ran] == ["0", "1", "3", "4", "5"]
    assert "2" in net.points and net.calls.index("1") == 1
    assert last_convolution(net) == "3"


def test_a_head_replaced_after_wrapping_is_the_one_that_answers():
    module, images = made(), noise()
    net = deconv.wrap(module, input_px=PX)
    module.fc = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 9)).double()
    assert net.classes == 9 and net.layers == ("a", "b", "fc.0", "fc.2")
    record = net.record(images, ["fc.1"])
    assert torch.equal(record.logits, answers(module, images)) and net.before("fc.1") == "fc.0"


def test_forward_hooks_of_the_user_s_are_part_of_the_network():
    module, images = made(), noise()
    module.a.register_forward_hook(lambda m, i, out: out * 2 - 1)
    net = deconv.wrap(module, input_px=PX)
    record = net.record(images, ["a"])
    assert torch.equal(record.logits, answers(module, images))
    with torch.no_grad():
        assert torch.equal(
            record.activations["a"], F.conv2d(images, module.a.weight, module.a.bias) * 2 - 1
        )


class Normalises(Plain):
    """Writes into its images, as networks that normalise them in place do."""

    def forward(self, x):
        return super().forward(x.sub_(0.5).div_(0.25))


def test_images_stay_as_they_are():
    module, images = Normalises().double(), noise()
    net = deconv.wrap(module, input_px=PX)
    given = images.clone()
    record = net.record(given, ["b"])
    assert torch.equal(given, images) and torch.equal(record.logits, answers(module, images))
    deconv.project(net, record, "b", torch.tensor([[0, 1, 2, 2]]), seed="one")
    net(given)
    assert torch.equal(given, images)


def test_a_chain_in_training_mode_keeps_its_statistics_and_its_mode():
    from collections import OrderedDict

    from deconv.networks.chain import ChainNet

    stages = OrderedDict(
        conv1=nn.Conv2d(3, 4, 3),
        norm=nn.BatchNorm2d(4),
        relu1=nn.ReLU(True),
        flatten=nn.Flatten(),
        fc2=nn.Linear(4 * 100, 3),
    )
    net = ChainNet("made", stages, {}, PX).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    images = noise(dtype=torch.float32)
    record = net.record(images, ["conv1"])
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert net.training and torch.equal(record.logits, answers(net, images))


class Views(Plain):
    """Takes no images but those that lie in one piece."""

    def forward(self, x):
        return super().forward(x.view(len(x), -1).view(x.shape))


def test_the_memory_layout_is_changed_only_where_the_module_takes_it():
    module = Views().double()
    net = deconv.wrap(module, input_px=PX)
    images = noise().to(memory_format=torch.channels_last)
    assert torch.equal(net.record(images).logits, answers(module, noise()))
    peaks = deconv.top_activations(net, [noise(5)], ["b"], k=2)["b"]
    assert (peaks.image >= 0).all()
    assert net(images).shape == (2, 5)


def test_parameterless_modules_run():
    net = deconv.wrap(nn.Sequential(nn.AvgPool2d(4), nn.Flatten()), input_px=PX)
    assert net.device == torch.device("cpu") and net.classes == 27
    deconv.occlude(net, noise(1, dtype=torch.float32)[0], 3, layer="0", size_px=4, stride_px=4)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (made(after=lambda x: x[:1]), "answers two images with 1 rows (1×5)"),
        (made(after=lambda x: x[:, :1]), "of which a softmax makes 1.0 whatever it is"),
        (made(after=lambda x: x[:, 0]), "answers two images with 2, not with logits N×classes"),
        (made(after=lambda x: x.sigmoid()), "ends in a sigmoid"),
        (made(after=lambda x: 1.0 * x.sigmoid().view(len(x), -1)), "ends in a sigmoid"),
        (made(lambda net, x: x / x[0].std()), "by the batch that it happens to be in"),
        (made(lambda net, x: x / x[-1].std()), "by the batch that it happens to be in"),
        (
            nn.Sequential(nn.Flatten(), nn.Unflatten(1, (36, 12)), nn.LSTM(12, 4), First()),
            "a recurrent one batch_first=True",
        ),
        (nn.Sequential(nn.Flatten(), torch.jit.script(nn.Linear(432, 3))), "has compiled parts"),
        (made(after=lambda x: [x, x]), "does not answer with one tensor"),
        (
            made(lambda net, x: F.dropout(x)),
            "differently every time, also in evaluation mode (first at dropout)",
        ),
        (made(lambda net, x: x + torch.randn_like(x)), "(first at randn_like)"),
        (
            made(lambda net, x: x - x.mean(0)),
            "by the batch that it happens to be in, also in evaluation mode (first at mean)",
        ),
        (made(lambda net, x: F.batch_norm(x, None, None, training=True)), "(first at batch_norm)"),
        (nn.DataParallel(made()), "wrap the network in it, .module"),
        (torch.jit.script(nn.Sequential(nn.Flatten(), nn.Linear(432, 3))), "compiled by torch.jit"),
        (torch.compile(made()), "compiled by torch.compile: wrap the module in it, ._orig_mod"),
        (torchvision.models.video.r3d_18(num_classes=2), "takes films or volumes"),
        (print, "wrap takes a torch.nn.Module, not builtin_function_or_method"),
    ],
)
def test_what_is_no_classifier_of_images_is_refused_where_it_enters(module, message):
    with pytest.raises(DeconvError) as error:
        deconv.wrap(module, input_px=PX)
    assert message in str(error.value)


def test_a_part_that_was_compiled_in_place_is_refused():
    module = made()
    module.b.compile()
    with pytest.raises(DeconvError, match=r"compiled parts \(Conv2d\).*leave out \.compile\(\)"):
        deconv.wrap(module, input_px=PX)


def test_probabilities_become_logits_again():
    images = noise()
    plain, soft = made(), made(after=lambda x: x.softmax(1))
    net = deconv.wrap(soft, input_px=PX)
    wanted = answers(plain, images).log_softmax(1)
    torch.testing.assert_close(net.record(images).logits, wanted)
    torch.testing.assert_close(net.eval()(images).detach(), wanted)
    maps = deconv.occlude(net, images[0], 2, layer="b", size_px=4, stride_px=4)
    assert maps.clean[0] == pytest.approx(float(wanted[0].exp()[2]))


@pytest.mark.parametrize("how", ["dictionary", "attribute"])
def test_logits_are_found_in_what_packages_answer_with(how):
    class Answer:
        def __init__(self, logits):
            self.logits = logits

    images = noise()
    wrap = (lambda x: {"logits": x}) if how == "dictionary" else Answer
    net = deconv.wrap(made(after=wrap), input_px=PX)
    assert torch.equal(net.record(images).logits, answers(made(), images))


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (lambda net, x: torch.mm(x.flatten(1), x.flatten(1).T.half()), RuntimeError),
        (lambda net, x: x.transpose(1, 2).view(-1), RuntimeError),
        (lambda net, x: torch.empty(10**15) + x, RuntimeError),
        (lambda net, x: {}["mine"], KeyError),
    ],
)
def test_errors_of_pytorch_s_are_told_as_they_are(error, raised):
    with pytest.raises(raised) as found:
        deconv.wrap(made(error), input_px=PX)
    assert not isinstance(found.value, DeconvError)


def test_gradient_checkpointing_is_refused_in_words():
    made = torchvision.models.DenseNet(4, (2,), 8, 2, num_classes=3, memory_efficient=True)
    net = deconv.wrap(made, input_px=32)
    point = "features.denseblock1.denselayer2.conv2"
    record = net.record(noise(1, 32, torch.float32), [point])
    for ask in (
        lambda: deconv.project(net, record, point, torch.tensor([[0, 1, 2, 2]]), seed="one"),
        lambda: net.field(point, 2, 2, (32, 32)),
    ):
        with pytest.raises(
            DeconvError, match="gradient checkpointing runs a part of the network again"
        ):
            ask()


def test_images_of_a_size_that_does_not_fit_are_named():
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(200, 3))
    net = deconv.wrap(module, "small", input_px=PX)
    with pytest.raises(DeconvError, match=r"small cannot take 3×13×13 images.*made for 12 px"):
        net.record(noise(1, 13, torch.float32))
    with pytest.raises(RuntimeError, match="type"):
        net.record(noise(1, PX, torch.float64))


def test_what_cannot_be_differentiated_is_mined_and_not_projected():
    def cut(net, x):
        return x.detach()

    net = deconv.wrap(made(cut), input_px=PX)
    assert deconv.top_activations(net, [noise(3)], ["b"], k=1)["b"].value.isfinite().all()
    with pytest.raises(DeconvError, match="nothing on the way up is differentiable"):
        deconv.project(net, net.record(noise(), ["b"]), "b", torch.tensor([[0, 1, 2, 2]]))


@pytest.mark.filterwarnings("ignore")
def test_a_quantised_network_is_mined_and_paints_below_what_is_quantised():
    quantization = pytest.importorskip("torch.ao.quantization")
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5)).eval()
    torch.backends.quantized.engine = torch.backends.quantized.supported_engines[-1]
    made = quantization.quantize_dynamic(plain, {nn.Linear})
    if made(noise(1, dtype=torch.float32)).isnan().any() or type(made[3]) is nn.Linear:
        pytest.skip("no quantised kernels here")
    made[3] = OneByOne(made[3])  # the scale of a dynamic layer is that of its batch
    net = deconv.wrap(made, "quantised", PX)
    images = noise(dtype=torch.float32)
    assert torch.equal(net.record(images).logits, made(images))
    record = net.record(images, ["1", "3"])
    units = (record.activations["1"] > 0).nonzero()[:3]
    whole = deconv.wrap(plain, "plain", PX)
    wanted = deconv.project(whole, whole.record(images, ["1"]), "1", units)
    assert torch.equal(deconv.project(net, record, "1", units), wanted)
    with pytest.raises(DeconvError, match=r"no signal can come down through .*differentiated"):
        deconv.project(net, record, "3", torch.tensor([[0, 1, 0, 0]]))


class OneByOne(nn.Module):
    """A module that answers each row by itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return torch.cat([self.inner(row[None]) for row in x])


def test_the_record_answers_to_every_name_of_a_point():
    net = deconv.wrap(made(), input_px=PX)
    images = noise()
    record = net.record(images, ["2"])
    assert torch.equal(record.activations["b"], record.activations["2"])
    assert "b" in record.activations and "b:1" in record.activations
    assert "a" not in record.activations and list(record.activations) == ["2"]
    units = torch.tensor([[0, 1, 2, 2]])
    assert torch.equal(
        deconv.project(net, record, "b", units, seed="one"),
        deconv.project(net, record, "2", units, seed="one"),
    )
    chain = deconv.build("zfnet_mini", 3, input_px=56)
    record = chain.record(torch.randn(1, 3, 56, 56), [2, "conv1"])
    assert torch.equal(record.activations["conv2"], record.activations["2"])
