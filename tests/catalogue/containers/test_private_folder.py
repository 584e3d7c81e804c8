"""Folders for what was unpacked: of one owner, seen by nobody else, gone with the process however it ends."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from mpmri_monai.catalogue.containers.private_folder import PrivateFolder
from mpmri_monai.errors import OutputError
from tests.catalogue.containers.conftest import unpacked


def test_a_private_folder_goes_with_its_owner(cache):
    folder = PrivateFolder("unpacked")
    path = folder.path
    assert path.stat().st_mode & 0o777 == 0o700
    (path / "file").touch()
    other = PrivateFolder("unpacked")
    assert path.is_dir() and other.path.is_dir(), "the folder of a living owner is no leftover"
    del folder
    assert not path.exists() and other.path.is_dir()
    other.remove()
    other.remove()
    assert not unpacked(cache)


def test_a_private_folder_does_not_travel(cache):
    import pickle

    with pytest.raises(TypeError, match="scan it again there"):
        pickle.dumps(PrivateFolder("unpacked"))


def test_a_forked_process_does_not_remove_the_folder(cache):
    folder = PrivateFolder("unpacked")
    child = os.fork()
    if not child:
        del folder
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert folder.path.is_dir()


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "os.kill(os.getpid(), 9)"])
def test_folders_are_removed_at_exit_or_after_a_kill(cache, end):
    program = f"""
        import os
        from mpmri_monai.catalogue.containers.private_folder import PrivateFolder
        folder = PrivateFolder("unpacked")
        (folder.path / "files").mkdir()
        print(folder.path, flush=True)
        {end}
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    variables = {**os.environ, "MPMRI_CACHE": str(cache)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables)
    path = cache / "unpacked" / done.stdout.strip().rsplit("/", maxsplit=1)[-1]
    assert path.exists() == ("kill" in end), done.stderr
    PrivateFolder("unpacked").remove()
    assert not unpacked(cache)


def test_a_cache_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MPMRI_CACHE", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="E_OUTPUT"):
        PrivateFolder("unpacked")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_takes_its_files_along(cache, number):
    program = f"""
        import os, signal, time
        signal.signal({int(number)}, signal.SIG_DFL)  # whoever runs the tests may have it ignored (nohup)
        from mpmri_monai import cli
        from mpmri_monai.catalogue.containers.private_folder import PrivateFolder

        def ended():
            folder = PrivateFolder("unpacked")
            (folder.path / "file").write_text("of a patient")
            os.kill(os.getpid(), {int(number)})
            time.sleep(60)

        cli.app = ended
        cli.main()
    """
    ended = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert ended.returncode == 128 + number
    assert not unpacked(cache)
