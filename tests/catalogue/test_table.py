import json

from mpmri_monai.catalogue.table import scan_command


def test_table_shows_roles_and_says_that_all_is_well(make, tmp_path, capsys):
    assert scan_command(make.write(tmp_path / "study", make.liver())) == 0
    shown = capsys.readouterr().out
    assert "S5" in shown and "10 x 12 x 8" in shown and "nothing is wrong" in shown
    assert "SECRET" not in shown and "2.25." not in shown


def test_problems_are_shown_and_change_the_exit_status(make, tmp_path, capsys):
    folder = make.write(tmp_path / "study", make.dynamic(delays_s=make.delays_s[:5]))
    assert scan_command(folder) == 1
    shown = capsys.readouterr().out
    assert "E_PHASE" in shown and "no volume for T2 IN OUT" in shown
    assert scan_command(folder, protocol="none") == 0


def test_json_is_the_catalogue(make, tmp_path, capsys):
    assert scan_command(make.write(tmp_path / "study", make.liver()), as_json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["schema"] == "mpmri-monai/catalogue/1" and content["roles"]["T2"].startswith("v")
