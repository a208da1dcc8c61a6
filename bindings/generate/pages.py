# SPDX-License-Identifier: Apache-2.0
"""
Owns which pages the reference has, what stands on each of them, and which constants belong to which
field and function.

A page holds the functions that share a comment, or a structure with its _init function; each header
has a page, which holds its constants, and nestvirt(3) begins it all. A name that shares a page is an
alias of it.
"""

import re
from dataclasses import dataclass, field
from typing import Dict, List, Sequence

import prose
from devices import Kind
from headers import Api, Constant, Function, Header, Parameter, Struct

OVERVIEW = "nestvirt"
DEVICES = "nestvirt_devices"


@dataclass
class Page:
    """A page of section 3: of functions, a structure, a header, or the overview; or that of section 7
    with the kinds of devices."""

    name: str
    header: str = ""
    functions: List[Function] = field(default_factory=list)
    struct: Struct = field(default_factory=lambda: Struct("", ""))
    devices: List[Kind] = field(default_factory=list)

    @property
    def kind(self) -> str:
        if self.struct.name:
            return "structure"
        if self.functions:
            return "functions"
        if self.devices:
            return "devices"
        return "header" if self.header else "overview"

    @property
    def section(self) -> str:
        return "7" if self.devices else "3"

    @property
    def file(self) -> str:
        return f"{self.name}.{self.section}"

    @property
    def aliases(self) -> List[str]:
        """Other names that lead to this page."""
        return [function.name for function in self.functions if function.name != self.name]


def header_page(header: str) -> str:
    """The name of a header's page: nestvirt_vm.h."""
    return f"nestvirt_{header}"


def is_init(function: Function) -> bool:
    """Whether a function does nothing but to prepare a structure."""
    return function.name.endswith("_init") and bool(function.parameters[0].type.struct)


class Reference:
    """All pages, and who has which constants."""

    def __init__(self, api: Api, kinds: Sequence[Kind] = ()) -> None:
        self.api = api
        self.enumerations: Dict[str, List[Constant]] = {}
        for constant in api.constants.values():
            self.enumerations.setdefault(constant.group, []).append(constant)
        self.pages: Dict[str, Page] = {OVERVIEW: Page(OVERVIEW)}
        for header in api.headers:
            self.add_header(header)
        if kinds:
            self.pages[DEVICES] = Page(DEVICES, devices=list(kinds))
        self.names = set(self.pages) | {name for page in self.pages.values() for name in page.aliases}

    def add_header(self, header: Header) -> None:
        name = header_page(header.name)
        self.pages[name] = Page(name, header.name)
        for struct in self.api.structs.values():
            if struct.fields and struct.header == header.name:
                self.pages[struct.name] = Page(struct.name, header.name, struct=struct)
        for function in self.api.functions.values():
            if function.header != header.name:
                continue
            if is_init(function):
                self.pages[str(function.parameters[0].type.struct)].functions.append(function)
            else:
                page = self.pages.setdefault(function.group, Page(function.group, header.name))
                page.functions.append(function)

    def of_header(self, header: str) -> List[Page]:
        """The pages of functions and structures of a header, in its order."""
        return [page for page in self.pages.values()
                if page.header == header and page.kind in ("functions", "structure")]

    def enumerations_of(self, header: str) -> List[List[Constant]]:
        return [group for group in self.enumerations.values() if group[0].header == header]

    def named_fields(self, group: List[Constant]) -> List[str]:
        """The fields that the comment of an enumeration names: nestvirt_vm_config.flags."""
        found = re.findall(r"\b(nestvirt_\w+)\.(\w+)", group[0].group_comment.split("\n\n")[0])
        return [f"{struct}.{member}" for struct, member in found if struct in self.api.structs]

    def of_field(self, struct: Struct, member: Parameter) -> List[List[Constant]]:
        """The enumerations whose constants a field holds: those that name it, else those that its
        comment names."""
        place = f"{struct.name}.{member.name}"
        found = [group for group in self.enumerations.values() if place in self.named_fields(group)]
        if found:
            return found
        prefixes = re.findall(r"\b(NESTVIRT_\w+_)\*", member.comment)
        found = [group for group in self.enumerations.values()
                 if any(all(one.name.startswith(prefix) for one in group) for prefix in prefixes)]
        return found if len(found) == 1 else []

    def home(self, group: List[Constant]) -> str:
        """The structure's page that lists an enumeration, or "" if only its header's does."""
        fields = self.named_fields(group)
        return fields[0].split(".")[0] if fields else ""

    def of_functions(self, page: Page) -> List[List[Constant]]:
        """The enumerations without a structure that functions take: those that name one of them, or
        of which a constant is named."""
        comment = page.functions[0].comment
        parameters = {one.name for function in page.functions for one in function.parameters}
        found = []
        for group in self.enumerations.values():
            if self.home(group) or group[0].name == "NESTVIRT_E_BUG":
                continue
            names = [one.name for one in group]
            words = " ".join([group[0].group_comment, *(one.comment for one in group)])
            is_named = any(f"{function.name}()" in words for function in page.functions)
            prefixes = re.findall(r"\b(NESTVIRT_\w+_)\*", comment)
            has_prefix = any(all(name.startswith(prefix) for name in names) for prefix in prefixes)
            taken = " ".join(prose.split(comment, sorted(parameters)).parameters.values())
            has_constant = any(re.search(rf"\b{name}\b", taken) for name in names)
            has_constant |= any(name.endswith("_MAX") and name in comment for name in names)
            if is_named or has_prefix or has_constant:
                found.append(group)
        return found

    def structs_of(self, functions: List[Function]) -> List[str]:
        """The structures with a page that functions take."""
        found: List[str] = []
        for function in functions:
            for parameter in function.parameters:
                inner = parameter.type.parameters if parameter.type.is_function else [parameter]
                for one in inner:
                    name = one.type.struct
                    if name in self.pages and name not in found:
                        found.append(str(name))
        return found
