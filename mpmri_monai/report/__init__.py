"""Reports for people: the report of a run, its figures, and the picture of an answer."""

from mpmri_monai.report.answer import LesionAnswer, answer_picture, draw_answer, draw_answers
from mpmri_monai.report.run_report import write_report

__all__ = ["LesionAnswer", "answer_picture", "draw_answer", "draw_answers", "write_report"]
