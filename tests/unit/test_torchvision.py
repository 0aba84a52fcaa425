"""torchvision's networks as chains: its logits, its modules in order, the names of the stages."""

import pytest
import torch
import torchvision
from oracles import meta, randn
from torch import nn

import deconv
from deconv.networks.chain import ChainNet
from deconv.networks.from_torchvision import name_stages


def test_torchvision_alexnet_gives_torchvisions_logits():
    torch.manual_seed(3)
    net = deconv.build("torchvision/alexnet", num_classes=5, std=(1, 1, 1))
    torch.manual_seed(3)
    original = torchvision.models.alexnet(num_classes=5).eval()
    images = randn(2, 3, 224, 224).float()
    with torch.no_grad():
        assert torch.equal(net(images), original(images))


def test_torchvision_vgg_gives_torchvisions_logits():
    with torch.device("meta"):
        original = torchvision.models.vgg11(num_classes=5).eval()
    original = original.to_empty(device="cpu")
    for number, parameter in enumerate(original.parameters()):
        tile = randn(1009, seed=number).float() * (2 / max(1, parameter[0].numel())) ** 0.5
        repeats = -(-parameter.numel() // len(tile))
        parameter.data = tile.repeat(repeats)[: parameter.numel()].view(parameter.shape)
    net = meta("torchvision/vgg11", num_classes=5, std=(1, 1, 1))
    net.load_state_dict(
        dict(zip(net.state_dict(), original.state_dict().values(), strict=True)), assign=True
    )
    images = randn(1, 3, 64, 64).float()
    with torch.no_grad():
        expected = original(images)
        assert torch.equal(net(images), expected)
        # Nothing works in place: z is still there after its ReLU.
        assert (net.record(images, ["conv1:z", "conv1"]).activations["conv1:z"] < 0).any()
    assert expected.std() > 0


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"])
def test_torchvision_networks_keep_their_modules_in_order(name):
    net = meta(f"torchvision/{name}", num_classes=7)
    with torch.device("meta"):
        original = torchvision.models.get_model(name, num_classes=7)
    expected = [*original.features, original.avgpool, nn.Flatten(1), *original.classifier]
    scale, *found = net.children()
    assert str(scale) == "Divide(by=(58.395, 57.12, 57.375))"
    assert [str(m).replace(", inplace=True", "").replace("inplace=True", "") for m in expected] == [
        str(m) for m in found
    ]
    numbers = [int(n.lstrip("convf")) for n, m in net.named_children() if hasattr(m, "weight")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_pool_bears_the_number_of_the_convolution_before_it():
    net = meta("torchvision/vgg16")
    names = [name for name, _ in net.named_children()]
    pools = [name for name in names if name.startswith("pool")]
    assert pools == ["pool2", "pool4", "pool7", "pool10", "pool13"]
    assert net.layers[-4:] == ("conv13", "fc14", "fc15", "fc16")
    for pool in pools:
        assert names.index(pool) == names.index(f"relu{pool[4:]}") + 1


def test_stages_of_one_kind_in_a_row_all_stay():
    modules = [
        nn.Conv2d(3, 4, 3, padding=1),
        nn.LocalResponseNorm(3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 1),
        nn.Flatten(),
        nn.Linear(4 * 4, 5),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Dropout(0.2),
        nn.Linear(5, 2),
    ]
    net = ChainNet("mine", name_stages(modules), {}, 8).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(net(images), nn.Sequential(*modules).eval()(images))
    assert [n for n, _ in net.named_children()][3:5] == ["pool1", "pool1b"]
    assert torch.equal(net.record(images).logits, net(images))
