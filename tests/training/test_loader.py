import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mpmri_monai.errors import ConfigError, StoreError
from mpmri_monai.training import EvaluationLoader, SampleDataset, TrainingLoader
from mpmri_monai.training.loader import drop_sequences
from mpmri_monai.transforms.batch import Views, centre_crop
from mpmri_monai.transforms.rigid import RigidAugmentation


def loader_of(dataset, batch_size=16, views=6, jitter=2, **options):
    return TrainingLoader(dataset, batch_size, Views(views, 32, jitter), **options)


def images_of(loader):
    return torch.cat([batch["image"] for batch in loader])


def test_an_epoch_visits_every_sample_in_every_view(samples):
    samples.image[:] = samples.image[:, :, :1, :1]  # constant crops: shifts and views change nothing
    loader = loader_of(SampleDataset(samples), batch_size=7, views=6)
    seen = torch.cat([batch["image"][:, 0, 0, 0] for batch in loader])
    expected = torch.as_tensor(samples.image[:, 0, 0, 0]).repeat_interleave(6)
    assert torch.equal(seen.sort().values, expected.sort().values)
    assert len(loader) == len(list(loader)) == -(-24 * 6 // 7)


def test_six_visits_are_six_different_views(samples):
    samples.image[:] = 0
    samples.image[:, :, 20, 14] = 1  # one bright pixel off the diagonals tells the views apart
    samples.extent_mm[:] = range(len(samples.label))
    loader = loader_of(SampleDataset(samples), batch_size=1, views=6, jitter=0)
    places = {}
    for batch in loader:
        extent = float(batch["extent_mm"][0])
        places.setdefault(extent, set()).add(int(batch["image"][0, 0].argmax()))
    assert {len(found) for found in places.values()} == {6}


def test_order_depends_on_seed_and_epoch_alone(samples):
    first, same, other = (loader_of(SampleDataset(samples), seed=seed) for seed in (1, 1, 2))
    torch.manual_seed(0)
    before = images_of(first)
    torch.manual_seed(9)
    assert torch.equal(before, images_of(same))
    assert not torch.equal(before, images_of(other))
    first.epoch = 2
    second = images_of(first)
    assert not torch.equal(before, second)
    first.epoch = 1
    assert torch.equal(before, images_of(first))


def test_labels_stay_with_their_images(samples):
    samples.image[:] = samples.label[:, None, None, None] / 4
    for batch in loader_of(SampleDataset(samples), views=3):
        assert torch.equal(batch["image"][:, 0, 5, 5], batch["label"] / 4)


def test_evaluation_sees_central_crops_in_order(samples):
    loader = EvaluationLoader(SampleDataset(samples), batch_size=10)
    assert torch.equal(images_of(loader), torch.as_tensor(samples.image[:, :, 10:42, 10:42]))
    assert len(loader) == 3


@pytest.mark.parametrize("options", [{"views": 0}, {"views": 7}, {"batch_size": 0}])
def test_impossible_options_are_refused(samples, options):
    with pytest.raises(ConfigError):
        loader_of(SampleDataset(samples), **options)


def test_data_of_unequal_length_is_refused(samples):
    with pytest.raises(StoreError, match="as many"):
        type(samples)(samples.image, samples.present[:-1], samples.label, samples.extent_mm, samples.table)


def test_a_negative_jitter_is_refused(samples):
    with pytest.raises(ConfigError, match="jitter"):
        loader_of(SampleDataset(samples), jitter=-1)


def test_nothing_to_train_on_is_refused(make_samples):
    with pytest.raises(ConfigError, match="samples to train on"):
        loader_of(SampleDataset(make_samples(0)))


@pytest.fixture
def unequal(make_samples):
    """20 samples: 12 of class 0, 5 of class 1, 3 of class 2; their extent is their number."""
    data = make_samples(20)
    data.label[:] = [0] * 12 + [1] * 5 + [2] * 3
    data.extent_mm[:] = range(20)
    return SampleDataset(data)


def drawn(loader):
    """Sample numbers of one epoch, in order."""
    return torch.cat([batch["extent_mm"] for batch in loader]).long()


def test_a_balanced_epoch_has_as_many_of_each_class_as_of_the_smallest(unequal):
    loader = loader_of(unequal, batch_size=4, views=2, balance="downsample")
    numbers = drawn(loader)
    assert unequal.tensors["label"][numbers].bincount().tolist() == [6, 6, 6]
    assert numbers.bincount()[numbers.unique()].tolist() == [2] * 9  # each in two views, none twice over
    assert len(loader) == len(list(loader)) == 5


def test_balanced_epochs_draw_anew_and_depend_on_seed_and_epoch_alone(unequal):
    loader, same = (loader_of(unequal, balance="downsample", views=1, seed=3) for _ in range(2))
    seen = {}
    for loader.epoch in range(1, 41):
        seen[loader.epoch] = drawn(loader)
    assert not torch.equal(seen[1].sort().values, seen[2].sort().values)
    assert set(torch.cat(list(seen.values())).tolist()) == set(range(20))  # 39 misses of 9 in 12: one in 75 000
    same.epoch = 7
    assert torch.equal(drawn(same), seen[7])


@pytest.mark.parametrize("balance", ["none", "weights"])
def test_otherwise_every_sample_is_drawn(unequal, balance):
    numbers = drawn(loader_of(unequal, views=1, balance=balance))
    assert numbers.sort().values.tolist() == list(range(20))


def test_processes_share_a_balanced_epoch_equally(unequal, monkeypatch):
    monkeypatch.setattr("mpmri_monai.training.loader.idist.get_world_size", lambda: 2)
    loader, shares = loader_of(unequal, batch_size=2, views=1, balance="downsample"), []
    for rank in (0, 1):
        monkeypatch.setattr("mpmri_monai.training.loader.idist.get_rank", lambda rank=rank: rank)
        shares.append(drawn(loader))
        assert len(loader) == len(list(loader)) == 3
    assert [len(share) for share in shares] == [5, 5]  # nine samples, one of them twice
    assert len(torch.cat(shares).unique()) == 9


def test_an_unknown_balance_is_refused(unequal):
    with pytest.raises(ConfigError, match="downsample"):
        loader_of(unequal, balance="upsample")


@pytest.fixture
def volumes(make_samples):
    """12 grid samples of stored 6×15×15 voxels; their extent is their number."""
    data = make_samples(12)
    image = torch.rand((12, 3, 6, 15, 15), generator=torch.Generator().manual_seed(0)).numpy()
    numbers = torch.arange(12, dtype=torch.float32).numpy()
    return SampleDataset(type(data)(image, data.present, data.label, numbers, data.table))


def test_an_epoch_of_volumes_visits_each_as_often_as_there_are_copies(volumes):
    loader = TrainingLoader(volumes, 7, RigidAugmentation((4, 9, 9), copies=5), seed=1)
    batches = list(loader)
    assert len(batches) == len(loader) == -(-12 * 5 // 7)
    assert torch.cat([batch["extent_mm"] for batch in batches]).long().bincount().tolist() == [5] * 12
    images = torch.cat([batch["image"] for batch in batches])
    assert images.shape == (60, 3, 4, 9, 9)
    assert len(images.flatten(1).unique(dim=0)) == 60  # each visit another motion


def test_motions_depend_on_seed_and_epoch_alone_and_stay_with_their_sample(volumes):
    moving = RigidAugmentation((4, 9, 9), copies=2)
    first, same, other = (TrainingLoader(volumes, 8, moving, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(images_of(first), images_of(same))
    assert not torch.equal(images_of(first), images_of(other))
    still = RigidAugmentation((4, 9, 9), copies=2, rotation_deg=0, shift=0, depth_shift=0)
    crops = centre_crop(volumes.tensors["image"], (4, 9, 9))
    for batch in TrainingLoader(volumes, 8, still):
        assert torch.equal(batch["image"], crops[batch["extent_mm"].long()])
        assert torch.equal(batch["label"], volumes.tensors["label"][batch["extent_mm"].long()])


def test_evaluation_sees_the_centre_of_volumes(volumes):
    loader = EvaluationLoader(volumes, size=[4, 9, 9])
    assert torch.equal(images_of(loader), volumes.tensors["image"][:, :, 1:5, 3:12, 3:12])


def shown(seed, samples=50, channels=4):
    """Which sequences some samples have: never none."""
    generator = torch.Generator().manual_seed(seed)
    present = torch.rand(samples, channels, generator=generator) < 0.6
    return present | (torch.arange(channels) == torch.randint(channels, (samples, 1), generator=generator))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.sampled_from([0.01, 0.3, 0.99]))
def test_dropping_sequences_leaves_at_least_one_and_adds_none(seed, share):
    present = shown(seed)
    left = drop_sequences(present, share, torch.Generator().manual_seed(seed))
    assert left.any(dim=1).all()
    assert not (left & ~present).any()


def test_each_sequence_is_dropped_as_often_as_asked():
    """With p = 0.3 of four: 0.3 less the times that it would be the last, a quarter of 0.3^4."""
    present = torch.ones(20000, 4, dtype=torch.bool)
    left = drop_sequences(present, 0.3, torch.Generator().manual_seed(0))
    expected = 1 - 0.3 + 0.3**4 / 4
    assert left.float().mean(dim=0) == pytest.approx([expected] * 4, abs=4 * (0.21 / 20000) ** 0.5)


def presence_of(loader):
    return torch.cat([batch["present"] for batch in loader])


def test_sequence_dropout_depends_on_seed_and_epoch_alone(samples):
    samples.present[:] = True
    first, same, other = (loader_of(SampleDataset(samples), sequence_dropout=0.4, seed=seed) for seed in (1, 1, 2))
    before = presence_of(first)
    assert not before.all()
    assert torch.equal(before, presence_of(same))
    assert not torch.equal(before, presence_of(other))
    first.epoch = 2
    assert not torch.equal(before, presence_of(first))


def test_without_sequence_dropout_nothing_is_dropped_and_evaluation_never_drops(samples):
    samples.present[:] = True
    dataset = SampleDataset(samples)
    assert presence_of(loader_of(dataset)).all()
    list(loader_of(dataset, sequence_dropout=0.9))  # what training drops does not stay with the samples
    assert presence_of(EvaluationLoader(dataset)).all()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_sequence_dropout_that_is_no_probability_is_refused(samples, share):
    with pytest.raises(ConfigError, match="E_OPTION"):
        loader_of(SampleDataset(samples), sequence_dropout=share)
