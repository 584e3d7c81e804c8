import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import MCTLNetwork, PatchAutoencoder, save_state, warm_start

SIZE = (4, 15, 15)


def made(**arguments):
    torch.manual_seed(0)
    return PatchAutoencoder(2, SIZE, **{"filters": 4, **arguments})


def patches(count=6):
    return torch.rand(count, 2, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_encoder_computes_what_the_classifier_it_starts_computes(layers, tmp_path):
    autoencoder, image = made(layers=layers), patches()
    save_state(autoencoder.encoder_state(), tmp_path / "encoder.pt")
    network = MCTLNetwork(2, 2, SIZE, layers=layers, filters=4)
    report = warm_start(network, tmp_path / "encoder.pt")
    assert set(report.names("taken")) == set(autoencoder.encoder_state())
    torch.testing.assert_close(network.maps(image), autoencoder.convolutions.encode(image))


def test_the_reconstruction_has_the_patchs_shape_and_is_not_rectified():
    reconstruction = made()(patches())
    assert reconstruction.shape == (6, 2, *SIZE)
    assert reconstruction.min() < 0


def test_without_masking_nothing_is_hidden():
    assert made().draw_hidden(patches()) is None


@settings(deadline=None, max_examples=20)
@given(st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_same_share_of_whole_blocks_is_hidden_in_every_patch(masked, seed):
    hidden = made(masked=masked).draw_hidden(patches(), torch.Generator().manual_seed(seed))
    assert hidden.shape == (6, 1, *SIZE) and hidden.dtype == torch.bool
    blocks = hidden.float().flatten(0, 1).unfold(1, 2, 2).unfold(2, 5, 5).unfold(3, 5, 5).flatten(-3)
    assert torch.equal(blocks.amin(-1), blocks.amax(-1))  # of 2 × 3 × 3 blocks, each hidden whole or not at all
    assert (blocks.amax(-1).sum(dim=(1, 2, 3)) == max(1, round(masked * 18))).all()


def test_what_is_hidden_changes_from_patch_to_patch_and_with_the_seed():
    network = made(masked=0.5)
    first, again, other = (network.draw_hidden(patches(), torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first[0], first[1])


def test_blocks_at_the_edge_are_cut():
    hidden = PatchAutoencoder(1, (3, 7, 8), masked=0.9).draw_hidden(torch.rand(2, 1, 3, 7, 8))
    assert hidden.shape == (2, 1, 3, 7, 8)


def test_hidden_voxels_are_not_seen_and_count_alone():
    network, image = made(masked=0.5), patches()
    network.fit_standardisation(image, torch.ones(6, 2, dtype=torch.bool))
    hidden = network.draw_hidden(image)
    other = torch.where(hidden, torch.rand_like(image), image)
    torch.testing.assert_close(network(image, hidden=hidden), network(other, hidden=hidden))
    wrong = (network(image, hidden=hidden) - network.standardise(image)).square()
    expected = torch.stack([wrong[i][hidden[i].expand(2, *SIZE)].mean() for i in range(6)])
    torch.testing.assert_close(network.squared_errors(image, hidden=hidden), expected)


def test_absent_channels_do_not_count():
    network, image = made(), patches()
    present = torch.tensor([[True, False]] * 6)
    other = image.clone()
    other[:, 1] = 0
    torch.testing.assert_close(network.squared_errors(image, present), network.squared_errors(other, present))
    expected = functional.mse_loss(network(image, present)[:, 0], network.standardise(image)[:, 0])
    torch.testing.assert_close(network.squared_errors(image, present).mean(), expected)


def test_it_learns_to_reconstruct():
    image = patches(8)
    network = made(filters=8, layers=1)
    network.fit_standardisation(image, torch.ones(8, 2, dtype=torch.bool))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(60):
        optimiser.zero_grad()
        network.squared_errors(image).mean().backward()
        optimiser.step()
    assert network.squared_errors(image).mean() < 0.5 * network.standardise(image).var()


@pytest.mark.parametrize("arguments", [{"masked": 1.0}, {"masked": -0.1}, {"layers": 4}, {"filters": 0}])
def test_impossible_arguments_are_refused(arguments):
    with pytest.raises(ConfigError):
        made(**arguments)
