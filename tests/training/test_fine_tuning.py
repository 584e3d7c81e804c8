"""Which layers learn, how fast, and from which epoch on."""

from itertools import pairwise

import pytest
import torch
from ignite.engine import Events

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import LAYERS, SPPResNet
from mpmri_monai.training import (
    Checkpoint,
    GradualUnfreezing,
    History,
    SampleDataset,
    Trainer,
    TrainingLoader,
    parameter_groups,
    seed_everything,
)
from mpmri_monai.training.fine_tuning import read_depths
from mpmri_monai.transforms.batch import Views

RATE = 1e-3


def rates(network, groups):
    """Learning rate by parameter name; a parameter in two groups is an error."""
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    found = [(names[id(parameter)], group["lr"]) for group in groups for parameter in group["params"]]
    assert len(found) == len(dict(found))
    return dict(found)


@pytest.mark.parametrize("depth", range(len(LAYERS) + 1))
def test_the_last_layers_are_in_the_groups_and_no_other(depth):
    network = SPPResNet(embedding=4)
    layers = list(network.layers().values())
    wanted = {name for layer in layers[len(layers) - depth :] for name in layer}
    groups = parameter_groups(network, depth, RATE)
    assert set(rates(network, groups)) == wanted
    assert groups[0]["lr"] == RATE  # the rate of the learning curves is the recipe's at every depth
    torch.optim.SGD(groups, RATE, momentum=0.9)  # an optimiser of nothing is one, too


def test_the_head_learns_ten_times_and_biases_twice_as_fast():
    network = SPPResNet(embedding=4)
    found = rates(network, parameter_groups(network, 3, RATE))
    assert found["classifier.weight"] == pytest.approx(10 * RATE)
    assert found["classifier.bias"] == pytest.approx(20 * RATE)
    assert found["embedding.weight"] == found["stage3.2.conv2.weight"] == pytest.approx(RATE)
    assert found["embedding.bias"] == found["stage3.2.norm2.bias"] == pytest.approx(2 * RATE)
    assert found["stage3.2.norm2.weight"] == pytest.approx(RATE)


def test_without_factors_there_is_one_group():
    network = SPPResNet(embedding=4)
    (group,) = parameter_groups(network, 12, RATE, head_factor=1.0, bias_factor=1.0)
    assert [id(one) for one in group["params"]] == [id(one) for one in network.parameters()]


@pytest.fixture
def build(make_samples):
    """build(folder, depth, every) makes a trainer of three epochs by the layer-wise recipe."""

    def make(folder, depth, every):
        folder.mkdir(exist_ok=True)
        seed_everything(0)
        network = SPPResNet(embedding=4, dropout=0.2).tune(depth)
        optimizer = torch.optim.SGD(parameter_groups(network, depth, 0.01), 0.01, momentum=0.9, weight_decay=0.01)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95)
        return Trainer(
            max_epochs=3,
            device="cpu",
            train_data_loader=TrainingLoader(SampleDataset(make_samples(18)), 16, Views(1)),
            network=network,
            optimizer=optimizer,
            loss_function=torch.nn.CrossEntropyLoss(),
            train_handlers=[GradualUnfreezing(network, depth, every)],
            checkpoint=Checkpoint(folder, network, optimizer, scheduler, History(folder / "history.csv")),
        )

    return make


def layer_states(network):
    """Copies of every tensor, buffers too, by layer."""
    return {
        layer: {
            name: tensor.clone()
            for name, tensor in network.state_dict().items()
            if name in parts or name.startswith(tuple(f"{part}." for part in parts))
        }
        for layer, parts in LAYERS.items()
    }


def changed_layers(before, after):
    return {layer for layer in before if any(not torch.equal(before[layer][n], after[layer][n]) for n in before[layer])}


def test_layers_below_change_by_no_bit_until_it_is_their_epoch(build, tmp_path):
    trainer = build(tmp_path, depth=3, every=1)
    states = [layer_states(trainer.network)]
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda: states.append(layer_states(trainer.network)))
    trainer.run()
    changes = [changed_layers(before, after) for before, after in pairwise(states)]
    assert changes == [{"head"}, {"head", "embedding"}, {"head", "embedding", "block9"}]


@pytest.mark.parametrize(
    ("depth", "every", "wanted"), [(3, 1, [1, 2, 3, 3, 3, 3]), (2, 2, [1, 1, 2, 2, 2, 2]), (12, 4, [1, 1, 1, 1, 2, 2])]
)
def test_one_more_layer_every_few_epochs(depth, every, wanted):
    schedule = GradualUnfreezing(SPPResNet(embedding=4), depth, every)
    assert [schedule.depth_in(epoch) for epoch in range(1, 7)] == wanted


def test_resumed_while_unfreezing_equals_uninterrupted(build, tmp_path):
    whole = build(tmp_path / "whole", depth=3, every=1)
    whole.run()
    stopped = build(tmp_path / "stopped", depth=3, every=1)
    stopped.add_event_handler(Events.EPOCH_COMPLETED(once=2), stopped.terminate)
    stopped.run()
    resumed = build(tmp_path / "stopped", depth=3, every=1)
    resumed.run()
    assert resumed.state.epoch == 3
    assert not changed_layers(layer_states(whole.network), layer_states(resumed.network))


@pytest.mark.parametrize(("depth", "every"), [(0, 1), (3, 0), (3, -1)])
def test_a_schedule_that_unfreezes_nothing_is_refused(depth, every):
    with pytest.raises(ConfigError, match="E_DEPTH"):
        GradualUnfreezing(SPPResNet(embedding=4), depth, every)


def test_unfreezing_in_several_processes_is_refused(monkeypatch):
    monkeypatch.setattr("mpmri_monai.training.fine_tuning.idist.get_world_size", lambda: 2)
    with pytest.raises(ConfigError, match="2 processes"):
        GradualUnfreezing(SPPResNet(embedding=4), 3, 1)


def test_depths_are_whole_numbers():
    assert read_depths("0,2, 12") == (0, 2, 12)
    assert read_depths("") == ()
    with pytest.raises(ConfigError, match="depths"):
        read_depths("all")
