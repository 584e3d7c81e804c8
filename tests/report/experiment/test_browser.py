"""The reports in a real browser: nothing is fetched, nothing fails, every figure is seen.

Headless Chromium is driven through its DevTools protocol over a pipe, JSON messages that end with a NUL byte.
"""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

import pytest

from mpmri_monai.report import write_experiment_report, write_report
from mpmri_monai.sequences import TASKS

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 60.0
"""Longest wait for the browser; a loaded machine may need many."""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt install chromium)")


def _pipe():
    """Return the ends of a pipe, numbered above those that the browser expects."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high


class Browser:
    """A headless Chromium with one page, and all that the page asked for or complained about."""

    def __init__(self, folder):
        to_browser, self._send = _pipe()
        self._receive, from_browser = _pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={folder}"]
        # The browser reads its orders from file 3 and answers on file 4, and only a shell numbers files as it likes.
        numbered = [
            "bash",
            "-c",
            'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"',
            "bash",
            str(to_browser),
            str(from_browser),
        ]
        self.process = subprocess.Popen(
            [*numbered, CHROMIUM, *options, "--remote-debugging-pipe", "about:blank"],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._events, self._number = b"", [], 0
        pages = [target for target in self.ask("Target.getTargets")["targetInfos"] if target["type"] == "page"]
        attached = self.ask("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    _session = None

    def ask(self, method, **parameters):
        """Send a command and return its result; what happens meanwhile is kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._send, json.dumps(message).encode() + b"\0")
        answer = self._wait(lambda found: found.get("id") == message["id"])
        assert "error" not in answer, answer
        return answer["result"]

    def _wait(self, wanted):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            while b"\0" in self._rest:
                line, self._rest = self._rest.split(b"\0", 1)
                found = json.loads(line)
                if "method" in found:
                    self._events.append(found)
                if wanted(found):
                    return found
            if select.select([self._receive], [], [], 1.0)[0]:
                self._rest += os.read(self._receive, 1 << 20)
            assert self.process.poll() is None, "the browser ended"
        raise TimeoutError("the browser did not answer")

    def look(self, page):
        """Load a file and return (requests for other things, complaints) of the page."""
        self._events = []
        address = page.as_uri()
        self.ask("Page.navigate", url=address)
        self._wait(lambda found: found.get("method") == "Page.loadEventFired")
        self.evaluate("new Promise(done => setTimeout(done, 200))")  # complaints may come after the load
        asked, complaints = [], []
        for event in self._events:
            values = event["params"]
            if event["method"] == "Network.requestWillBeSent":
                asked.append(values["request"]["url"])
            elif event["method"] == "Runtime.exceptionThrown":
                complaints.append(values["exceptionDetails"]["text"])
            elif event["method"] == "Log.entryAdded":
                complaints.append(values["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled":
                complaints.append(values["type"])
        return [url for url in asked if url != address and not url.startswith("data:")], complaints

    def evaluate(self, expression):
        """Return the value of a JavaScript expression in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return found["result"].get("value")

    def images(self):
        """Return, for each image, its words, natural width, and width and height as shown."""
        return self.evaluate(
            "[...document.images].map(i => ({alt: i.alt, natural: i.complete ? i.naturalWidth : 0,"
            " width: i.getBoundingClientRect().width, height: i.getBoundingClientRect().height}))"
        )

    def pdf(self):
        """Return the page as it is printed."""
        return base64.b64decode(self.ask("Page.printToPDF", preferCSSPageSize=True)["data"])

    def close(self):
        """End the browser and wait for it."""
        try:
            self._session = None
            self.ask("Browser.close")
        except (AssertionError, OSError, TimeoutError):
            self.process.kill()
        self.process.wait(SECONDS)
        os.close(self._send)
        os.close(self._receive)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    opened = Browser(tmp_path_factory.mktemp("chromium"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory, make_content):
    return write_experiment_report(tmp_path_factory.mktemp("experiment"), make_content())


@pytest.fixture
def report(tmp_path, written):
    """The report alone, away from its figures folder, to look at or to spoil."""
    return shutil.copy(written, tmp_path / "report.html")


def test_the_report_asks_for_nothing_and_nothing_fails(browser, report):
    assert browser.look(report) == ([], [])
    assert browser.evaluate("document.title").endswith("experiment report")


def test_every_figure_is_seen(browser, report, make_content):
    browser.look(report)
    images = browser.images()
    assert len(images) == len(make_content()["figures"])
    for image in images:
        assert image["natural"] > 100 and image["width"] > 100 and image["height"] > 100, image["alt"]


def test_the_report_of_a_run_asks_for_nothing_and_shows_every_figure(browser, tmp_path, build, store):
    build.run(tmp_path, store)
    report = write_report(tmp_path, store, build.manifest(store, "truth.csv"), TASKS["hcc_grade"], "T2-OUT-S4")
    assert browser.look(report) == ([], [])
    assert len(browser.images()) >= 9
    assert all(image["natural"] > 100 and image["height"] > 50 for image in browser.images())


@pytest.mark.parametrize("width", [390, 1280])
def test_no_page_is_wider_than_its_screen(browser, report, width):
    browser.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    browser.look(report)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_the_first_page_ends_before_the_statistics(browser, report):
    """Printed on A4, what a radiologist reads fits on one page, and the protocol starts the next one."""
    browser.ask("Emulation.setEmulatedMedia", media="print")
    browser.ask("Emulation.setDeviceMetricsOverride", width=680, height=1000, deviceScaleFactor=1, mobile=False)
    browser.look(report)
    height = browser.evaluate("document.getElementById('first-page').getBoundingClientRect().height")
    browser.ask("Emulation.setEmulatedMedia", media="")
    assert 300 < height < 269 / 25.4 * 96  # A4 less the margins, in CSS pixels
    assert browser.pdf().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("fault", "asked", "complained"),
    [
        ('<img alt="x" src="http://127.0.0.1:9/tracker.png">', ["http://127.0.0.1:9/tracker.png"], True),
        ('<link rel="stylesheet" href="http://127.0.0.1:9/fonts.css">', ["http://127.0.0.1:9/fonts.css"], True),
        ("<style>body { background: url(http://127.0.0.1:9/a.png) }</style>", ["http://127.0.0.1:9/a.png"], True),
        ("<script>nothing.like.this()</script>", [], True),
        ("<script>console.error('wrong')</script>", [], True),
    ],
)
def test_a_fault_in_a_page_is_caught(browser, report, fault, asked, complained):
    report.write_text(report.read_text().replace("</main>", f"{fault}</main>"))
    found, complaints = browser.look(report)
    assert found == asked and bool(complaints) == complained


def test_a_broken_figure_is_caught(browser, report):
    html = report.read_text()
    start = html.index("base64,") + len("base64,")
    report.write_text(html[:start] + "AAAA" + html[start + 400 :])
    browser.look(report)
    assert [image["natural"] for image in browser.images()].count(0) == 1


def test_a_figure_of_no_size_is_caught(browser, report):
    report.write_text(report.read_text().replace("</style>", "figure img { height: 0 !important; }</style>"))
    browser.look(report)
    assert {image["height"] for image in browser.images()} == {0}
