"""Weights in files: whose names, how many classes, which wrapping; and what is refused."""

import functools
import warnings
from argparse import Namespace

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

import deconv
from deconv.errors import DeconvError, RenamedWeightsWarning
from deconv.training.snapshots import save_safetensors, save_snapshot
from experiments.kit.command import compose
from experiments.kit.inputs import build_network, given

pytestmark = pytest.mark.usefixtures("narrow")
SMALL = {"fc_width": 8, "input_px": 64}
FACTORY = """
from torch import nn

class Small(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.model(x).flatten(1))

def small(num_classes=3):
    return Small(num_classes)

def fixed():
    return Small(3)
"""


@pytest.fixture(autouse=True)
def silent():
    """A test that expects no warning fails by one."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RenamedWeightsWarning)
        yield


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    return f"file:{tmp_path / 'mine.py'}"


@functools.cache
def made(name, classes):
    """The original module with weights of its own, by its package itself."""
    torch.manual_seed(7)
    source, _, short = name.partition("/")
    if source == "torchvision":
        return torchvision.models.get_model(short, num_classes=classes).eval()
    package = {"timm": "timm", "pytorchcv": "pytorchcv.model_provider"}[source]
    make = {"timm": "create_model", "pytorchcv": "get_model"}[source]
    return getattr(pytest.importorskip(package), make)(short, num_classes=classes).eval()


def write(path, state):
    if path.suffix == ".safetensors":
        safetensors.torch.save_file({k: v.contiguous() for k, v in state.items()}, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("torchvision/squeezenet1_0", ".safetensors"),
        ("torchvision/alexnet", ".pt"),
        ("torchvision/resnet18", ".safetensors"),
        ("timm/resnet18", ".safetensors"),
        ("pytorchcv/zfnet", ".pth"),
        ("pytorchcv/resnet10", ".pt"),
    ],
)
def test_a_file_of_a_module_s_own_weights_gives_its_logits(name, ending, tmp_path):
    original = made(name, 6)
    path = write(tmp_path / f"mine{ending}", original.state_dict())
    net = deconv.build(name, weights=path, mean=(123.7, 116.8, 103.9), std=(1, 1, 1))
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(net(images), original(images), rtol=1e-5, atol=1e-6)
    assert net.classes == net.recipe["num_classes"] == 6, "read from the file"
    assert "weights" not in net.recipe
    with pytest.raises(DeconvError, match=r"has weights of 6 classes, not num_classes=5: leave"):
        deconv.build(name, 5, weights=path)


def test_weights_for_a_file_s_factory(file, tmp_path):
    plain = {"mean": (1, 2, 3), "std": (1, 1, 1), "input_px": 20}
    state = deconv.build(f"{file}:small", 5, seed=0, **plain).module.state_dict()
    path = write(tmp_path / "five.pth", state)
    net = deconv.build(f"{file}:small", weights=path, **plain)
    assert net.classes == 5 and torch.equal(net.module.head.weight, state["head.weight"])
    with pytest.raises(DeconvError, match=r"head\.weight is \(5, 4\), the network needs \(3, 4\)"):
        deconv.build(f"{file}:fixed", weights=path, **plain)
    assert deconv.build(f"{file}:small", **plain).classes == 3, "the factory's own default"
    with pytest.raises(DeconvError, match="has 3 classes, not num_classes=4"):
        deconv.build(f"{file}:fixed", 4, **plain)


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_wrapping_is_taken_off_and_said(file, tmp_path, key, prefix):
    """The module's own names begin with model., so that prefix is no wrapping where it fits."""
    plain = {"mean": (1, 2, 3), "std": (1, 1, 1), "input_px": 20}
    state = deconv.build(f"{file}:small", 5, seed=0, **plain).module.state_dict()
    content = {prefix + name: value for name, value in state.items()}
    path = write(tmp_path / "mine.pt", {key: content, "epoch": 3} if key else content)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = deconv.build(f"{file}:small", weights=path, **plain)
    for name, value in net.module.state_dict().items():
        assert torch.equal(value, state[name])
    said = [str(w.message) for w in caught if w.category is RenamedWeightsWarning]
    expected = [f"took the weights under {key!r}"] * bool(key)
    expected += [f"took {prefix!r} off the names of all weights"] * bool(prefix)
    assert said == [f"{path}: {text}" for text in expected]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("fc.bias"), "does not fit torchvision/resnet18: fc.bias is missing"),
        (lambda s: s.update(more=torch.ones(1)), "more is not in torchvision/resnet18"),
        (
            lambda s: s.update({"conv1.weight": torch.ones(64, 3, 3, 3)}),
            r"conv1.weight is \(64, 3, 3, 3\), the network needs \(64, 3, 7, 7\)",
        ),
        (
            lambda s: [s.pop(name) for name in list(s) if name.startswith("layer")],
            r"layer1.0.conv1.weight is missing; layer1.0.bn1.weight is missing; .*; in all \d+ "
            "missing, 0 too many, 0 of another shape",
        ),
    ],
)
def test_a_mismatch_names_the_first_that_differ(tmp_path, change, message):
    state = made("torchvision/resnet18", 2).state_dict()
    change(state)
    path = write(tmp_path / "wrong.pth", state)
    with pytest.raises(DeconvError, match=r"wrong\.pth " + f".*{message}|{message}"):
        deconv.build("torchvision/resnet18", weights=path)


def test_old_files_without_counts_of_batches_fit(tmp_path):
    original = made("torchvision/resnet18", 2)
    state = {k: v for k, v in original.state_dict().items() if "num_batches" not in k}
    net = deconv.build("torchvision/resnet18", weights=write(tmp_path / "old.pth", state))
    assert torch.equal(net.module.bn1.running_var, original.bn1.running_var)


class Trap:
    """Pickled code that would leave a file behind if it ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_file_runs_no_code(tmp_path):
    torch.save({"state_dict": Trap(str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    with pytest.raises(DeconvError, match=r"evil\.pt: it holds \S*open, which may run"):
        deconv.build("zfnet_mini", weights=tmp_path / "evil.pt", **SMALL)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (
            nn.Flatten(),
            "Flatten, which may run code. Where you trust its source, write one with torch",
        ),
        ([1, 2], "is a list, not a state_dict: write one with torch.save(module.state_dict(), …)"),
        ({"state_dict": {}}, "holds no state_dict but nothing"),
        ({"epoch": 3, "net": {}}, "holds no state_dict but epoch, net"),
        ({"model": {}, "args": Namespace()}, "holds argparse.Namespace, which may run code"),
        (b"no archive", "it is damaged"),
    ],
)
def test_what_is_no_state_dict_is_named(tmp_path, saved, message):
    path = tmp_path / "weights.pt"
    path.write_bytes(saved) if isinstance(saved, bytes) else torch.save(saved, path)
    warnings.simplefilter("ignore", RenamedWeightsWarning)
    with pytest.raises(DeconvError) as error:
        deconv.build("torchvision/resnet18", weights=path)
    assert message in str(error.value) and "weights.pt" in str(error.value)


@pytest.mark.parametrize(
    ("name", "weights", "valid"),
    [
        ("torchvision/resnet18", "IMAGENET1K_V3", "'IMAGENET1K_V1'"),
        ("torchvision/resnet50", "none.pth", "Valid: DEFAULT, IMAGENET1K_V1, IMAGENET1K_V2."),
        ("timm/resnet18", "IMAGENET1K_V3", "DEFAULT, a1_in1k, a2_in1k"),
        ("timm/resnet18", True, "DEFAULT, a1_in1k, a2_in1k"),
        ("pytorchcv/resnet10", "IMAGENET1K_V3", "Valid: DEFAULT."),
        ("pytorchcv/zfnet", "yes", "Valid: DEFAULT."),
        ("zfnet", "IMAGENET1K_V1", "Valid: none."),
        ("mlp", "none.pt", "Valid: none."),
    ],
)
def test_what_is_neither_a_set_nor_a_file_is_refused(name, weights, valid, monkeypatch):
    package = name.partition("/")[0]
    if package in ("timm", "pytorchcv"):
        pytest.importorskip(package)
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("asked"))
    with pytest.raises(DeconvError) as error:
        deconv.build(name, weights=weights)
    assert f"unknown weights of {name} '{weights}'" in str(error.value)
    assert valid in str(error.value) and "Nor is there such a file" in str(error.value)


def test_timm_s_sets_go_by_their_own_names(monkeypatch):
    timm = pytest.importorskip("timm")
    asked, create = [], timm.create_model

    def note(name, pretrained, **options):
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", note)
    for weights in ("DEFAULT", "tv_in1k", None):
        deconv.build("timm/resnet18", weights=weights)
    assert asked == [("resnet18", True), ("resnet18.tv_in1k", True), ("resnet18", False)]


# ------------------------------------------------------------------ this library's own networks


def own(name="zfnet_mini", classes=4, **options):
    net = deconv.build(name, classes, seed=3, **{"input_px": 64, "fc_width": 8} | options)
    mean = 255 * torch.rand(3, 74, 74)
    return net, deconv.Snapshot(net.recipe, net.state_dict(), mean, list("abcd"))


def same(net, other):
    images = torch.randn(2, 3, 64, 64) * 50
    with torch.no_grad():
        return torch.equal(net(images), other(images))


@pytest.mark.parametrize("name", ["zfnet_mini", "mlp", "alexnet"])
def test_an_own_network_takes_a_state_dict_a_snapshot_and_its_safetensors(name, tmp_path):
    options = {"input_px": 64, "fc_width": 8}
    net, snapshot = own(name, input_px=64)
    bare = write(tmp_path / "bare.pth", net.state_dict())
    again = deconv.build(name, weights=bare, **options)
    assert same(again, net) and again.classes == 4 and again.preprocessing is None
    for path in (
        save_snapshot(tmp_path / "last.pt", snapshot),
        save_safetensors(tmp_path / "last.safetensors", snapshot),
    ):
        again = deconv.build(name, weights=path)
        assert same(again, net) and again.classes == 4, "its recipe says how wide it is"
        assert again.class_names == tuple("abcd") and again.recipe["fc_width"] == 8
        if path.suffix == ".pt":
            assert torch.equal(again.preprocessing.mean, snapshot.mean)
            told = deconv.build(name, weights=path, mean=(10, 20, 30))
            assert told.preprocessing.mean.flatten().tolist() == [10, 20, 30]
    with pytest.raises(DeconvError, match=f"is of {name}, not of zfnet: build that"):
        deconv.build("zfnet", weights=tmp_path / "last.pt")


def test_what_has_no_shape_comes_from_the_snapshot_too(tmp_path):
    net, snapshot = own(norm="none", std=(2, 4, 8))
    path = save_snapshot(tmp_path / "last.pt", snapshot)
    again = deconv.build("zfnet_mini", weights=path)
    assert same(again, net) and again.recipe["norm"] == "none"
    assert not same(deconv.build("zfnet_mini", weights=path, norm="response"), net)


def test_a_snapshot_of_others_is_taken_as_their_weights(tmp_path):
    images = torch.randn(1, 3, 64, 64) * 50
    for name in ("torchvision/alexnet", "torchvision/resnet18"):
        net = deconv.build(name, 3, seed=0, input_px=64)
        snapshot = deconv.Snapshot(net.recipe, net.state_dict(), torch.ones(3, 73, 73), list("abc"))
        path = save_snapshot(tmp_path / "last.pt", snapshot)
        with torch.no_grad():
            assert torch.equal(deconv.build(name, weights=path)(images), net(images))


# ------------------------------------------------------------------ snapshots of older versions


def old(tmp_path, recipe, weights):
    """A snapshot as format 2 wrote it."""
    content = {"recipe": recipe, "weights": weights, "mean": torch.full((3, 73, 73), 120.0)}
    content |= {"classes": list("abc"), "epoch": 1, "step": 9, "optimizer": None, "config": {}}
    content |= {"metrics": {}, "history": [], "progress": {}, "format": 2}
    torch.save(content, tmp_path / "old.pt")
    return tmp_path / "old.pt"


def renamed(state):
    """torchvision's AlexNet under the names of the chain."""
    layers = {f"features.{n}": f"conv{i}" for i, n in enumerate((0, 3, 6, 8, 10), 1)}
    layers |= {f"classifier.{n}": f"fc{i}" for i, n in enumerate((1, 4, 6), 6)}
    return {f"{layers[k.rpartition('.')[0]]}.{k.rpartition('.')[2]}": v for k, v in state.items()}


def test_an_old_snapshot_of_torchvision_s_chain_divides_nothing(tmp_path):
    original = made("torchvision/alexnet", 3)
    recipe = {"name": "torchvision/alexnet", "num_classes": 3}
    path = old(tmp_path, recipe, renamed(original.state_dict()))
    images = torch.randn(1, 3, 224, 224) * 50
    snapshot = deconv.load_snapshot(path)
    for net in (
        snapshot.network(),
        deconv.build("torchvision/alexnet", weights=path),
        deconv.load_snapshot(save_snapshot(tmp_path / "again.pt", snapshot)).network(),
    ):
        with torch.no_grad():
            assert torch.equal(net(images), original(images))
    exported = save_safetensors(tmp_path / "old.safetensors", snapshot)
    with torch.no_grad():
        net = deconv.build("torchvision/alexnet", weights=exported)
        assert torch.equal(net(images), original(images))


def test_an_old_snapshot_of_pytorchcv_s_chain_has_its_division_in_the_filters(tmp_path):
    original, images = made("pytorchcv/zfnet", 3), torch.randn(1, 3, 224, 224) * 50
    recipe = {
        "name": "pytorchcv/zfnet",
        "num_classes": 3,
        "input_px": 224,
        "mean": [123.7, 116.3, 103.5],
        "std": [58.4, 57.1, 57.4],
    }
    net = deconv.build(**recipe)
    weights = dict(zip(net.state_dict(), original.state_dict().values(), strict=True))
    std = torch.tensor(recipe["std"]).view(3, 1, 1)
    weights["conv1.weight"] = weights["conv1.weight"] / std
    found = deconv.load_snapshot(old(tmp_path, recipe, weights)).network()
    with torch.no_grad():
        expected = original(images / std)
        torch.testing.assert_close(found(images), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["alexnet", "resnet18"])
def test_an_old_snapshot_with_a_std_under_the_module_s_names_divides_by_it(tmp_path, name):
    original = made(f"torchvision/{name}", 3)
    recipe = {
        "name": f"torchvision/{name}",
        "num_classes": 3,
        "input_px": 64,
        "mean": [123.7, 116.3, 103.5],
        "std": [58.4, 57.1, 57.4],
    }
    weights = {f"module.{key}": value for key, value in original.state_dict().items()}
    snapshot = deconv.load_snapshot(old(tmp_path, recipe, weights))
    again = deconv.load_snapshot(save_snapshot(tmp_path / "again.pt", snapshot))
    images = torch.randn(1, 3, 64, 64) * 50
    for net in (snapshot.network(), again.network()):
        with torch.no_grad():
            expected = original(images / torch.tensor(recipe["std"]).view(3, 1, 1))
            torch.testing.assert_close(net(images), expected, rtol=1e-4, atol=1e-6)


# ------------------------------------------------------------------ commands


def test_model_weights_names_a_file_in_a_command(tmp_path):
    original = made("torchvision/squeezenet1_0", 6)
    path = write(tmp_path / "mine.pth", original.state_dict())
    chosen = ["model=torchvision/squeezenet1_0", f"model.weights={path}", "model.std=[1,1,1]"]
    snapshot = given(compose("fig2_top_activations", chosen))
    assert snapshot.classes == [f"class {i}" for i in range(6)]
    assert snapshot.mean.shape == (3, 256, 256)
    images = torch.randn(1, 3, 224, 224)
    with torch.no_grad():
        torch.testing.assert_close(snapshot.network()(images), original(images))


def test_model_weights_of_an_own_network(tmp_path):
    net, snapshot = own()
    path = save_snapshot(tmp_path / "last.pt", snapshot)
    found = given(compose("fig2_top_activations", ["size=smoke", f"model.weights={path}"]))
    assert torch.equal(found.mean, snapshot.mean) and found.classes == list("abcd")
    assert same(found.network(), net)
    bare = write(tmp_path / "bare.pth", net.state_dict())
    model = [f"model.weights={bare}", "model.fc_width=8", "model.input_px=64"]
    cfg = compose("fig2_top_activations", ["size=smoke", *model])
    with pytest.raises(DeconvError, match=r"bare\.pth does not tell the mean.*give model\.mean"):
        given(cfg)
    told = compose("fig2_top_activations", ["size=smoke", *model, "model.mean=[1,2,3]"])
    assert given(told).mean.shape == (3, 74, 74) and same(given(told).network(), net)
    with pytest.raises(DeconvError, match="has weights of 4 classes, not num_classes=17"):
        build_network(cfg, 17)


@pytest.mark.parametrize("aux", [False, True])
def test_googlenet_s_auxiliary_classifiers_are_left_out(tmp_path, aux):
    theirs = torchvision.models.googlenet(num_classes=3, aux_logits=aux, init_weights=False)
    torch.save(theirs.state_dict(), tmp_path / "googlenet.pth")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net = deconv.build("torchvision/googlenet", weights=tmp_path / "googlenet.pth")
    said = [str(w.message) for w in caught if w.category is deconv.RenamedWeightsWarning]
    assert len(said) == aux and (not aux or "left out the auxiliary classifiers" in said[0])
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).float()
    mean, std = (torch.tensor(net.recipe[k]).view(3, 1, 1) for k in ("mean", "std"))
    with torch.no_grad():
        wanted = theirs.eval()((pixels - mean) / std)
        torch.testing.assert_close(net(pixels - mean), wanted)


def test_a_head_that_is_registered_first_tells_the_classes(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, num_classes=3):\n"
        "        super().__init__()\n"
        "        self.head, self.body = nn.Linear(4, num_classes), nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x):\n"
        "        return self.head(self.body(x).mean((2, 3)))\n"
    )
    state = {
        "head.weight": torch.ones(6, 4),
        "head.bias": torch.zeros(6),
        "body.weight": torch.ones(4, 3, 3, 3),
        "body.bias": torch.zeros(4),
    }
    torch.save(state, tmp_path / "w.pth")
    options = {"mean": (1, 2, 3), "std": (1, 1, 1), "input_px": 16}
    net = deconv.build(f"file:{tmp_path}/mine.py:Net", weights=tmp_path / "w.pth", **options)
    assert net.classes == 6
