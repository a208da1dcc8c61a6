# SPDX-License-Identifier: Apache-2.0
"""Owns the reading of the public headers: the few forms of C they may use, and what they declare."""

import re
from collections import namedtuple
from pathlib import Path

Function = namedtuple("Function", "name header parameters")
Field = namedtuple("Field", "name type count")
Struct = namedtuple("Struct", "name header fields")

FIXED = {f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
SCALARS = FIXED | {"int", "size_t"}
POINTEES = SCALARS | {"void", "char"}

TOKEN = re.compile(r"\s*([A-Za-z_]\w*|0[xX][0-9a-fA-F]+|\d+\w*|\.\.\.|<<|\S)")
C_PLUS_PLUS = re.compile(r'#ifdef __cplusplus\n(?:extern "C" \{|\})\n#endif\n')
DIRECTIVE = re.compile(r"#(ifndef|define) (NESTVIRT_\w+_H)|#endif|"
                       r"#include <(nestvirt/\w+\.h|stddef\.h|stdint\.h)>")


class Forbidden(Exception):
    """A declaration that a public header may not have."""


def without_comments(text):
    """The same text with blanks for comments, so that lines stay where they are."""
    blank = lambda match: re.sub(r"[^\n]", " ", match.group())
    return re.sub(r"/\*.*?\*/", blank, text, flags=re.S)


class Reader:
    """Reads the declarations of one header, refusing all that is not in the allowed forms."""

    def __init__(self, header, text, api):
        self.header = header
        self.api = api
        text = C_PLUS_PLUS.sub("", without_comments(text))
        lines = []
        for line in text.split("\n"):
            if line.lstrip().startswith("#"):
                if not DIRECTIVE.fullmatch(line.rstrip()):
                    raise Forbidden(f"{header}: directive: {line.strip()}")
            else:
                lines.append(line)
        self.tokens = TOKEN.findall("\n".join(lines))
        self.position = 0

    def fail(self, why):
        near = " ".join(self.tokens[max(0, self.position - 4):self.position + 4])
        raise Forbidden(f"{self.header}: {why} near `{near}`")

    def peek(self, ahead=0):
        place = self.position + ahead
        return self.tokens[place] if place < len(self.tokens) else ""

    def take(self, wanted=None):
        token = self.peek()
        if not token or (wanted and token != wanted):
            self.fail(f"expected {wanted or 'more'}, not {token or 'the end'}")
        self.position += 1
        return token

    def name(self):
        token = self.take()
        if not re.fullmatch(r"[A-Za-z_]\w*", token):
            self.fail(f"{token} is no name")
        return token

    def type(self, allow_void=False):
        words = []
        if self.peek() == "const":
            words.append(self.take())
        if self.peek() == "struct":
            base = self.take() + " " + self.name()
        else:
            base = self.take()
        words.append(base)
        while self.peek() in ("*", "const"):
            words.append(self.take())
        text = " ".join(words)
        if "*" not in words:
            known = SCALARS | ({"void"} if allow_void else set())
            if base not in known and not base.startswith("struct "):
                self.fail(f"type {base}")
        elif base not in POINTEES and not base.startswith("struct "):
            self.fail(f"pointer to {base}")
        return text

    def parameters(self):
        found = []
        self.take("(")
        if self.peek() == "void" and self.peek(1) == ")":
            self.take()
        else:
            while True:
                kind = self.type(allow_void=True)
                if self.peek() == "(":
                    self.take("(")
                    self.take("*")
                    name = self.name()
                    self.take(")")
                    kind += " (*)(" + ", ".join(kind for kind, _ in self.parameters()) + ")"
                else:
                    name = self.name()
                    if kind.startswith("struct ") and "*" not in kind or kind == "void":
                        self.fail(f"parameter {name} by value")
                found.append((kind, name))
                if self.peek() != ",":
                    break
                self.take(",")
        self.take(")")
        return found

    def function(self):
        kind = self.type(allow_void=True)
        name = self.name()
        if "*" not in kind and kind.startswith("struct "):
            self.fail(f"{name} returns {kind}")
        if not name.startswith("nestvirt_"):
            self.fail(f"name {name}")
        parameters = self.parameters()
        self.take(";")
        errors = [i for i, (kind, _) in enumerate(parameters) if kind == "struct nestvirt_error * *"]
        if errors and errors != [len(parameters) - 1]:
            self.fail(f"ret_error of {name} is not its last parameter")
        self.api.functions[name] = Function(name, self.header, parameters)

    def struct(self):
        name = self.name()
        if not name.startswith("nestvirt_"):
            self.fail(f"name {name}")
        if self.peek() == ";":
            self.take()
            self.api.declared.add(name)
            return
        fields = []
        self.take("{")
        while self.peek() != "}":
            kind = self.type()
            if "*" not in kind and kind not in FIXED and not kind.startswith("struct "):
                self.fail(f"field of type {kind}")
            while True:
                field = self.name()
                count = None
                if self.peek() == "[":
                    self.take("[")
                    if not self.peek().isdigit():
                        self.fail(f"array size {self.peek()}")
                    count = int(self.take())
                    self.take("]")
                fields.append(Field(field, kind, count))
                if self.peek() != ",":
                    break
                self.take(",")
            self.take(";")
        self.take("}")
        self.take(";")
        self.api.structs[name] = Struct(name, self.header, fields)

    def enum(self):
        self.take("{")
        while True:
            name = self.name()
            if not name.startswith("NESTVIRT_"):
                self.fail(f"name {name}")
            self.take("=")  # A value by position would change with the next one put in between.
            value = ""
            while self.peek() not in (",", "}", ""):
                value += self.take()
            self.api.constants[name] = (self.header, value)
            if self.peek() == "}":
                break
            self.take(",")
        self.take("}")
        self.take(";")

    def all(self):
        while self.peek():
            if self.peek() == "struct" and self.peek(2) in ("{", ";"):
                self.take()
                self.struct()
            elif self.peek() == "enum" and self.peek(1) == "{":
                self.take()
                self.enum()
            elif self.peek() in ("enum", "typedef", "union", "static", "inline", "extern"):
                self.fail(self.peek())
            else:
                self.function()


class Api:
    """Everything that a folder of headers declares."""

    def __init__(self, include):
        self.include = Path(include)
        self.functions = {}
        self.structs = {}
        self.declared = set()
        self.constants = {}
        self.headers = sorted(path.name for path in (self.include / "nestvirt").glob("*.h"))
        for header in self.headers:
            text = (self.include / "nestvirt" / header).read_text(encoding="utf-8")
            Reader(header, text, self).all()
            has_functions = any(one.header == header for one in self.functions.values())
            if has_functions and len(C_PLUS_PLUS.findall(text)) != 2:
                raise Forbidden(f'{header}: functions outside of extern "C"')

    def opaque(self):
        """Structures that only the library can look into."""
        return sorted(self.declared - set(self.structs))

    def sized(self):
        """Structures that begin with their size: those that may grow."""
        return [struct for struct in self.structs.values() if struct.fields[0].name == "size"]

    def init_of(self, struct):
        """The name of a structure's _init function, None if there is none."""
        name = struct.name + "_init"
        return name if name in self.functions else None


def rewrite_struct(text, struct, fields):
    """A header's text with other fields in one of its structures."""
    body = ""
    for field in fields:
        count = f"[{field.count}]" if field.count else ""
        body += f"    {field.type} {field.name}{count};\n"
    pattern = r"struct %s \{.*?\n\};" % struct.name
    changed, times = re.subn(pattern, "struct %s {\n%s};" % (struct.name, body), text, flags=re.S)
    if times != 1:
        raise ValueError(f"struct {struct.name} was found {times} times")
    return changed


def rewrite_structs(include, change):
    """Gives each growable structure below include the fields that change(struct) returns."""
    api = Api(include)
    for struct in api.sized():
        path = api.include / "nestvirt" / struct.header
        text = rewrite_struct(path.read_text(encoding="utf-8"), struct, change(struct))
        path.write_text(text, encoding="utf-8")
    return Api(include)
