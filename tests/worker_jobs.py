"""Jobs that tests send to worker processes; at the top level of a module, so that a process can find them."""

import os
import signal
import time
from pathlib import Path


def double(number):
    return 2 * number


def note(job):
    """Append this process and the job to a file, wait, and return the job."""
    folder, number, seconds = job
    with (Path(folder) / "began.txt").open("a") as file:
        file.write(f"{os.getpid()} {number}\n")
    time.sleep(seconds)
    return number


def die_once(folder):
    """End this process as an out-of-memory killer would, the first time; then return."""
    marker = Path(folder) / "died.txt"
    if not marker.exists():
        marker.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    return "done"


def die_or_wait(job):
    """End this process every time for "die"; else wait and return this process."""
    if job == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.3)
    return os.getpid()


def clean_up_late(folder):
    """Work long, and leave a file behind when the work is ended by an error."""
    (Path(folder) / "began.txt").write_text(str(os.getpid()))
    try:
        time.sleep(60)
    finally:
        (Path(folder) / "cleaned.txt").write_text("")


class Unsendable(Exception):
    def __reduce__(self):
        raise TypeError("cannot be pickled")


def raise_unsendable(_):
    raise Unsendable("what went wrong")
