# SPDX-License-Identifier: Apache-2.0
"""
Owns the taking apart of a header's comment: what a function does, its parameters, its result, its
errors, and the states and threads in which it may be called.

Comments are prose with few conventions: "Errors:" opens the errors, a parameter's name and a colon
its description, "Returns", "State" and "Any thread" their sentences. What fits none of these stays
description, and errors that cannot be told apart stay a paragraph: nothing is left out or made up.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Sequence, Tuple

CODE = r"(?:-E[A-Z0-9]+|NESTVIRT_E_[A-Z_]+)"
ALONE = {"-EFAULT", "-ENOMEM", "-EMFILE", "-ENFILE", "-E2BIG"}  # What is said behind is not of these.
WIDTH = 97  # Of a comment's line without " * ": a line that has room for the next word ends on purpose.
SENTENCE_END = re.compile(r"""
    (?<=[^.\s]) ([.!?]["')]?) [ \n] (?=[A-Z"'`(0-9-] | bzImage | [a-z_]+\b(?::[ ]|[ ]may[ ]be))
  | (?<=\.\.) (\.) [ \n] (?=State|Errors)  # Behind "0, 1, ..."
""", re.X)


@dataclass
class Block:
    """A part of a text: kind is text, literal, bullet or enum. A bullet's entries may have a title."""

    kind: str
    text: str = ""
    entries: List[Tuple[str, str]] = field(default_factory=list)


@dataclass
class ErrorItem:
    """Codes that share an explanation, which may be empty."""

    codes: List[str]
    text: str


@dataclass
class Comment:
    """A function's comment in its parts; a part that the comment lacks is empty."""

    description: List[Block] = field(default_factory=list)
    parameters: Dict[str, str] = field(default_factory=dict)
    returns: str = ""
    states: str = ""
    errors: List[ErrorItem] = field(default_factory=list)
    more_errors: List[str] = field(default_factory=list)  # Paragraphs.


def is_literal(lines: Sequence[str]) -> bool:
    """Whether lines are a drawing or a table: indented as no text is."""
    return bool(lines) and sum(line.startswith("  ") for line in lines) * 2 > len(lines) and \
        not re.match(r"- |\d\. ", lines[0])


def joined(lines: Sequence[str]) -> str:
    """Lines as text, with a line break only where the writer made one on purpose."""
    text = lines[0]
    for before, line in zip(lines, lines[1:]):
        room = WIDTH - len(before) - 1
        text += ("\n" if len(line.split(" ", 1)[0]) <= room else " ") + line.strip()
    return text


def entries(lines: Sequence[str], mark: str) -> List[Tuple[str, str]]:
    """The entries of a list; one that begins with a word and a full stop has it as its title."""
    found: List[List[str]] = []
    for line in lines:
        if re.match(mark, line):
            found.append([re.sub(mark, "", line)])
        else:
            found[-1].append(line.strip())
    texts = [" ".join(entry) for entry in found]
    titles = [re.match(r"([A-Z][a-z]+(?: [a-z]+)?)\. (.*)", text) for text in texts]
    return [(title.group(1), title.group(2)) if title and mark == "- " else ("", text)
            for title, text in zip(titles, texts)]


def blocks(comment: str) -> List[Block]:
    """A comment as paragraphs, lists and drawings."""
    found: List[Block] = []
    for lines in re.split(r"\n[ ]*\n", comment.strip("\n")):
        rows = lines.split("\n")
        for mark, kind in (("- ", "bullet"), (r"\d\. ", "enum")):
            first = next((at for at, row in enumerate(rows) if re.match(mark, row)), None)
            if first is not None:
                if first:
                    found.append(Block("text", joined(rows[:first])))
                found.append(Block(kind, entries=entries(rows[first:], mark)))
                break
        else:
            kind = "literal" if is_literal(rows) else "text"
            found.append(Block(kind, lines if kind == "literal" else joined(rows)))
    return found


def sentences(text: str) -> List[Tuple[str, bool]]:
    """The sentences of a paragraph, each with whether it begins on a line of its own."""
    found, start, own = [], 0, True
    for match in SENTENCE_END.finditer(text):
        found.append((text[start:match.end(1) if match.group(1) else match.end(2)].replace("\n", " "), own))
        start, own = match.end(), text[match.end() - 1] == "\n"
    if text[start:].strip():
        found.append((text[start:].replace("\n", " "), own))
    return found


def depth_zero(text: str) -> str:
    """The text with what stands in brackets or quotes blanked out; places stay."""
    for pattern in (r'"[^"]*"', r"\([^()]*\)", r"\([^()]*\)"):  # Brackets inside of brackets first.
        text = re.sub(pattern, lambda match: "~" * len(match.group()), text)
    return text


def clause_items(clause: str) -> List[ErrorItem]:
    """The items of a clause: a code after a comma, behind another's explanation, begins the next."""
    found: List[ErrorItem] = []
    flat = depth_zero(clause)
    starts = [match.start(1) for match in re.finditer(rf"(?:^|, (?:and )?|\bor )({CODE})\b", flat)]
    if not starts or starts[0] != 0:
        return found
    for start, end in zip(starts, starts[1:] + [len(clause)]):
        match = re.match(CODE, clause[start:end])
        assert match is not None
        text = re.sub(r",? ?(and|or)?\s*$", "", clause[start:end][match.end():])
        found.append(ErrorItem([match.group()], re.sub(r"^[,:]? ", "", text)))
    return found


def error_items(text: str) -> Tuple[List[ErrorItem], str]:
    """The errors of a sentence, and what of it is none. Between semicolons, codes in a row share
    what follows them; in a sentence without semicolons, each code is its own."""
    text = text.rstrip(".")
    cuts = [match.start() for match in re.finditer(";", depth_zero(text))]
    clauses = [text[start:end].strip(" ;") for start, end in zip([0] + cuts, cuts + [len(text)])]
    items: List[ErrorItem] = []
    rest: List[str] = []
    for clause in clauses:
        found = clause_items(clause)
        if not found:
            rest.append(clause)
        for at, item in enumerate(found):
            before = found[at - 1]
            is_open = at and not before.text and len(clauses) > 1 and before.codes[-1] not in ALONE and \
                not item.text.startswith("(")
            if is_open:
                items[-1].codes += item.codes
                items[-1].text = item.text
            else:
                items.append(item)
    return items, "; ".join(rest)


class Splitter:
    """Puts the sentences of a comment where they belong."""

    STATES = re.compile(r"(States? [a-z]|Any state|Any thread|Allowed states)")

    def __init__(self, parameters: Sequence[str]) -> None:
        self.names = set(parameters)
        self.found = Comment()

    def parameter(self, sentence: str, own_line: bool) -> Optional[str]:
        """The parameter that a sentence begins to describe."""
        match = re.match(r"(\w+): |(\w+) (?:\(?may be NULL|NULL )", sentence)
        name = (match.group(1) or match.group(2)) if match else None
        return str(name) if name in self.names else None

    def add_errors(self, sentence: str) -> None:
        text = re.sub(r"^Errors: ", "", sentence)
        items, rest = error_items(text)
        if not items:
            self.found.more_errors.append(text[0].upper() + text[1:])
            return
        self.found.errors += items
        if rest:
            also = re.match("those|other|what|a code", rest)
            self.found.more_errors.append(f"Also {rest}." if also else f"{rest[0].upper()}{rest[1:]}.")

    def add_states(self, sentence: str) -> None:
        cut = re.match(rf"([^;]*); ({CODE}.*)", sentence)
        if cut:
            sentence = cut.group(1) + "."
            self.add_errors(cut.group(2))
        self.found.states = f"{self.found.states} {sentence}".strip()

    def paragraph(self, text: str) -> None:
        """One paragraph; what is description stays together."""
        kept: List[str] = []
        current, in_errors = None, False
        for sentence, own_line in sentences(text):
            name = self.parameter(sentence, own_line)
            if self.STATES.match(sentence):
                self.add_states(sentence)
                current = None
            elif re.match(rf"Errors\b|{CODE}\b", sentence):
                self.add_errors(sentence)
                current, in_errors = None, in_errors or sentence.startswith("Errors")
            elif sentence.startswith("Returns "):
                self.found.returns = f"{self.found.returns} {sentence}".strip()
                current = None
            elif in_errors:
                self.found.more_errors.append(sentence)
            elif name:
                self.found.parameters[name] = re.sub(rf"^{name}: ", "", sentence)
                current = name
            elif current and not own_line:
                self.found.parameters[current] += " " + sentence
            else:
                current = None
                kept.append(sentence)
        if kept:
            self.found.description.append(Block("text", " ".join(kept)))


def split(comment: str, parameters: Sequence[str]) -> Comment:
    """A comment in its parts."""
    splitter = Splitter(parameters)
    for block in blocks(comment):
        if block.kind == "text":
            splitter.paragraph(block.text)
        else:
            splitter.found.description.append(block)
    return splitter.found


def brief(comment: str) -> str:
    """What stands behind the name of a page: the beginning of the first sentence."""
    text = comment.strip().split("\n\n", 1)[0].replace("\n", " ")
    text = sentences(text)[0][0].rstrip(".") if text else ""
    for cut in (": ", "; ", " - ", ", which ", ", so that ", ", "):
        flat = depth_zero(text)
        if len(text) > 60 and cut in flat[8:]:
            text = text[:flat.index(cut, 8)]
    if len(text) > 90:
        text = text.split(" (", 1)[0]
    first = re.match(r"[A-Z][a-z]+\b(?!\.)|[A-Z]\b", text)
    return text[:1].lower() + text[1:] if first else text
