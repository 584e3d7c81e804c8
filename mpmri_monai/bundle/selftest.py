"""The self-test: a tiny generated study in the bundle, and what its authors' installation answered on it."""

from __future__ import annotations

import contextlib
import io
import logging
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigWorkflow

from mpmri_monai import artefacts
from mpmri_monai.bundle.adopt import CONTENTS, write_contents
from mpmri_monai.bundle.selftest_study import MASK, STUDY, preset_of, write_study
from mpmri_monai.bundle.weights_record import MODEL, record_of
from mpmri_monai.errors import BundleError, MpmriError

FOLDER, EXPECTED = "selftest", "expected.json"
SELFTEST_SCHEMA = "mpmri-monai/selftest/1"
TOLERANCE = 1e-4
"""Largest difference of a probability on a CPU. One or two threads, and convolutions in float32 or float64, gave equal
answers to six decimals; half a pixel's shift of one sequence, the smallest error of preprocessing that was tried, moves
grades by 7e-2, and answers of the detector, sure as it is, by 1.6e-4."""
TOLERANCE_ELSEWHERE = 5e-3
"""The same on a GPU, whose convolutions keep 10 bits of a number (TF32): rounding them so moved grades by 7e-4."""
ANSWER_WRITER = "mpmri_monai.inference.AnswerWriter"
DECIMALS = 6
"""As answers are written."""

Probabilities = dict[str, dict[str, float]]
"""Lesion -> class -> probability."""


@dataclass(frozen=True)
class Comparison:
    """What this installation answered on the self-test's study, beside what was expected."""

    answered: Probabilities
    expected: Probabilities
    tolerance: float

    @property
    def difference(self) -> float:
        """The largest difference of a probability; NaN where one of them is."""
        differences = [
            abs(self.answered[lesion][name] - p)
            for lesion, classes in self.expected.items()
            for name, p in classes.items()
        ]
        return float(np.max(differences))  # Python's own max passes over NaN


def selftest(bundle: Path, device: str = "cpu", accepted: Collection[str] = ()) -> Comparison:
    """Answer on the bundle's own tiny study, as on any new one, and compare with what the bundle expects.

    Args:
        bundle: its folder.
        device: to run on.
        accepted: codes of findings of the safety inspection that are accepted.

    Raises:
        BundleError: E_SELFTEST, there is no self-test, it is about other weights, or the answers differ by more than
            the tolerance; E_UNSAFE, running the bundle is not safe.
        MpmriError: whatever keeps the bundle from answering.
    """
    expected = read_expected(bundle)
    answered = answer(bundle, bundle / FOLDER, device, accepted)
    shape = {lesion: sorted(classes) for lesion, classes in answered.items()}
    wanted = {lesion: sorted(classes) for lesion, classes in expected["lesions"].items()}
    if shape != wanted:
        raise BundleError(expected=f"answers for {wanted}", found=f"answers for {shape}", code="E_SELFTEST")
    tolerance = expected["tolerance"] if torch.device(device).type == "cpu" else TOLERANCE_ELSEWHERE
    comparison = Comparison(answered, expected["lesions"], tolerance)
    if not comparison.difference <= comparison.tolerance:
        raise BundleError(
            expected=f"the authors' probabilities within {comparison.tolerance:g}",
            found=f"a difference of {comparison.difference:.4g}",
            fix="compare the versions here with those in configs/metadata.json; do not trust answers until it passes",
            code="E_SELFTEST",
        )
    return comparison


def read_expected(bundle: Path) -> dict[str, Any]:
    """Return what the bundle's self-test expects.

    Raises:
        BundleError: E_SELFTEST, there is none, it cannot be read, or it is about other weights than the bundle's.
    """
    path, fix = bundle / FOLDER / EXPECTED, f"make it with: mpmri bundle selftest {bundle} --renew"
    try:
        content = artefacts.read_json(path)
        lesions = {
            str(lesion): {str(name): float(p) for name, p in classes.items()}
            for lesion, classes in content["lesions"].items()
        }
        tolerance, digest = float(content["tolerance"]), content["weights_sha256"]
        if content["schema"] != SELFTEST_SCHEMA or not lesions or not all(lesions.values()):
            raise ValueError("another schema")
    except OSError as error:
        raise BundleError(
            expected="a self-test", found=f"no {FOLDER}/{EXPECTED}", fix=fix, code="E_SELFTEST"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(
            expected=f"{FOLDER}/{EXPECTED} of schema {SELFTEST_SCHEMA}", found="another", fix=fix, code="E_SELFTEST"
        ) from error
    if not 0 < tolerance <= TOLERANCE:
        raise BundleError(
            expected=f"a tolerance of at most {TOLERANCE:g}", found=f"{tolerance:g}", fix=fix, code="E_SELFTEST"
        )
    if not (bundle / MODEL).is_file() or digest != artefacts.file_digest(bundle / MODEL):
        raise BundleError(
            expected="a self-test of the bundle's weights", found="one of others", fix=fix, code="E_SELFTEST"
        )
    return content | {"lesions": lesions, "tolerance": tolerance}


def renew(bundle: Path, number: int = 0) -> Probabilities:
    """Write the self-test of a bundle anew: study, mask, and what this installation answers; return the answers.

    The bundle is run, so it has to be one's own. Its ``contents.json`` is renewed for these files alone.

    Args:
        bundle: its folder, with weights and configs/inference.json.
        number: of the phantom's study.

    Raises:
        BundleError, WeightsError: the weights are missing or not those of their record; the bundle cannot answer.
        ConfigError: there is no phantom of its sequences.
        OutputError: the files cannot be written; what was there stays.
    """
    reference = record_of(bundle / MODEL)
    chosen = preset_of(reference.get("protocol", "liver"), reference["fusion"].split("-"))
    names = [name for name in reference["sequences"] if name in chosen.sequences]
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch, FOLDER)
        made.mkdir()
        write_study(made, chosen, names, number)
        answered = answer(bundle, made)
        expected = {
            "schema": SELFTEST_SCHEMA,
            "command": "mpmri bundle selftest BUNDLE --renew",
            "study": {"phantom": chosen.name, "number": number},
            "weights_sha256": artefacts.file_digest(bundle / MODEL),
            "lesions": answered,
            "tolerance": TOLERANCE,
        }
        artefacts.write_json(made / EXPECTED, expected)
        _replace(bundle / FOLDER, made)
    if (bundle / CONTENTS).is_file():
        write_contents(bundle, under=f"{FOLDER}/")
    return answered


def _replace(folder: Path, made: Path) -> None:
    """Put the files of ``made`` in the place of ``folder``; what was there goes when all of them are written."""
    part = folder.with_name(f".{folder.name}.part")
    with artefacts.clear_error(folder):
        shutil.rmtree(part, ignore_errors=True)
        try:
            shutil.copytree(made, part)
            if folder.is_dir():
                shutil.rmtree(folder)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def answer(bundle: Path, study: Path, device: str = "cpu", accepted: Collection[str] = ()) -> Probabilities:
    """Return what the bundle answers on the study and mask in the folder ``study``, by its own inference.json.

    Raises:
        BundleError: E_UNSAFE, running it is not safe; E_SELFTEST, it failed in a way that no message explains.
        MpmriError: whatever keeps the bundle from answering.
    """
    from mpmri_monai.bundle.inspect import refuse_unsafe

    refuse_unsafe(bundle, accepted)
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as out:
        try:
            with _quiet():
                _run(
                    bundle / "configs" / "inference.json",
                    study=str(study / STUDY), lesion_mask=str(study / MASK), output_dir=out, device=device,
                )  # fmt: skip
            lesions = artefacts.read_json(Path(out, "result.json"))["lesions"]
            return {
                lesion["id"]: {name: round(float(p), DECIMALS) for name, p in lesion["probabilities"].items()}
                for lesion in lesions
            }
        except MpmriError:
            raise
        except Exception as error:  # a bundle's configuration may raise anything
            raise _explained(error) from error
        finally:
            torch.set_num_threads(threads)


def _run(config: Path, **overrides: Any) -> None:
    for place, handler in enumerate(artefacts.read_json(config).get("handlers", [])):
        if handler.get("_target_") == ANSWER_WRITER:  # pictures of why take longer than the answer
            overrides[f"handlers#{place}#explained"] = False
    workflow = ConfigWorkflow(str(config), workflow_type="infer", logging_file=False, run_id="inference", **overrides)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep to oneself what an answer prints and logs: it is about a study that nobody asked about."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)


def _explained(error: BaseException) -> MpmriError:
    """Return the error meant for people that MONAI wrapped, or else one that names the last cause."""
    cause: BaseException | None = error
    last = error
    while cause is not None:
        if isinstance(cause, MpmriError):
            return cause
        last, cause = cause, cause.__cause__ or cause.__context__
    return BundleError(
        expected="a bundle that answers on its self-test", found=f"{type(last).__name__}: {last}", code="E_SELFTEST"
    )
