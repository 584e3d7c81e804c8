"""What would be used of a study, and what is missing, before anything is read or written."""

from __future__ import annotations

import sys
from dataclasses import replace

from rich.console import Console

from mpmri_monai.catalogue.table import PIPE_COLUMNS, print_catalogue
from mpmri_monai.errors import MpmriError
from mpmri_monai.inference.find import not_shown
from mpmri_monai.inference.model import TrainedModel
from mpmri_monai.inference.question import Question
from mpmri_monai.inference.study import FOUND, WHOLE_STUDY, DescribedStudy, catalogue_of, scan_options


def dry_run(question: Question, model: TrainedModel, detector: TrainedModel | None = None) -> bool:
    """Print which series would be which sequence and why, and whether there would be an answer; return that.

    Args:
        question: the study.
        model: would answer.
        detector: would find the lesions, where they are to be found.

    Raises:
        MpmriError: the study cannot be read at all.
    """
    console = Console(width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    options = scan_options(model, question.protocol, question.site_rules)
    print_catalogue(catalogue_of(question.study, question.nifti, model, options), console)
    print(
        f"This bundle sees {' '.join(model.fusion)} and cannot do without {' '.join(model.required) or 'one of them'}."
    )
    given = question.tells_lesions or model.answers_studies
    try:
        described = (question if given else replace(question, find=True)).described(model)
        not_found = [] if detector is None else not_shown(described.study, detector, question.allow_missing)
    except MpmriError as error:
        print(f"Would be refused: {question.without_paths(str(error))}")
        return False
    missing = [name for name in model.fusion if name not in described.roles]
    if missing:
        print(f"Would be answered without {' '.join(missing)}.")
    if not_found:
        print(f"The detector would look without {' '.join(not_found)}.")
    print(f"Would be answered: {_about_lesions(described, given)}. Nothing was written.")
    return True


def _about_lesions(described: DescribedStudy, given: bool) -> str:
    if not given:
        return "once --mask, --mask-in-study, --at or --find says where its lesions are"
    if described.source == FOUND:
        return "the lesions that the detector finds"
    if described.source == WHOLE_STUDY:
        return "the study as a whole"
    return f"{len(described.study.lesions)} lesion(s) by {described.source}"
