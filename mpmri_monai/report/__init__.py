"""Reports for people: of a run, of an experiment, their figures, and the picture of an answer."""

from mpmri_monai.report.answer import LesionAnswer, answer_picture, draw_answer, draw_answers
from mpmri_monai.report.experiment import write_experiment_report
from mpmri_monai.report.run_report import write_report

__all__ = ["LesionAnswer", "answer_picture", "draw_answer", "draw_answers", "write_experiment_report", "write_report"]
