"""A report as a reader meets it: parsed HTML, not the functions behind it."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """What a report holds: its text, tags with attributes, ids in order, and images.

    Of a study's report ``one`` is the text of page one and ``rest`` that after it.
    """

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._style = [], [], False
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.words))
        self.one, _, self.rest = self.text.partition("Details: ")
        self.ids = [values["id"] for _, values in self.tags if "id" in values]
        self.images = [values for tag, values in self.tags if tag == "img"]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_data(self, data):
        if not self._style:
            self.words.append(data)
