import io
import json
from dataclasses import replace

from rich.console import Console

from mpmri_monai.catalogue import Caution, scan
from mpmri_monai.catalogue.table import print_catalogue, scan_command


def test_table_shows_roles_and_says_that_all_is_well(make, tmp_path, capsys):
    assert scan_command(make.write(tmp_path / "study", make.liver())) == 0
    shown = capsys.readouterr().out
    assert "S5" in shown and "10×12×8" in shown and "nothing is wrong" in shown
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


def test_a_narrow_terminal_shows_every_word_whole(make, tmp_path):
    out = io.StringIO()
    print_catalogue(scan(make.write(tmp_path / "study", make.liver())), Console(file=out, width=80))
    shown = out.getvalue()
    assert "…" not in shown and max(map(len, shown.splitlines())) <= 80
    (row,) = [line for line in shown.splitlines() if line.startswith("S5") and "×" in line]
    assert "10×12×8" in row and "axial" in row and "5: " in row


def test_one_line_for_what_all_volumes_of_a_series_share(make, tmp_path, capsys):
    catalogue = scan(make.write(tmp_path / "study", make.liver()))
    caution = Caution("W_INORDER", "took InstanceNumber")
    volumes = tuple(replace(volume, warnings=(caution,), series_number=4) for volume in catalogue.volumes)
    print_catalogue(replace(catalogue, volumes=volumes), Console(width=160))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W_INORDER")]
    assert line == f"W_INORDER  series 4, {len(volumes)} volumes: took InstanceNumber"
