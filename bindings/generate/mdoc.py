# SPDX-License-Identifier: Apache-2.0
"""
Owns the writing of mdoc(7): prose with its names marked and made cross references, and the sections
that pages are made of.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Set

from prose import Block

TOKEN = re.compile(r"""
    (?P<function>\bnestvirt_[a-z0-9_]+(?=\(\)))\(\)
  | (?P<member>\bnestvirt_[a-z0-9_]+\.(?!h\b)[a-z_]+\b)
  | (?P<name>\bnestvirt_[a-z0-9_]+\b)
  | (?P<constant>\bNESTVIRT_[A-Z0-9_]+\*?)
  | (?P<code>(?<![\w-])-E[A-Z0-9]{2,}\b)
  | (?P<page>\b[a-z][a-z0-9_-]*\(\d\))
  | (?P<header>\b[a-z]+\.h\b)
  | `(?P<quoted>[^`]+)`
  | (?P<call>(?<![\w.])[a-z_]+(?=\(\)))\(\)
  | (?P<variable>\b[a-z]+(?:_[a-z0-9]+)+\b(?!\())
""", re.X)
CLOSING = re.compile(r"[.,;:)?!]*$")


def argument(text: str) -> str:
    """A word of a macro line that means itself."""
    text = text.replace("\\", "\\e").replace('"', "\\(dq")
    if " " in text or text == "":
        return f'"{text}"'
    return f"\\&{text}" if re.fullmatch(r"[A-Z][a-z]|[A-Z]|\W+|Nm|%\w", text) else text


@dataclass
class Prose:
    """Marks the names in texts of one page."""

    page: str  # Its own name: no cross reference to it.
    own: Set[str] = field(default_factory=set)  # Functions and parameters of the page.
    pages: Set[str] = field(default_factory=set)  # What has a page, or a link to one.
    headers: Dict[str, str] = field(default_factory=dict)  # "vm.h": its page.

    def macro(self, kind: str, text: str) -> Optional[str]:
        """The macro for a name; None where it is only text."""
        if kind == "function":
            return f"Fn {text}" if text in self.own or text not in self.pages else f"Xr {text} 3"
        if kind == "name":
            return f"Vt {text}" if text in self.own or text not in self.pages else f"Xr {text} 3"
        if kind == "header":
            page = self.headers.get(text)
            return f"Xr {page} 3" if page and page != self.page else None
        if kind == "page":
            name, section = text[:-1].split("(")
            return f"Xr {name} {section}"
        if kind == "call":
            return f"Fn {text}"
        if kind == "variable":
            return f"Fa {text}" if text in self.own else None
        if kind == "quoted":
            return f"Fa {text}" if text in self.own else f"Ql {argument(text)}"
        return {"member": "Va ", "constant": "Dv ", "code": "Er "}[kind] + text.replace("-", "\\-")

    def word(self, word: str) -> Optional[str]:
        """A word that holds names, as a macro line; None for one that holds none."""
        pieces: List[str] = []
        at = 0
        for match in TOKEN.finditer(word):
            macro = self.macro(str(match.lastgroup), match.group(str(match.lastgroup)))
            if macro is None:
                continue
            if match.start() > at:
                pieces.append("No " + argument(word[at:match.start()]))
            pieces.append(macro)
            at = match.end()
        if not pieces:
            return None
        rest = word[at:]
        marks = CLOSING.search(rest)
        assert marks is not None
        if marks.start():
            pieces.append("No " + argument(rest[:marks.start()]))
            rest = marks.group()
        return "." + " Ns ".join(pieces) + "".join(" " + mark for mark in rest)

    def lines(self, text: str) -> List[str]:
        """A paragraph as lines of mdoc; a sentence begins on a line of its own."""
        found: List[str] = []
        line: List[str] = []

        def flush() -> None:
            if line:
                joined = " ".join(line)
                found.append(("\\&" if joined[0] in ".'" else "") + joined)
                line.clear()

        # What is quoted by backticks is one word, whatever is in it.
        for word in re.findall(r"(?:`[^`]*`|[^\s`])+", text):
            macro = self.word(word)
            if macro is not None:
                flush()
                found.append(macro)
            else:
                if len(" ".join([*line, word])) > 78:
                    flush()
                line.append(word.replace("\\", "\\e"))
                if re.search(r"""[^.][.!?]["')]?$""", word):
                    flush()
        flush()
        return found

    def block(self, block: Block) -> List[str]:
        """A part of a comment."""
        if block.kind == "text":
            return self.lines(block.text)
        if block.kind == "literal":
            return literal(block.text)
        lines = [".Bl -bullet" if block.kind == "bullet" else ".Bl -enum"]
        if all(title for title, _ in block.entries):
            lines = [".Bl -tag -width Ds"]
        for title, text in block.entries:
            lines += [f".It Sy {argument(title)}" if title else ".It"] + self.lines(text)
        return lines + [".El"]

    def blocks(self, blocks: Iterable[Block]) -> List[str]:
        """Parts of a comment, one below the other."""
        found: List[str] = []
        for block in blocks:
            part = self.block(block)
            if found and part[0][:3] not in (".Bd", ".Bl"):
                found.append(".Pp")
            found += part
        return found


def literal(text: str) -> List[str]:
    """Text that keeps its lines."""
    lines = [line.replace("\\", "\\e") for line in text.split("\n")]
    return [".Bd -literal -offset indent", *("\\&" + line if line.startswith((".", "'")) else line
                                             for line in lines), ".Ed"]


def references(names: Iterable[str]) -> List[str]:
    """Cross references, the last one without a comma."""
    found = [f".Xr {name} {section}" for section, name in
             sorted({("7" if name.endswith("(7)") else "3", name.replace("(7)", "")) for name in names})]
    return [line + " ," for line in found[:-1]] + found[-1:]
