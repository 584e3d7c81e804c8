from mpmri_monai.experiments.published import DETECTOR, GRADER, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLES, models
from mpmri_monai.sequences import fusion


def test_models_that_tables_share_are_listed_once():
    rows = [row.model for table in TABLES for row in table.rows]
    assert len(models()) == len(set(rows)) == 28 < len(rows)
    assert sum(model.start == "scratch" for model in models()) == 19


def test_the_models_that_go_from_table_to_table():
    assert TABLE_4.rows[-1].model == TABLE_5.rows[0].model == DETECTOR
    assert GRADER in [row.model for row in TABLE_6.rows]
    assert GRADER in [row.model for row in TABLE_7.rows]


def test_fusions_are_read_in_the_papers_names():
    for table in TABLES:
        for row in table.rows:
            assert fusion(row.fusion) == fusion(row.model.fusion)


def test_numbers_of_the_paper_are_shares_and_named_by_our_metrics():
    for table in TABLES:
        for row in table.rows:
            assert set(row.values) <= set(table.metrics)
            assert all(0.5 < mean < 1 for mean, _ in row.values.values())


def test_headline_numbers():
    best = {row.model.embedding: row.values for row in TABLE_7.rows if row.model.start == "pretrained"}
    assert best[32] == {"accuracy": (0.847, 0.023), "macro_f1": (0.737, None)}
    assert TABLE_5.rows[-1].values["accuracy"] == (0.981, 0.002)
