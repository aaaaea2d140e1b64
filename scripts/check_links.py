#!/usr/bin/env python3
"""Checks the links between the repository's Markdown files: the files and headings of all links must exist.

Links to other hosts are not checked. With a folder as argument, the links between its HTML pages are checked, too.
The exit code is 0 if all links are right, else 1.
"""

import functools
import html.parser
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*\s*$", re.MULTILINE)


def anchors(text):
    """Returns the link targets of a Markdown page's headings."""
    found = set()
    for heading in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).strip().replace(" ", "-"))
    return found


def broken_in(page):
    text = page.read_text(encoding="utf-8")
    for target in LINK.findall(CODE.sub("", text)):
        link = urlsplit(target)
        if link.scheme or link.netloc:
            continue
        file = (page.parent / unquote(link.path)).resolve() if link.path else page
        if not file.exists():
            yield f"{page}: {target}: no such file"
        elif link.fragment and file.suffix == ".md" and link.fragment not in anchors(file.read_text(encoding="utf-8")):
            yield f"{page}: {target}: no such heading"


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.ids = [], set()

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src") and value and tag != "link":
                self.links.append(value)


@functools.cache
def read_page(file):
    page = Page()
    page.feed(file.read_text(encoding="utf-8"))
    return page


def broken_in_site(site):
    for file in sorted(site.rglob("*.html")):
        for target in read_page(file).links:
            link = urlsplit(target)
            if link.scheme or link.netloc or not (link.path or link.fragment):
                continue
            other = (file.parent / unquote(link.path)).resolve() if link.path else file
            if not other.exists():
                yield f"{file}: {target}: no such file"
            elif link.fragment and other.suffix == ".html" and unquote(link.fragment) not in read_page(other).ids:
                yield f"{file}: {target}: no such place in the page"


def main():
    files = subprocess.run(["git", "ls-files", "*.md"], check=True, capture_output=True, text=True).stdout.split()
    problems = [problem for file in files for problem in broken_in(Path(file))]
    for site in sys.argv[1:]:
        problems += broken_in_site(Path(site))
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    print(f"links of {len(files)} Markdown files checked, {len(problems)} broken")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
