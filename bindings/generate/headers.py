# SPDX-License-Identifier: Apache-2.0
"""
Owns the reading of the public headers for all that is made from them: what they declare, in the order
of the headers, with the comments.

Declarations are parsed by pycparser; comments, which it does not see, are found by their lines: that
of a declaration ends on the line above it, or begins behind it. Declarations that follow each other
without a comment or a blank line between them share the first one's comment: they are one group.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from pycparser import c_ast, c_parser

INCLUDE = Path(__file__).resolve().parents[2] / "include"
UMBRELLA = "nestvirt.h"

# The names of stdint.h and stddef.h that public headers use, as the parser needs to know them.
PRELUDE = "".join(f"typedef {kind} {name};\n" for kind, name in (
    ("signed char", "int8_t"), ("short", "int16_t"), ("int", "int32_t"), ("long", "int64_t"),
    ("unsigned char", "uint8_t"), ("unsigned short", "uint16_t"), ("unsigned int", "uint32_t"),
    ("unsigned long", "uint64_t"), ("unsigned long", "size_t")))

BLOCK_COMMENT = re.compile(r"/\*.*?\*/", re.S)
C_PLUS_PLUS = re.compile(r'#ifdef __cplusplus\n(?:extern "C" \{|\})\n#endif\n')


@dataclass
class Type:
    """A C type: a base, `void`, `char`, `int`, `size_t`, `uint32_t`, `struct nestvirt_vm` or a
    function, and how it is pointed to."""

    base: str
    pointers: int = 0
    const: bool = False  # What is pointed to in the end is constant.
    count: Optional[int] = None  # Length of an array, of a field only.
    result: Optional["Type"] = None  # Of a pointer to a function, with its parameters.
    parameters: List["Parameter"] = field(default_factory=list)

    @property
    def struct(self) -> Optional[str]:
        """The structure's name, if it is one or points to one."""
        return self.base[len("struct "):] if self.base.startswith("struct ") else None

    @property
    def is_function(self) -> bool:
        return self.result is not None

    def c(self, name: str = "") -> str:
        """How C writes a declaration of that type."""
        if self.result is not None:
            inside = ", ".join(p.type.c(p.name) for p in self.parameters) or "void"
            return f"{self.result.c(f'(*{name})')}({inside})"
        text = ("const " if self.const else "") + self.base + " " + "*" * self.pointers + name
        return text.rstrip() + (f"[{self.count}]" if self.count else "")


@dataclass
class Parameter:
    """A parameter of a function, or a field of a structure."""

    name: str
    type: Type
    comment: str = ""


@dataclass
class Constant:
    """An enumerator."""

    name: str
    value: int
    header: str
    comment: str = ""  # Its own.
    group: str = ""  # The first constant of its enumeration.
    group_comment: str = ""
    is_bit: bool = False  # Written as 1 << n.


@dataclass
class Struct:
    """A structure with its fields; without, it is a handle that only the library looks inside of."""

    name: str
    header: str
    fields: List[Parameter] = field(default_factory=list)
    comment: str = ""

    @property
    def is_sized(self) -> bool:
        """Whether it begins with the caller's size, as all do but those inside of others."""
        return bool(self.fields) and self.fields[0].name == "size"


@dataclass
class Function:
    """A function; `group` is the first function of those that share its comment."""

    name: str
    header: str
    result: Type
    parameters: List[Parameter]
    comment: str = ""
    group: str = ""

    @property
    def is_fallible(self) -> bool:
        """Whether a negative result is a code of errno.h or the library's."""
        return self.result.pointers == 0 and self.result.base == "int" and \
            not self.name.startswith("nestvirt_error_get_")

    @property
    def has_error(self) -> bool:
        return bool(self.parameters) and self.parameters[-1].name == "ret_error"


@dataclass
class Header:
    """One header: its name and its opening comment."""

    name: str
    comment: str


@dataclass
class Api:
    """All of it, each in the order of declaration."""

    headers: List[Header] = field(default_factory=list)
    constants: Dict[str, Constant] = field(default_factory=dict)
    structs: Dict[str, Struct] = field(default_factory=dict)
    functions: Dict[str, Function] = field(default_factory=dict)

    @property
    def handles(self) -> List[str]:
        return [name for name, struct in self.structs.items() if not struct.fields]

    @property
    def records(self) -> List[Struct]:
        """The structures with fields, those inside of others first."""
        found = [struct for struct in self.structs.values() if struct.fields]
        return sorted(found, key=lambda struct: struct.is_sized)


def comment_text(comment: str) -> str:
    """A comment without its stars; lines keep their breaks and their deeper indentation."""
    body = comment[2:-2]
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() if number else line.strip()
             for number, line in enumerate(body.split("\n"))]
    text = "\n".join(lines).strip("\n").rstrip()
    if not comment.startswith("/*\n"):  # Text that starts behind the slash is indented by it.
        text = "\n".join(line.strip() for line in text.split("\n"))
    return text


class Comments:
    """The comments of one header, by the lines where they begin and end."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.ending: Dict[int, str] = {}
        self.trailing: Dict[int, str] = {}
        for match in BLOCK_COMMENT.finditer(text):
            first = text.count("\n", 0, match.start()) + 1
            last = text.count("\n", 0, match.end()) + 1
            words = comment_text(match.group())
            if self.lines[first - 1].strip().startswith("/*"):
                self.ending[last] = words
            else:
                self.trailing[first] = words

    def above(self, line: int) -> str:
        return self.ending.get(line - 1, "")

    def is_attached(self, line: int) -> bool:
        """Whether a declaration stands directly above that line."""
        return line >= 2 and bool(self.lines[line - 2].strip()) and line - 1 not in self.ending

    def of(self, line: int) -> str:
        """The comment of a field or an enumerator."""
        return self.trailing.get(line) or self.above(line)


def value_of(node: Optional[c_ast.Node], previous: int) -> int:
    """The value of an enumerator."""
    if node is None:
        return previous + 1
    if isinstance(node, c_ast.Constant):
        return int(node.value.rstrip("uUlL"), 0)
    if isinstance(node, c_ast.UnaryOp) and node.op == "-":
        return -value_of(node.expr, 0)
    if isinstance(node, c_ast.BinaryOp) and node.op == "<<":
        return value_of(node.left, 0) << value_of(node.right, 0)
    raise ValueError(f"{node.coord}: no constant that this reader knows")


def type_of(node: c_ast.Node, pointers: int = 0) -> Type:
    """A type of the tree; a function is always behind one pointer."""
    if isinstance(node, c_ast.ArrayDecl):
        found = type_of(node.type, pointers)
        found.count = value_of(node.dim, 0)
        return found
    if isinstance(node, c_ast.PtrDecl):
        if isinstance(node.type, c_ast.FuncDecl):
            return Type("function", result=type_of(node.type.type), parameters=parameters_of(node.type))
        return type_of(node.type, pointers + 1)
    if isinstance(node, c_ast.TypeDecl):
        inner = node.type
        name = f"struct {inner.name}" if isinstance(inner, c_ast.Struct) else " ".join(inner.names)
        return Type(name, pointers, "const" in node.quals)
    raise ValueError(f"{node.coord}: no type that this reader knows")


def parameters_of(node: c_ast.FuncDecl) -> List[Parameter]:
    """The parameters of a function."""
    if node.args is None:
        return []
    found = [Parameter(one.name or "", type_of(one.type)) for one in node.args.params]
    if len(found) == 1 and found[0].type == Type("void"):
        return []
    return found


class Reader:
    """Adds the declarations of one header to the rest."""

    def __init__(self, api: Api, name: str, text: str) -> None:
        self.api = api
        self.name = name
        self.comments = Comments(text)
        self.group: Tuple[str, str] = ("", "")
        opening = [words for line, words in sorted(self.comments.ending.items()) if line > 1]
        api.headers.append(Header(name, opening[0] if opening else ""))

    def declaration(self, node: c_ast.Decl, line: int) -> None:
        if isinstance(node.type, c_ast.Enum):
            self.enumeration(node.type, line)
        elif isinstance(node.type, c_ast.Struct):
            self.structure(node.type, line)
        elif isinstance(node.type, c_ast.FuncDecl):
            self.function(node, line)
        else:
            raise ValueError(f"{self.name}:{line}: neither structure, constants nor function")

    def enumeration(self, node: c_ast.Enum, line: int) -> None:
        previous = -1
        first = node.values.enumerators[0].name
        for one in node.values.enumerators:
            previous = value_of(one.value, previous)
            comment = self.comments.of(one.coord.line)
            if not comment and one.value is not None:  # The value may stand on the next line.
                comment = self.comments.of(one.value.coord.line)
            self.api.constants[one.name] = Constant(
                one.name, previous, self.name, comment, first, self.comments.above(line),
                isinstance(one.value, c_ast.BinaryOp))

    def structure(self, node: c_ast.Struct, line: int) -> None:
        if node.decls is None:
            self.api.structs.setdefault(node.name, Struct(node.name, self.name,
                                                          comment=self.comments.above(line)))
            return
        fields = [Parameter(one.name, type_of(one.type), self.comments.of(one.coord.line))
                  for one in node.decls]
        self.api.structs[node.name] = Struct(node.name, self.name, fields, self.comments.above(line))

    def function(self, node: c_ast.Decl, line: int) -> None:
        comment = self.comments.above(line)
        if comment or not self.comments.is_attached(line):
            self.group = (node.name, comment)
        self.api.functions[node.name] = Function(
            node.name, self.name, type_of(node.type.type), parameters_of(node.type),
            self.group[1], self.group[0])


def plain(text: str) -> str:
    """A header without comments and directives, each line where it was."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    text = C_PLUS_PLUS.sub(blank, BLOCK_COMMENT.sub(blank, text))
    return re.sub(r"^[ \t]*#.*$", "", text, flags=re.M)


def order(include: Path) -> List[str]:
    """The leaf headers, each behind those that it includes."""
    found: List[str] = []

    def visit(name: str) -> None:
        text = (include / "nestvirt" / name).read_text(encoding="utf-8")
        for inner in re.findall(r"#include <nestvirt/(\w+\.h)>", text):
            visit(inner)
        if name not in found and name != UMBRELLA:
            found.append(name)

    visit(UMBRELLA)
    return found


def read(include: Path = INCLUDE) -> Api:
    """Reads all that the umbrella header includes."""
    api = Api()
    names = order(include)
    texts = {name: (include / "nestvirt" / name).read_text(encoding="utf-8") for name in names}
    whole = PRELUDE + "".join(f'# 1 "{name}"\n{plain(text)}\n' for name, text in texts.items())
    tree = c_parser.CParser().parse(whole, "prelude")
    readers = {name: Reader(api, name, text) for name, text in texts.items()}
    for node in tree.ext:
        name = node.coord.file if node.coord else ""
        if name not in readers:
            continue
        if not isinstance(node, c_ast.Decl):
            raise ValueError(f"{node.coord}: no declaration")
        readers[name].declaration(node, first_line(node))
    return api


def first_line(node: c_ast.Decl) -> int:
    """The line where a declaration begins: where its name stands, less what stands above it."""
    if isinstance(node.type, (c_ast.Enum, c_ast.Struct)):
        return int(node.type.coord.line)
    inner = node.type
    while not isinstance(inner, c_ast.TypeDecl):
        inner = inner.type
    return min(int(node.coord.line), int(inner.type.coord.line))
