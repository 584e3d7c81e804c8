"""Hostile ways through the files of a bundle: links, code, names, disguises, weights."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch


def _archive(victim, names: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Write the weights again, with other entries beside those of torch.save or in their place."""
    path = victim.folder / "models" / "model.pt"
    with zipfile.ZipFile(path) as old:
        entries = {name: old.read(name) for name in old.namelist()} | names
    with zipfile.ZipFile(path, "w", compression) as new:
        for name, content in entries.items():
            new.writestr(name, content)


class _Evil:
    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def link_to_a_file_outside(victim):
    (victim.folder / "docs" / "notes.md").symlink_to("/etc/hostname")


def link_to_a_folder_outside(victim):
    (victim.folder / "data").symlink_to(victim.folder.parent)


def link_to_a_file_inside(victim):
    (victim.folder / "configs" / "site.json").symlink_to("train.json")


def hard_link_to_a_file_outside(victim):
    outside = victim.folder.parent / "outside.txt"
    outside.write_text("x")
    (victim.folder / "docs" / "notes.txt").hardlink_to(outside)


def pipe_that_waits_for_ever(victim):
    os.mkfifo(victim.folder / "configs" / "site.json")


def python_in_scripts(victim):
    victim.write("scripts/__init__.py", victim.code)


def python_named_like_a_library(victim):
    victim.write("torch.py", victim.code)


def python_compiled(victim):
    victim.write("scripts/net.pyc", b"\xa7\r\r\n")


def library_for_import(victim):
    victim.write("numpy.so", b"\x7fELF")


def notebook(victim):
    victim.write("docs/demo.ipynb", "{}")


def shell_script(victim):
    victim.write("run.sh", f"#!/bin/sh\n{victim.touch}\n")


def script_that_calls_itself_a_licence(victim):
    victim.write("LICENSE", f"#!/bin/sh\n{victim.touch}\n")


def program_that_calls_itself_a_picture(victim):
    victim.write("docs/figure.png", b"\x7fELF" + bytes(100))


def program_that_calls_itself_text(victim):
    victim.write("docs/notes.txt", b"\x7fELF\xff\xfe" + bytes(100))


def page_with_a_script(victim):
    victim.write("docs/report.html", "<script>alert(1)</script>")


def plain_pickle(victim):
    victim.write("models/extra.pkl", pickle.dumps(_Evil(victim.touch)))


def pickle_in_numpy(victim):
    np.save(victim.folder / "models" / "extra.npy", np.array([{}]), allow_pickle=True)


def archive_in_the_bundle(victim):
    _archive(victim, {})
    (victim.folder / "models" / "model.pt").rename(victim.folder / "more.zip")


def path_file_of_python(victim):
    victim.write("evil.pth", "import os")


def settings_of_an_editor(victim):
    victim.write(".vscode/settings.json", "{}")


def name_with_terminal_codes(victim):
    victim.write("docs/\x1b[2J\x1b[1;1H[bold]safe.md", "x")


def name_that_is_an_option(victim):
    victim.write("-rf", "x")


def name_that_differs_in_capitals(victim):
    victim.write("configs/TRAIN.json", "{}")


def name_of_a_device(victim):
    victim.write("docs/con.txt", "x")


def name_with_unseen_direction(victim):
    victim.write("docs/\u202etxt.yp", "x")


def more_files_than_a_bundle_needs(victim):
    for number in range(2001):
        victim.write(f"docs/{number}.txt", "")


def folders_without_end(victim):
    victim.write("/".join(["a"] * 40) + "/x.txt", "x")


def image_that_unpacks_without_end(victim):
    victim.write("selftest/T2.nii.gz", gzip.compress(bytes(300 << 20), compresslevel=1))


def image_that_unpacks_without_end_after_its_end(victim):
    first = (victim.folder / "selftest" / "T2.nii.gz").read_bytes()
    victim.write("selftest/T2.nii.gz", first + gzip.compress(bytes(1 << 20)))


def image_that_is_none(victim):
    victim.write("selftest/T2.nii.gz", b"#!/bin/sh\n")


def script_that_ends_as_an_image_begins(victim):
    """The sign of a NIfTI file stands at its byte 344."""
    victim.write("selftest/T2.nii", f"#!/bin/sh\n{victim.touch}\n".encode().ljust(344) + b"n+1\0" + bytes(8))


def program_set_to_another_user(victim):
    (victim.folder / "LICENSE").chmod(0o4755)


def weights_that_call(victim):
    torch.save({"weight": torch.zeros(1), "x": _Evil(victim.touch)}, victim.folder / "models" / "model.pt")


def weights_of_the_old_form_that_call(victim):
    path = victim.folder / "models" / "model.pt"
    torch.save({"x": _Evil(victim.touch)}, path, _use_new_zipfile_serialization=False)


def weights_that_are_a_bare_pickle(victim):
    victim.write("models/model.pt", pickle.dumps(_Evil(victim.touch)))


def weights_with_a_whole_network(victim):
    torch.save(torch.nn.Linear(2, 2), victim.folder / "models" / "model.pt")


def weights_with_numpy(victim):
    torch.save({"x": np.zeros(3)}, victim.folder / "models" / "model.pt")


def weights_with_a_newer_pickle(victim):
    torch.save({"x": torch.device("cpu")}, victim.folder / "models" / "model.pt", pickle_protocol=4)


def weights_that_are_a_program(victim):
    script = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    script.save(str(victim.folder / "models" / "model.pt"))


def program_beside_the_weights(victim):
    victim.write("models/model.ts", b"PK\x03\x04")


def weights_with_a_second_pickle(victim):
    _archive(victim, {"model/DATA.PKL": pickle.dumps(_Evil(victim.touch))})


def weights_with_a_second_archive(victim):
    _archive(victim, {"other/data.pkl": pickle.dumps(_Evil(victim.touch))})


def weights_with_a_path_that_leaves(victim):
    _archive(victim, {"model/../../x": b"x"})


def weights_compressed(victim):
    _archive(victim, {}, zipfile.ZIP_DEFLATED)


def weights_with_something_in_front(victim):
    path = victim.folder / "models" / "model.pt"
    path.write_bytes(pickle.dumps(_Evil(victim.touch)) + path.read_bytes())


def weights_with_an_archive_in_front(victim):
    path = victim.folder / "models" / "model.pt"
    other = io.BytesIO()
    torch.save({"x": _Evil(victim.touch)}, other)
    path.write_bytes(other.getvalue() + path.read_bytes())


def weights_with_something_behind(victim):
    path = victim.folder / "models" / "model.pt"
    path.write_bytes(path.read_bytes() + b"x")


def weights_with_two_directories(victim):
    """One reader takes the directory that the last record names, another the one that its 64-bit twin names."""
    path = victim.folder / "models" / "model.pt"
    content = bytearray(path.read_bytes())
    twin = content.rindex(b"PK\x06\x06")
    content[twin + 48] ^= 1
    path.write_bytes(content)


def weights_whose_pickle_goes_on(victim):
    path = victim.folder / "models" / "model.pt"
    with zipfile.ZipFile(path) as archive:
        name = next(one for one in archive.namelist() if one.endswith("data.pkl"))
        content = archive.read(name)
    _archive(victim, {name: content + pickle.dumps(_Evil(victim.touch))})


def weights_cut_off(victim):
    path = victim.folder / "models" / "model.pt"
    path.write_bytes(path.read_bytes()[:-40])


WAYS = {
    link_to_a_file_outside: "E_LINK",
    link_to_a_folder_outside: "E_LINK",
    link_to_a_file_inside: "E_LINK",
    hard_link_to_a_file_outside: "E_LINK",
    pipe_that_waits_for_ever: "E_SPECIAL",
    python_in_scripts: "E_KIND",
    python_named_like_a_library: "E_KIND",
    python_compiled: "E_KIND",
    library_for_import: "E_KIND",
    notebook: "E_KIND",
    shell_script: "E_KIND",
    script_that_calls_itself_a_licence: "E_CONTENT",
    program_that_calls_itself_a_picture: "E_CONTENT",
    program_that_calls_itself_text: "E_CONTENT",
    page_with_a_script: "E_KIND",
    plain_pickle: "E_KIND",
    pickle_in_numpy: "E_KIND",
    archive_in_the_bundle: "E_KIND",
    path_file_of_python: "E_KIND",
    settings_of_an_editor: "E_NAME",
    name_with_terminal_codes: "E_NAME",
    name_that_is_an_option: "E_NAME",
    name_that_differs_in_capitals: "E_NAME",
    name_of_a_device: "E_NAME",
    name_with_unseen_direction: "E_NAME",
    more_files_than_a_bundle_needs: "E_SIZE",
    folders_without_end: "E_SIZE",
    image_that_unpacks_without_end: "E_SIZE",
    image_that_unpacks_without_end_after_its_end: "E_CONTENT",
    image_that_is_none: "E_CONTENT",
    script_that_ends_as_an_image_begins: "E_CONTENT",
    program_set_to_another_user: "E_SPECIAL",
    weights_that_call: "E_PICKLE",
    weights_of_the_old_form_that_call: "E_PICKLE",
    weights_that_are_a_bare_pickle: "E_PICKLE",
    weights_with_a_whole_network: "E_PICKLE",
    weights_with_numpy: "E_PICKLE",
    weights_with_a_newer_pickle: "E_PICKLE",
    weights_that_are_a_program: "E_TORCHSCRIPT",
    program_beside_the_weights: "E_KIND",
    weights_with_a_second_pickle: "E_ARCHIVE",
    weights_with_a_second_archive: "E_ARCHIVE",
    weights_with_a_path_that_leaves: "E_ARCHIVE",
    weights_compressed: "E_ARCHIVE",
    weights_with_something_in_front: "E_PICKLE",
    weights_with_an_archive_in_front: "E_ARCHIVE",
    weights_with_something_behind: "E_ARCHIVE",
    weights_with_two_directories: "E_ARCHIVE",
    weights_whose_pickle_goes_on: "E_PICKLE",
    weights_cut_off: "E_ARCHIVE",
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_way_is_refused_and_does_not_run(way, victim, refused):
    way(victim)
    refused(WAYS[way])


@pytest.mark.parametrize("way", [weights_that_call, weights_of_the_old_form_that_call], ids=lambda way: way.__name__)
def test_weights_are_real(way, victim):
    """Plain unpickling runs the code: the corpus is not made of straw."""
    way(victim)
    torch.load(victim.folder / "models" / "model.pt", weights_only=False)
    assert victim.canary.exists()
