import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.networks import PlanesNetwork, SPPResNet, save_weights, warm_start

SIZE = (4, 12, 12)


def made(kind, channels=2, **arguments):
    torch.manual_seed(2)
    return PlanesNetwork(kind, SIZE, channels, **arguments).eval()


def crops():
    return torch.rand(3, 2, *SIZE, generator=torch.Generator().manual_seed(0))


def test_axial_is_the_2d_network_on_the_central_slice():
    network, plain, image = made("axial"), SPPResNet(2).eval(), crops()
    plain.load_state_dict(network.state_dict())
    present = torch.tensor([[True, False]] * 3)
    assert torch.equal(network(image, present), plain(image[:, :, 2], present))
    assert torch.equal(network.fixed_features(image, present), plain.embed(image[:, :, 2], present))


def test_three_views_are_central_planes_of_every_direction():
    row, column, slice_ = (torch.arange(n, dtype=torch.float32) for n in (12, 12, 4))
    ramps = torch.stack(torch.meshgrid(slice_, row, column, indexing="ij"))  # each channel grows along one axis
    axial, coronal, sagittal = PlanesNetwork("three_view", SIZE, 3).views(ramps[None])[0]
    assert (axial[0] == 2).all() and torch.equal(axial[1], row[:, None].expand(12, 12))
    assert (coronal[1] == 6).all() and torch.equal(coronal[2], column.expand(12, 12))
    assert (sagittal[2] == 6).all() and torch.equal(sagittal[1], row.expand(12, 12))
    for plane in (coronal[0], sagittal[0]):  # stretched from 4 to 12 rows: from the first slice to the last
        assert plane[0, 0] == 0 and plane[-1, 0] == 3 and (plane.diff(dim=0) >= 0).all()


def test_sizes_are_centred_crops_of_the_central_slice():
    image = torch.zeros(1, 1, *SIZE)
    image[:, :, 2, 3:9, 3:9] = 1  # the central half
    whole, two_thirds, half = PlanesNetwork("multi_size", SIZE, 1).views(image)[0, :, 0]
    assert whole.mean() == pytest.approx(0.25) and (half == 1).all()
    assert whole.mean() < two_thirds.mean() < 1
    for plane in (whole, two_thirds):
        torch.testing.assert_close(plane, plane.flip(0, 1))


def test_planes_that_are_already_square_are_not_interpolated():
    image = torch.rand(1, 1, 9, 9, 9)
    views = PlanesNetwork("three_view", (9, 9, 9), 1).views(image)[0, :, 0]
    assert torch.equal(views, torch.stack([image[0, 0, 4], image[0, 0, :, 4], image[0, 0, :, :, 4]]))


@pytest.mark.parametrize("size_feature", [False, True])
@pytest.mark.parametrize("rectify", [False, True])
def test_a_bag_is_the_mean_of_the_logits_of_its_planes(rectify, size_feature):
    network, image = made("three_view_bag", embedding_relu=rectify, size_feature=size_feature), crops()
    plain = SPPResNet(2, embedding_relu=rectify, size_feature=size_feature).eval()
    plain.load_state_dict(network.state_dict())
    present, extent = torch.tensor([[True, False], [True, True], [False, True]]), torch.tensor([9.0, 20.0, 50.0])
    logits = [plain(plane, present, extent) for plane in network.views(image).unbind(1)]
    torch.testing.assert_close(network(image, present, extent), torch.stack(logits).mean(0), rtol=1e-4, atol=1e-5)


def test_presence_goes_with_the_sequences_of_every_plane():
    network, image = made("three_view"), crops()
    present = torch.tensor([[True, False]] * 3)
    plain = SPPResNet(6).eval()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(image, present), plain(network.views(image).flatten(1, 2), present.repeat(1, 3)))


@pytest.mark.parametrize(
    ("kind", "adapted"), [("axial", ()), ("three_view_bag", ()), ("three_view", ("conv1.weight",))]
)
def test_weights_of_the_2d_network_start_it(kind, adapted, tmp_path):
    save_weights(SPPResNet(2, num_classes=10), tmp_path / "pretrained.pt")
    report = warm_start(made(kind), tmp_path / "pretrained.pt")
    assert report.names("adapted") == adapted and report.share > 0.95


def test_an_unknown_view_or_a_crop_that_is_no_square_is_refused():
    with pytest.raises(ConfigError, match="three_view"):
        PlanesNetwork("coronal", SIZE)
    with pytest.raises(ConfigError, match=r"E_SIZE.*4×12×13"):
        PlanesNetwork("axial", (4, 12, 13))
