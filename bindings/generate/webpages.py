# SPDX-License-Identifier: Apache-2.0
"""
Owns the reference as HTML: mandoc's rendering of the manual pages, an index by header, and the guides.

mandoc renders and links the pages. What it cannot know is done here: links that lead to another
name of a page, or to manuals of the system, and those from a constant to where it is listed.
"""

import html
import re
import subprocess
from pathlib import Path
from typing import Dict, List, Tuple

import prose
from headers import Header
from pages import DEVICES, OVERVIEW, Page, Reference, header_page

ROOT = Path(__file__).resolve().parents[2]
STYLE = "style.css"
GUIDES = {"c": ("C", "examples/guide.md"), "python": ("Python", "bindings/python/guide.md"),
          "go": ("Go", "bindings/go/guide.md")}


def file_of(page: str) -> str:
    return f"{page}.7.html" if page == DEVICES else f"{page}.3.html"


def whole(title: str, navigation: str, body: str) -> str:
    """A file around its body."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<link rel="stylesheet" href="{STYLE}">
</head>
<body>
<nav>{navigation}</nav>
<main>
{body}
</main>
</body>
</html>
"""


def link(target: str, text: str) -> str:
    return f'<a href="{target}">{html.escape(text)}</a>'


class Site:
    """All HTML files of a reference."""

    def __init__(self, reference: Reference, pages: Path, version: str) -> None:
        self.reference = reference
        self.pages = pages
        self.version = version
        self.homes = {name: page.name for page in reference.pages.values()
                      for name in [page.name, *page.aliases]}
        self.lists = {constant.name: header_page(constant.header)
                      for constant in reference.api.constants.values()}

    def files(self) -> Dict[str, str]:
        found = {file_of(page.name): self.page(page) for page in self.reference.pages.values()}
        style = (Path(__file__).resolve().parent / STYLE).read_text(encoding="utf-8")
        guides = self.guides()
        found.update({name: text for name, _, text in guides})
        found["index.html"] = self.index([(name, title) for name, title, _ in guides])
        found[STYLE] = style
        return found

    def navigation(self, page: Page) -> str:
        parts = [link("index.html", f"libnestvirt {self.version}")]
        if page.kind in ("functions", "structure"):
            parts.append(link(file_of(header_page(page.header)), f"nestvirt/{page.header}"))
        return " / ".join(parts)

    def page(self, page: Page) -> str:
        path = self.pages / f"man{page.section}" / page.file
        done = subprocess.run(["mandoc", "-T", "html", "-O", "fragment,man=%N.%S.html", path],
                              capture_output=True, text=True, check=True)
        body = re.sub(r'<table class="head">.*?</table>\n?', "", done.stdout, flags=re.S)
        body = re.sub(r'<a class="Xr" href="([^"]+)\.(\d)\.html"([^>]*)>(.*?)</a>', self.reference_link, body)
        body = re.sub(r'(?<!">)<code class="Dv">(NESTVIRT_\w+)</code>',  # Not within a link.
                      lambda match: self.constant(match, page), body)
        return whole(page.name, self.navigation(page), body)

    def reference_link(self, match: "re.Match[str]") -> str:
        """A link to the page that a name stands on; none to what is not ours."""
        name, section, more, text = match.groups()
        if section not in "37" or name not in self.homes:
            return f'<span class="Xr">{text}</span>'
        return f'<a class="Xr" href="{file_of(self.homes[name])}"{more}>{text}</a>'

    def constant(self, match: "re.Match[str]", page: Page) -> str:
        """A constant, with a link to where it is listed."""
        name = match.group(1)
        home = self.lists.get(name, page.name)
        if home == page.name:
            return str(match.group())
        return f'<a href="{file_of(home)}#{name}"><code class="Dv">{name}</code></a>'

    def index(self, guides: List[Tuple[str, str]]) -> str:
        """The beginning: guides, then each header with its pages."""
        rows = [f"<h1>libnestvirt {self.version}</h1>",
                "<p>Virtual machines of Linux KVM inside your own program. Begin with a guide, or with ",
                link(file_of(OVERVIEW), "the rules that hold for every function") + ".</p>"]
        if guides:
            rows += ["<h2>Guides</h2>", "<ul>", *(f"<li>{link(*guide)}</li>" for guide in guides), "</ul>"]
        if DEVICES in self.reference.pages:
            rows += ["<h2>Devices</h2>", "<p>" + link(file_of(DEVICES), "All kinds of devices and their properties")
                     + ".</p>"]
        rows.append("<h2>Headers</h2>")
        rows.append('<p class="jump">' + " ".join(
            link(f"#{header.name}", header.name) for header in self.sorted_headers()) + "</p>")
        for header in self.sorted_headers():
            rows += [f'<h3 id="{header.name}">{link(file_of(header_page(header.name)), header.name)}</h3>',
                     f"<p>{html.escape(upper(prose.brief(header.comment)))}.</p>", '<table class="list">']
            rows += [self.row(page) for page in self.reference.of_header(header.name)]
            rows.append("</table>")
        return whole(f"libnestvirt {self.version}", f"libnestvirt {self.version}", "\n".join(rows))

    def sorted_headers(self) -> List[Header]:
        return sorted(self.reference.api.headers, key=lambda header: header.name)

    def row(self, page: Page) -> str:
        names = [page.name, *page.aliases] if page.kind == "functions" else [f"struct {page.name}"]
        cells = "<br>".join(link(file_of(page.name), name) for name in names)
        text = re.search(r'<div class="Nd">(.*?)</div>|<span class="Nd">(.*?)</span>', self.page(page), re.S)
        words = next(part for part in text.groups() if part) if text else ""
        return f"<tr><td>{cells}</td><td>{words}</td></tr>"

    def guides(self) -> List[Tuple[str, str, str]]:
        """(file, title, HTML) of the guides that are there, if the program that renders them is."""
        try:
            import markdown  # type: ignore[import]
        except ImportError:
            print("no guides in HTML: python3-markdown is not installed")
            return []
        found = []
        for key, (language, place) in GUIDES.items():
            path = ROOT / place
            if not path.exists():
                print(f"no guide for {language}: {place} is missing")
                continue
            text = re.sub(r"^<!-- test: .*-->\n", "", path.read_text(encoding="utf-8"), flags=re.M)
            body = markdown.markdown(text, extensions=["fenced_code", "tables", "toc"])
            body = re.sub(r"<code>(nestvirt_\w+)(\(\))?</code>", self.guide_link, body)
            body = re.sub(r'href="(?!https?:|#|mailto:)([^"]+)"', self.source_link, body)
            title = re.search(r"^# (.+)$", text, re.M)
            name = f"guide-{key}.html"
            found.append((name, title.group(1) if title else language,
                          whole(f"Guide for {language}", link("index.html", f"libnestvirt {self.version}"), body)))
        return found

    def guide_link(self, match: "re.Match[str]") -> str:
        name = match.group(1)
        if name not in self.homes:
            return str(match.group())
        return f'<a href="{file_of(self.homes[name])}">{match.group()}</a>'

    def source_link(self, match: "re.Match[str]") -> str:
        """A link of a guide: to a header its page, to another guide that, else to the index."""
        target = match.group(1).split("#")[0]
        header = re.search(r"nestvirt/(\w+\.h)$", target)
        if header and header_page(header.group(1)) in self.homes:
            return f'href="{file_of(header_page(header.group(1)))}"'
        for key, (_, place) in GUIDES.items():
            is_named = target.endswith("guide.md") and Path(place).parent.name == Path(target).parent.name
            if is_named and (ROOT / place).exists():
                return f'href="guide-{key}.html"'
        return 'href="index.html"'


def upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def files(reference: Reference, pages: Path, version: str) -> Dict[str, str]:
    """The text of each file by its name."""
    return Site(reference, pages, version).files()
