import numpy as np
import pytest
import torch

from mpmri_monai.errors import ConfigError
from mpmri_monai.natural import NaturalDataset, NaturalEvaluationLoader, NaturalTrainingLoader

COUNT, BORDER = 20, 4


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(1, 256, (COUNT, 3, 32, 32)).astype(np.uint8)


@pytest.fixture
def dataset(images):
    return NaturalDataset(images, np.arange(COUNT), BORDER)


def test_evaluation_shows_each_picture_whole_in_order(images, dataset):
    batches = list(NaturalEvaluationLoader(dataset, batch_size=6))
    torch.testing.assert_close(torch.cat([b["image"] for b in batches]), torch.from_numpy(images).float() / 255)
    assert torch.cat([b["label"] for b in batches]).tolist() == list(range(COUNT))


def test_training_batches_are_shifted_and_mirrored_copies_of_their_pictures(images, dataset):
    padded = np.pad(images, ((0, 0), (0, 0), (BORDER, BORDER), (BORDER, BORDER)))
    shifts, mirrored = set(), set()
    for batch in NaturalTrainingLoader(dataset, batch_size=5, jitter=BORDER):
        for crop, label in zip((batch["image"] * 255).round().byte().numpy(), batch["label"], strict=True):
            own = padded[label]
            matches = [
                (row, column, flip)
                for row in range(2 * BORDER + 1)
                for column in range(2 * BORDER + 1)
                for flip in (1, -1)
                if np.array_equal(own[:, row : row + 32, column : column + 32][..., ::flip], crop)
            ]
            assert len(matches) == 1
            shifts.add(matches[0][:2])
            mirrored.add(matches[0][2])
    assert len(shifts) > 5 and mirrored == {1, -1}


def test_an_epoch_is_a_function_of_seed_and_epoch(dataset):
    def epoch(seed: int, number: int) -> list[torch.Tensor]:
        loader = NaturalTrainingLoader(dataset, batch_size=5, seed=seed)
        loader.epoch = number
        return torch.cat([batch["image"] for batch in loader])

    assert torch.equal(epoch(1, 2), epoch(1, 2))
    assert not torch.equal(epoch(1, 2), epoch(1, 3)) and not torch.equal(epoch(1, 2), epoch(2, 2))


def test_an_epoch_visits_no_picture_twice_and_digits_are_not_mirrored(images, dataset):
    loader = NaturalTrainingLoader(dataset, batch_size=6, jitter=0, flip=False)
    batches = list(loader)
    assert len(batches) == len(loader) == COUNT // 6
    labels = torch.cat([batch["label"] for batch in batches])
    assert len(set(labels.tolist())) == len(labels) == 18
    torch.testing.assert_close(torch.cat([b["image"] for b in batches]), torch.from_numpy(images[labels]).float() / 255)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 21}, {"jitter": 5}, {"jitter": -1}])
def test_impossible_options_are_refused(dataset, options):
    with pytest.raises(ConfigError):
        NaturalTrainingLoader(dataset, **{"batch_size": 5} | options)


@pytest.mark.parametrize("border", [-1, 33])
def test_a_border_that_cannot_be_is_refused(border):
    with pytest.raises(ConfigError, match=f"from 0 to 32 pixels; found {border}"):
        NaturalDataset(np.zeros((1, 1, 32, 32), np.uint8), np.zeros(1, np.int64), border)
