"""The way from a study to its samples as MONAI dictionary transforms, each one step of ``samples.study``.

They map ``{"study": Study, "folder": Path}`` onwards: ``stacks``, ``regions``, ``alignment``, ``windows``,
``positions``, ``samples``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import Compose, MapTransform

from mpmri_monai.errors import MpmriError
from mpmri_monai.samples import Settings
from mpmri_monai.samples.intensity import intensity_windows
from mpmri_monai.samples.sample import take_samples
from mpmri_monai.samples.settings import WindowKind
from mpmri_monai.samples.study import align_study, load_regions, load_sequences, locate_samples, note_findings

Data = dict[Hashable, Any]


class LoadSequencesd(MapTransform):
    """Read every sequence of ``study`` into ``stacks``: a dictionary of sequence to Stack."""

    def __init__(self, sequences: Sequence[str], keys: KeysCollection = "study") -> None:
        super().__init__(keys)
        self.sequences = tuple(sequences)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        return {**data, "stacks": load_sequences(data[self.first_key(data)], data["folder"], self.sequences)}


class LoadRegionsd(MapTransform):
    """Read the lesion and organ masks of ``study`` into ``regions`` and check them against ``stacks``."""

    def __init__(self, settings: Settings | None = None, keys: KeysCollection = "study") -> None:
        super().__init__(keys)
        self.settings = settings

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        study, folder = data[self.first_key(data)], data["folder"]
        return {**data, "regions": load_regions(study, folder, data["stacks"], self.settings)}


class AlignSequencesd(MapTransform):
    """Undo the motion between ``stacks`` when the settings want it; ``alignment`` says what was done, else None."""

    def __init__(self, settings: Settings, keys: KeysCollection = "stacks") -> None:
        super().__init__(keys)
        self.settings = settings

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        study, stacks, regions = data["study"], data[self.first_key(data)], data["regions"]
        stacks, regions, alignment = align_study(study, stacks, regions, self.settings)
        return {**data, "stacks": stacks, "regions": regions, "alignment": alignment}


class TrimmedMinMaxd(MapTransform):
    """Attach to ``stacks`` their intensity ``windows``.

    The window is computed over all voxels but applied where a crop is taken, before it is interpolated: clipping and
    interpolating do not commute, and normalising whole volumes would cost more than the rest of the way.

    Args:
        trim: share of the voxels that the window leaves out.
        joint_dce: one window for all DCE phases.
        window: leave out the brightest voxels (``trimmed``), or as many at either end (``central``).
    """

    def __init__(
        self,
        trim: float = 0.01,
        joint_dce: bool = False,
        window: WindowKind = "trimmed",
        keys: KeysCollection = "stacks",
    ) -> None:
        super().__init__(keys)
        self.trim, self.joint_dce, self.window = trim, joint_dce, window

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        windows = intensity_windows(data[self.first_key(data)], self.trim, self.joint_dce, self.window)
        return {**data, "windows": windows}


class LocateSamplesd(MapTransform):
    """Find the ``positions`` at which the lesions of ``study`` and matching background are sampled."""

    def __init__(self, settings: Settings, keys: KeysCollection = "study") -> None:
        super().__init__(keys)
        self.settings = settings

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        study = data[self.first_key(data)]
        return {**data, "positions": locate_samples(study, data["stacks"], data["regions"], self.settings)}


class TakeSamplesd(MapTransform):
    """Take every position of ``study`` in every sequence: ``samples``, a list of Sample."""

    def __init__(self, settings: Settings, sequences: Sequence[str], keys: KeysCollection = "study") -> None:
        super().__init__(keys)
        self.settings, self.sequences = settings, tuple(sequences)

    def __call__(self, data: Data) -> dict[Hashable, Any]:
        study, windows, positions = data[self.first_key(data)], data["windows"], data["positions"]
        samples = take_samples(study, data["stacks"], windows, positions, self.sequences, self.settings)
        return {**data, "samples": note_findings(samples, data["regions"], data["alignment"])}


class StudyCompose(Compose):
    """A Compose whose user meets our errors: MONAI hides them in a RuntimeError and logs the data, paths included."""

    def __init__(self, transforms: Sequence[MapTransform]) -> None:
        super().__init__(transforms, log_stats=False)

    def __call__(self, *args: Any, **options: Any) -> Any:
        try:
            return super().__call__(*args, **options)
        except RuntimeError as error:
            if isinstance(error.__cause__, MpmriError):
                raise error.__cause__ from None
            raise


def preprocessing(settings: Settings, sequences: Sequence[str]) -> Compose:
    """Return the whole way: ``{"study": Study, "folder": Path}`` in, the same with ``samples`` and all between out.

    Raises (when called):
        MpmriError: as ``mpmri_monai.samples.sample_study``.
    """
    return StudyCompose(
        [
            LoadSequencesd(sequences),
            LoadRegionsd(settings),
            AlignSequencesd(settings),
            TrimmedMinMaxd(settings.trim, settings.joint_dce, settings.window),
            LocateSamplesd(settings),
            TakeSamplesd(settings, sequences),
        ]
    )
