import json
from pathlib import Path

from mpmri_monai.experiments.arguments import context_of
from mpmri_monai.experiments.collect import collected

BUNDLE = Path(__file__).resolve().parents[2] / "bundles" / "hcc_grade"
PLAN = {"stages": [{"count": 1, "seconds": None, "runs": []}]}


class Undefined:
    name = "undefined"

    def collect(self, context):
        return {"title": "t", "headline": [], "figures": [{"data": {"x": (float("nan"), 1.0, float("inf"))}}]}


def _content(manifest, out, left_out=None):
    return collected(Undefined(), context_of([BUNDLE], manifest, out), PLAN, left_out or {})


def test_numbers_that_are_not_defined_are_null(tiny_cohort, tmp_path):
    content = _content(tiny_cohort, tmp_path)
    assert content["figures"][0]["data"]["x"] == [None, 1.0, None]
    assert content["plan"]["seconds"] is None


def test_lesions_without_a_grade_are_counted(tiny_cohort, tmp_path):
    manifest = json.loads(tiny_cohort.read_text())
    before = {row[0]: row[1] for row in _content(tiny_cohort, tmp_path)["cohort"]["flow"]}
    assert not any(name.startswith("lesions without") for name in before)
    manifest["studies"][0]["lesions"][0]["labels"] = {}
    changed = tiny_cohort.with_name("unlabelled.json")
    changed.write_text(json.dumps(manifest))
    cohort = _content(changed, tmp_path)["cohort"]
    assert cohort["flow"][-1] == ["lesions without a grade, not counted in hcc_grade", 1]
    assert sum(row[2] for row in cohort["classes"]["rows"]) == before["lesions"] - 1


def test_nothing_in_the_record_names_a_folder(tiny_cohort, tmp_path):
    text = json.dumps(_content(tiny_cohort, tmp_path / "out", {"S1": f"cannot read {tiny_cohort}"}), ensure_ascii=False)
    assert str(tmp_path) not in text and str(tiny_cohort.parent) not in text and "…/manifest.json" in text
