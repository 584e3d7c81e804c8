import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.transforms.batch import VIEWS, Views, as_size, augment, centre_crop, crop, view, views_of_batch


def test_the_six_views_differ_and_keep_the_pixels():
    image = torch.arange(2 * 5 * 5).reshape(2, 5, 5)
    views = [view(image, index) for index in range(VIEWS)]
    assert torch.equal(views[0], image)
    for a in range(VIEWS):
        assert torch.equal(views[a].flatten(1).sort().values, image.flatten(1).sort().values)
        assert all(not torch.equal(views[a], views[b]) for b in range(a))


def test_each_image_of_a_batch_has_its_own_view():
    images, wanted = torch.rand(6, 3, 8, 8), torch.tensor([3, 0, 5, 1, 4, 2])
    seen = views_of_batch(images, wanted)
    for index, number in enumerate(wanted.tolist()):
        assert torch.equal(seen[index], view(images[index], number))


def test_crop_without_offset_is_the_centre():
    images = torch.rand(4, 2, 52, 52)
    zero = torch.zeros(4, dtype=torch.long)
    assert torch.equal(crop(images, 32, zero, zero), centre_crop(images, 32))
    assert torch.equal(centre_crop(images, 32), images[:, :, 10:42, 10:42])


def test_offsets_move_rows_and_columns():
    image = torch.rand(1, 1, 52, 52)
    cut = crop(image, 32, torch.tensor([2]), torch.tensor([-1]))
    assert torch.equal(cut, image[:, :, 12:44, 9:41])


def test_an_offset_beyond_the_image_is_refused():
    with pytest.raises(ConfigError, match="at least 38"):
        crop(torch.rand(1, 1, 36, 36), 32, torch.tensor([3]), torch.tensor([0]))
    with pytest.raises(ConfigError, match="at least 32"):
        centre_crop(torch.rand(1, 16, 16), 32)


def test_augmentation_depends_on_its_generator_alone():
    images, views = torch.rand(16, 3, 52, 52), torch.arange(16) % VIEWS
    torch.manual_seed(1)
    first = augment(images, views, 32, 2, torch.Generator().manual_seed(7))
    torch.manual_seed(2)
    assert torch.equal(first, augment(images, views, 32, 2, torch.Generator().manual_seed(7)))
    assert not torch.equal(first, augment(images, views, 32, 2, torch.Generator().manual_seed(8)))


def test_a_size_is_a_side_or_lengths():
    assert as_size(32) == (32, 32)
    assert as_size([4, 25, 25]) == (4, 25, 25)


def test_the_centre_of_a_volume():
    images = torch.rand(3, 2, 6, 41, 41)
    assert torch.equal(centre_crop(images, [4, 25, 25]), images[:, :, 1:5, 8:33, 8:33])
    assert torch.equal(centre_crop(images[0, 0], (6, 41, 41)), images[0, 0])
    with pytest.raises(ConfigError, match=r"at least 7×25×25.*6×41×41"):
        centre_crop(images, (7, 25, 25))
    with pytest.raises(ConfigError, match="at least 4×8×8"):
        centre_crop(torch.rand(9, 9), (4, 8, 8))


def test_views_show_planes_alone():
    views = Views(1, 9)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(ConfigError, match=r"batch, channel, row, column.*2×1×6×15×15"):
        views(torch.rand(2, 1, 6, 15, 15), views.variants(2, generator)[:, 0], generator)


@pytest.mark.parametrize(("views", "jitter"), [(0, 2), (7, 2), (1, -1)])
def test_views_and_jitters_that_cannot_be_are_refused(views, jitter):
    with pytest.raises(ConfigError):
        Views(views, 32, jitter)
