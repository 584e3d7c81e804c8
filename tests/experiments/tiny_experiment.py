"""The smallest experiment: repetitions of one epoch, then one training that is chosen by their results."""

from mpmri_monai.experiments.plan import Run, Stage

QUICK = {"max_epochs": 2, "views": 1, "split#val": 0.0, "batch_size": 8}


class Tiny:
    name = "tiny"
    help = "For tests."
    options = ("failing",)

    def stages(self, context):
        count = context.repeats or 2
        return [
            Stage("repeats", count, _run(context, 0, count), lambda: [_run(context, i, count) for i in range(count)]),
            Stage("winner", 1, _run(context, 0, count), lambda: [_winner(context, count)], adaptive=True),
        ]

    def collect(self, context):
        return {"title": "Tiny", "headline": [f"{len(context.predictions('grade'))} rows"], "warnings": ["of a test"]}


def _run(context, repeat, count):
    options = {**QUICK, "split#repeats": count, "split#repeat": repeat}
    if context.option("failing", -1) == repeat:
        options["split#test"] = 1.0  # nobody is left to train
    return Run(f"grade/repeat{repeat}", "grade", context.bundles[0], options)


def _winner(context, count):
    """Train the repetition that has most confident predictions, a choice that needs their results."""
    tables = context.predictions("grade").groupby("repeat")["p_well"].max()
    return Run(
        "winner", "winner", context.bundles[0], {**_run(context, int(tables.idxmax()), count).options, "seed": 5}
    )
