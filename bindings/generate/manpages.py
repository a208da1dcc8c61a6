# SPDX-License-Identifier: Apache-2.0
"""Owns the manual pages: each page of the reference as mdoc(7)."""

import re
from datetime import date
from pathlib import Path
from typing import Dict, List, Set

import mdoc
import prose
from headers import Constant, Function, Parameter, Struct
from mdoc import Prose, argument
from pages import DEVICES, OVERVIEW, Page, Reference, header_page

ROOT = Path(__file__).resolve().parents[2]
CODES = ROOT / "lib" / "core" / "error_codes.h"  # What codes mean in general.
PROPERTY_TYPES = {"u64": "number", "bool": "0 or 1", "fd": "descriptor", "string": "text"}
GENERAL = "What holds for every function is told in nestvirt(3)."


def general_meanings() -> Dict[str, str]:
    """Code: its general meaning, as nestvirt_error_code_text() tells it."""
    text = re.sub(r"\s*\\\n\s*", " ", CODES.read_text(encoding="utf-8"))
    found = re.findall(r'X\((\w+), [^,]+, "([^"]*)"\)', text)
    return {name if name.startswith("NESTVIRT") else f"-{name}": meaning for name, meaning in found}


class Writer:
    """Writes the pages of one reference; `when` is the date that they bear."""

    def __init__(self, reference: Reference, version: str, when: date) -> None:
        self.reference = reference
        self.version = version
        self.when = when
        self.meanings = general_meanings()
        self.headers = {header.name: header_page(header.name) for header in reference.api.headers}

    def files(self) -> Dict[str, str]:
        """The text of each page, by its name with section."""
        found = {}
        for page in self.reference.pages.values():
            found[page.file] = self.page(page)
        return found

    def page(self, page: Page) -> str:
        own = {parameter.name for function in page.functions for parameter in function.parameters}
        own |= {function.name for function in page.functions} | {page.name}
        own |= {member.name for member in page.struct.fields}
        text = Prose(page.name, own, self.reference.names, self.headers)
        body = {"functions": self.function_page, "structure": self.struct_page,
                "header": self.header_page, "overview": self.overview, "devices": self.devices}[page.kind](page, text)
        lines = ['.\\" SPDX-License-Identifier: Apache-2.0',
                 '.\\" Made from include/nestvirt by bindings/generate/reference. Do not edit.',
                 f".Dd {self.when:%B} {self.when.day}, {self.when.year}",
                 f".Dt {page.name.upper()} {page.section}", f".Os libnestvirt {self.version}"]
        return "\n".join(lines + body) + "\n"

    # Parts that pages share.

    def name(self, names: List[str], what: str) -> List[str]:
        lines = [".Sh NAME"] + [f".Nm {name} ," for name in names[:-1]] + [f".Nm {names[-1]}"]
        return lines + [".Nd " + re.sub(r"\(\)|`", "", what).replace('"', "\\(dq")]

    def prototype(self, function: Function) -> List[str]:
        lines = [f".Ft {argument(function.result.c())}", f".Fo {function.name}"]
        lines += [f".Fa {argument(one.type.c(one.name))}" for one in function.parameters]
        return lines + ([] if function.parameters else [".Fa void"]) + [".Fc"]

    def constants(self, group: List[Constant], text: Prose) -> List[str]:
        """The constants of an enumeration with their values and comments."""
        lines = [".Bl -tag -width Ds -compact"]
        for one in group:
            value = f"1 << {one.value.bit_length() - 1}" if one.is_bit else str(one.value)
            value = value.replace("-", "\\-")
            lines.append(f".It Dv {one.name} No = {value}")
            lines += text.lines(sentence(one.comment))
        return lines + [".El"]

    def see_also(self, page: Page, first: List[str]) -> List[str]:
        """The pages of the same header, and what a page needs beyond."""
        names = {OVERVIEW, header_page(page.header), *first}
        names |= {one.name for one in self.reference.of_header(page.header)}
        if page.header == "device.h":
            names |= self.devices_page()
        return [".Sh SEE ALSO"] + mdoc.references(names - {page.name})

    def history(self, comment: str, text: Prose) -> List[str]:
        """Since when it is there: the first release, unless a comment says otherwise."""
        since = re.search(r"\bSince (\d+\.\d+)", comment)
        return [".Sh HISTORY"] + text.lines(f"Since libnestvirt {since.group(1) if since else '0.1'}.")

    # Functions.

    def function_page(self, page: Page, text: Prose) -> List[str]:
        functions = page.functions
        names = [one.name for one in functions]
        parts = prose.split(functions[0].comment, sorted({p.name for f in functions for p in f.parameters}))
        lines = self.name(names, prose.brief(functions[0].comment))
        lines += [".Sh SYNOPSIS", f".In nestvirt/{page.header}"]
        for function in functions:
            lines += self.prototype(function)
        lines += [".Sh DESCRIPTION", *text.blocks(parts.description)]
        structs = self.reference.structs_of(functions)
        if structs:
            lines += [".Pp"] + text.lines("See " + " and ".join(f"{name}()" for name in structs)
                                          + " for the fields.")
        lines += self.parameters(functions, parts, text)
        for group in self.reference.of_functions(page):
            lines += [".Ss " + title_of(group)] + self.constants(group, text)
        if parts.states:
            lines += [".Sh STATES AND THREADS"] + text.lines(parts.states)
        lines += self.returns(functions, parts, text) + self.errors(functions, parts, text)
        return lines + self.see_also(page, structs) + self.history(functions[0].comment, text)

    def parameters(self, functions: List[Function], parts: prose.Comment, text: Prose) -> List[str]:
        """Those that the comment describes, in the order of the prototype."""
        order = [one.name for function in functions for one in function.parameters]
        names = [name for name in dict.fromkeys(order) if name in parts.parameters]
        if not names:
            return []
        lines = [".Sh PARAMETERS", ".Bl -tag -width Ds"]
        for name in names:
            words = re.sub(rf"^{name}\b", f"`{name}`", parts.parameters[name])
            lines += [f".It Fa {name}"] + text.lines(sentence(words))
        return lines + [".El"]

    def returns(self, functions: List[Function], parts: prose.Comment, text: Prose) -> List[str]:
        function = functions[0]
        if not function.is_fallible:
            return [".Sh RETURN VALUES"] + text.lines(parts.returns) if parts.returns else []
        words = parts.returns or "Returns 0, unless another result is told above."
        if "negative" not in words:
            words += " A failure is a negative code"
            words += ", with an error object in `ret_error`." if function.has_error else "."
        return [".Sh RETURN VALUES"] + text.lines(words)

    def errors(self, functions: List[Function], parts: prose.Comment, text: Prose) -> List[str]:
        lines: List[str] = []
        if parts.errors:
            lines += [".Bl -tag -width Er"]
            for item in parts.errors:
                codes = [code.replace("-", "\\-") for code in item.codes]
                kinds = ["Er" if code.startswith("\\") else "Dv" for code in codes]
                lines.append(".It " + " , ".join(f"{kind} {code}" for kind, code in zip(kinds, codes)))
                means = item.text or "; ".join(self.meanings.get(code, "") for code in item.codes)
                lines += text.lines(sentence(means.strip("; ")))
            lines.append(".El")
        for words in parts.more_errors:
            lines += [".Pp"] * bool(lines) + text.lines(words)
        if lines and any(one.has_error for one in functions):
            lines += [".Pp"] + text.lines(f"Codes that every call may return are told in {OVERVIEW}(3).")
        return [".Sh ERRORS"] + lines if lines else []

    # Structures.

    def struct_page(self, page: Page, text: Prose) -> List[str]:
        struct = page.struct
        brief = prose.brief(struct.comment) if struct.comment else self.use_of(struct)
        lines = self.name([page.name, *page.aliases], brief)
        lines += [".Sh SYNOPSIS", f".In nestvirt/{page.header}", ".Bd -literal"]
        lines += [f"struct {struct.name} {{"]
        lines += [f"    {member.type.c(member.name)};" for member in struct.fields]
        lines += ["};", ".Ed"] + [".Pp"] * bool(page.functions)
        for function in page.functions:
            lines += self.prototype(function)
        lines += [".Sh DESCRIPTION"]
        lines += text.blocks(prose.blocks(struct.comment)) if struct.comment else []
        for function in page.functions:
            lines += [".Pp"] * bool(struct.comment) + self.preparing(function, text)
        lines += [".Sh STRUCTURE FIELDS", ".Bl -tag -width Ds"]
        for members in alike(struct.fields):
            lines += self.field(struct, members, text)
        users = [other.name for other in self.reference.pages.values() if other.kind == "functions"
                 and struct.name in self.reference.structs_of(other.functions)]
        return lines + [".El"] + self.see_also(page, users) + self.history(struct.comment, text)

    def use_of(self, struct: Struct) -> str:
        """What a structure without a comment is for: the functions that take it."""
        uses = [(function.name, one) for page in self.reference.pages.values() if page.kind == "functions"
                for function in page.functions for one in function.parameters if one.type.struct == struct.name]
        parts = []
        for is_given, verb in ((True, "take"), (False, "fill")):
            names = [f"{name}()" for name, one in uses if one.type.const == is_given]
            parts += [" and ".join(names) + f" {verb}" + "s" * (len(names) == 1)] * bool(names)
        return "what " + " and ".join(parts)

    def preparing(self, function: Function, text: Prose) -> List[str]:
        """What the function says that prepares a structure; several may share the words."""
        names = [other.name for other in self.reference.api.functions.values() if other.group == function.group]
        words = " ".join(lowered(function.comment).split())
        return text.lines(" and ".join(f"{name}()" for name in names) + " " + words)

    def field(self, struct: Struct, members: List[Parameter], text: Prose) -> List[str]:
        member = members[0]
        kind = member.type
        stars = "*" * kind.pointers
        base = ("const " if kind.const else "") + kind.base + (" " + stars if stars else "")
        glue = " Ns " if stars else " "
        names = " , ".join(f"Fa {one.name}" + (f"[{kind.count}]" if kind.count else "") for one in members)
        lines = [f".It Vt {argument(base)}{glue}{names}"] + text.lines(field_text(member))
        for group in self.reference.of_field(struct, member):
            home = self.reference.home(group)
            if home in ("", struct.name):
                lines += self.constants(group, text)
            else:
                lines += text.lines(f"See {home}().")
        return lines

    # Headers.

    def header_page(self, page: Page, text: Prose) -> List[str]:
        comment = next(header.comment for header in self.reference.api.headers if header.name == page.header)
        lines = self.name([page.name], prose.brief(comment))
        lines += [".Sh SYNOPSIS", f".In nestvirt/{page.header}", ".Sh DESCRIPTION"]
        blocks = prose.blocks(comment)
        if page.header == "common.h":  # The rules, which begin the reference.
            blocks = [blocks[0], prose.Block("text", GENERAL)]
        lines += text.blocks(blocks)
        handles = [name for name in self.reference.api.handles
                   if self.reference.api.structs[name].header == page.header]
        if handles:
            lines += [".Sh HANDLES", ".Bl -tag -width Ds"]
            for name in handles:
                words = self.reference.api.structs[name].comment.replace("\n", " ")
                lines += [f".It Vt \"struct {name}\""] + text.lines(words)
            lines.append(".El")
        for title, kind in (("FUNCTIONS", "functions"), ("STRUCTURES", "structure")):
            lines += self.listing(title, [one for one in self.reference.of_header(page.header)
                                          if one.kind == kind], text)
        groups = self.reference.enumerations_of(page.header)
        lines += [".Sh CONSTANTS"] * bool(groups)
        for group in groups:
            comment_blocks = prose.blocks(group[0].group_comment)
            if comment_blocks[0].text.rstrip(".").replace("()", "").lower() == title_of(group).lower():
                del comment_blocks[0]
            lines += [".Ss " + title_of(group), *text.blocks(comment_blocks)]
            lines += self.constants(group, text)
        others = {header_page(header.name) for header in self.reference.api.headers} | {OVERVIEW}
        others |= self.devices_page() if page.header == "device.h" else set()
        return lines + [".Sh SEE ALSO"] + mdoc.references(others - {page.name}) + self.history(comment, text)

    def listing(self, title: str, pages: List[Page], text: Prose) -> List[str]:
        if not pages:
            return []
        lines = [f".Sh {title}", ".Bl -tag -width Ds -compact"]
        for page in pages:
            names = [page.name, *page.aliases] if page.kind == "functions" else [page.name]
            lines += [".It " + " , ".join(f"Xr {name} 3" for name in names)]
            lines += text.lines(self.brief(page))
        return lines + [".El"]

    def brief(self, page: Page) -> str:
        """What stands behind a page's name, in lists."""
        comment = page.struct.comment if page.kind == "structure" else page.functions[0].comment
        return prose.brief(comment) if comment else self.use_of(page.struct)

    # The beginning.

    def overview(self, page: Page, text: Prose) -> List[str]:
        rules = next(header.comment for header in self.reference.api.headers if header.name == "common.h")
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        intro = readme.split("\n\n")[1].replace("\n", " ")
        program = re.search(r"```c\n(.*?int main.*?)\n```", readme, re.S)
        lines = self.name([page.name], "virtual machines of Linux KVM inside your own program")
        lines += [".Sh SYNOPSIS", ".In nestvirt/nestvirt.h", ".Pp",
                  ".Dl cc program.c $(pkg-config --cflags --libs nestvirt)", ".Sh DESCRIPTION"]
        lines += text.lines(intro)
        lines += [".Ss Headers", ".Bl -tag -width nestvirt_privilege.h(3) -compact"]
        for header in sorted(self.reference.api.headers, key=lambda header: header.name):
            lines += [f".It Xr {header_page(header.name)} 3", prose.brief(header.comment)]
        lines += [".El", ".Sh RULES"] + text.blocks(prose.blocks(rules)[1:])
        if program:
            lines += [".Sh EXAMPLES", "Boots Linux with its console on this terminal:"]
            lines += mdoc.literal(program.group(1))
        names = {header_page(header.name) for header in self.reference.api.headers} | self.devices_page()
        return lines + [".Sh SEE ALSO"] + mdoc.references(names)

    # Devices.

    def devices_page(self) -> Set[str]:
        """The page of the devices, if it is made."""
        return {f"{DEVICES}(7)"} if DEVICES in self.reference.pages else set()

    def devices(self, page: Page, text: Prose) -> List[str]:
        lines = self.name([page.name], "kinds of devices and their properties")
        lines += [".Sh SYNOPSIS", ".In nestvirt/device.h", ".Sh DESCRIPTION"]
        lines += text.lines("A device is a kind and its properties. nestvirt_device_add() adds one to a VM. "
                            "Numbers, and 0 or 1, are set by nestvirt_device_set_u64(), texts by "
                            "nestvirt_device_set_string(), descriptors by nestvirt_device_set_fd().")
        lines += text.lines("A live property may be set in any state, a read-only one only be read, by "
                            "nestvirt_device_get_u64(); others are set before the VM is built.")
        for kind in page.devices:
            lines += [f".Ss {kind.name}", ".Bl -tag -width Ds -compact"]
            for one in kind.properties:
                marks = [PROPERTY_TYPES[one.type]]
                marks += ["live"] * one.is_live + ["read-only"] * one.is_read_only
                lines += [f".It Sy {argument(one.name)} Pq {', '.join(marks)}"] + text.lines(sentence(one.help))
            lines += [".El"]
        names = {OVERVIEW, header_page("device.h"), "nestvirt_device_add", "nestvirt_device_get_property",
                 "nestvirt_device_get_u64", "nestvirt_device_set_u64"}
        return lines + [".Sh SEE ALSO"] + mdoc.references(names) + self.history("", text)


def sentence(text: str) -> str:
    """A comment as a sentence: with a capital and a full stop. A name or a number begins as it is."""
    text = text.replace("\n", " ").strip()
    whole = re.fullmatch(r"\(([^()]*)\)", text)
    text = whole.group(1) if whole else text
    if re.match(r"(?!lib)[a-z]+\b(?![_(.\[])", text):
        text = text[0].upper() + text[1:]
    return text if not text or text[-1] in ".!?" else text + "."


def lowered(text: str) -> str:
    """A sentence that goes on behind its subject."""
    return text[0].lower() + text[1:]


def title_of(group: List[Constant]) -> str:
    """The heading of an enumeration: its comment if that is short, else what its names say."""
    comment = group[0].group_comment.split("\n\n")[0].replace("\n", " ")
    first = re.match(r"(nestvirt_\w+\.\w+)", comment)
    if first:
        return first.group(1)
    if comment and len(comment) < 85:
        title = re.split(r"[.:;,] |[.:]$", comment)[0].replace("()", "")
        return title[0].upper() + title[1:] if re.match(r"[a-z]+ ", title) else title
    return "Limits" if any(one.name.endswith("_MAX") for one in group) else "Values"


def field_text(member: Parameter) -> str:
    """What is said of a field; the rules of nestvirt(3) for those without words."""
    if member.name == "size" and not member.comment:
        return "The caller's sizeof."
    if member.comment.strip() == "0":
        return "0: none so far." if member.name == "flags" else "0."
    return sentence(member.comment)


def alike(fields: List[Parameter]) -> List[List[Parameter]]:
    """Fields, with those together that follow each other with one type and no comment."""
    found: List[List[Parameter]] = []
    for member in fields:
        last = found[-1][-1] if found else None
        if last and not member.comment and not last.comment and last.type == member.type and \
                last.name not in ("size", "flags"):
            found[-1].append(member)
        else:
            found.append([member])
    return found
