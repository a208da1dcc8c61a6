# SPDX-License-Identifier: Apache-2.0
"""Owns the reading of pages: their blocks of code, and what comments above them say to the test."""

import re
from dataclasses import dataclass
from typing import List

LANGUAGES = ("c", "sh", "python", "go")
SKIPS_MAX = 2  # Of one page.
FENCE = re.compile(r"```(\w*)\s*$")
NOTE = re.compile(r"<!-- test: (.*?) *-->\s*$")
PLACE = re.compile(r"(before|after) (nestvirt_\w+)$")


class Bad(Exception):
    """A page that cannot be tested as it is written; the text says where and why."""


@dataclass
class Block:
    """A block of code of a page; `line` is that of its first line of code."""

    page: str
    line: int
    language: str
    text: str
    note: str = ""  # Of the comment directly above the fence.

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def skip(self) -> str:
        """Why it is not run, "" if it is."""
        return self.note[len("skip "):].strip() if self.note.startswith("skip ") else ""

    @property
    def is_program(self) -> bool:
        if self.language == "c":
            return bool(re.search(r"^int main\(", self.text, re.M))
        return self.language == "go" and self.text.startswith("package main")

    @property
    def words(self) -> List[str]:
        """What the comment behind main says: the name of the program, then its arguments."""
        found = re.search(r"\bmain\(.*(?:/\*|//) *(.*?) *(?:\*/)?$", self.text, re.M)
        return found.group(1).split() if found else []

    @property
    def name(self) -> str:
        """The program's name: of the comment behind main, else by its line."""
        return self.words[0] if self.words else f"block_{self.line}"


def read(text: str, page: str) -> List[Block]:
    """The blocks of a page in the languages that are tested."""
    found: List[Block] = []
    note, language, first = "", None, 0
    lines: List[str] = []
    for number, line in enumerate(text.split("\n"), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, first, lines = fence.group(1), number + 1, []
        elif language is not None and line.rstrip() == "```":
            if language in LANGUAGES:
                found.append(Block(page, first, language, "\n".join(lines) + "\n", note))
            elif note:
                raise Bad(f"{page}:{first}: a note to the test above a block that is not tested")
            language, note = None, ""
        elif language is not None:
            lines.append(line)
        else:
            match = NOTE.match(line)
            if note and not match:
                raise Bad(f"{page}:{number}: a note to the test stands directly above a fence")
            note = match.group(1) if match else ""
    if language is not None:
        raise Bad(f"{page}:{first}: the block does not end")
    check_notes(found, page)
    return found


def check_notes(found: List[Block], page: str) -> None:
    """Notes are known ones, and few blocks are exempt."""
    for block in found:
        if block.note and not block.skip and not (PLACE.match(block.note) and block.language == "c"):
            raise Bad(f"{block.place}: the note to the test is unknown: {block.note}")
    skips = [block for block in found if block.skip]
    if len(skips) > SKIPS_MAX:
        raise Bad(f"{page}: {len(skips)} blocks are exempt, more than {SKIPS_MAX}")
