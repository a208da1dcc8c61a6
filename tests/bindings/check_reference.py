#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""
Owns the checks of the reference: each symbol has its page, nothing that a header says is lost on the
way to it, mandoc has nothing to say, and no link leads nowhere.

    check_reference.py    makes the reference anew in a folder of its own, and checks that

The build whose library tells of the devices is BUILD_DIR (build).
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote

SOURCE = Path(os.environ.get("NESTVIRT_SOURCE_ROOT", Path(__file__).resolve().parents[2]))
LIBRARY = Path(os.environ.get("BUILD_DIR", SOURCE / "build")).resolve() / "lib" / "libnestvirt.so.0"
GENERATE = SOURCE / "bindings" / "generate"
sys.path.insert(0, str(GENERATE))
sys.dont_write_bytecode = True


def skip(reason):
    """Ends a check that cannot be done here."""
    print(f"SKIP: {reason}")
    sys.exit(77)


try:
    import headers
    import pages
except ImportError as error:
    skip(f"{error}; on Debian: apt-get install python3-pycparser")

PRINTED_MAX = 30  # Problems of one check: a page that is empty lacks everything.
SECTIONS = ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"]


class Made:
    """A reference in a folder, with what it is to be compared to."""

    api = headers.read()
    reference = pages.Reference(api)

    def __init__(self, folder):
        self.folder = Path(folder)
        self.man = self.folder / "man" / "man3"
        self.all = sorted((self.folder / "man").glob("man?/*"))
        self.html = self.folder / "html"
        self.texts = {}

    def text(self, name):
        """A page as it is read: on one line, without the marks of bold and underlined."""
        if name not in self.texts:
            path = self.man / f"{name}.3"
            if not path.exists():
                return ""
            done = subprocess.run(["mandoc", "-T", "utf8", "-O", "width=1000", path], capture_output=True, text=True,
                                  check=False)
            self.texts[name] = flat(re.sub(".\b", "", done.stdout))
        return self.texts[name]


def flat(text):
    """Text with a blank for each gap, and plain quotes and minus signs."""
    for fancy, plain in (("\u2018", "'"), ("\u2019", "'"), ("\u201c", '"'), ("\u201d", '"'), ("\u2212", "-"),
                         ("\u2010", "-"), ("\u2013", "-"), ("\u00a0", " ")):
        text = text.replace(fancy, plain)
    return " ".join(text.split())


def check_symbols(made):
    """Exported functions that `man` does not find."""
    exported = re.findall(r"\b(nestvirt_\w+);", (SOURCE / "lib" / "libnestvirt.map").read_text(encoding="utf-8"))
    if len(exported) < 100:
        yield "lib/libnestvirt.map: no symbols were found in it"
    for name in sorted({*exported, *made.api.functions}):
        path = made.man / f"{name}.3"
        if not path.is_file():
            yield f"{name}: no page and no link"
        elif f".Nm {name}\n" not in path.read_text(encoding="utf-8").replace(" ,\n", "\n"):
            yield f"{name}: the page does not name it"


def check_lint(made):
    """What mandoc finds wrong."""
    names = sorted(str(path) for path in made.all if not path.is_symlink())
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *names], capture_output=True, text=True,
                          check=False)
    for line in done.stdout.splitlines():
        yield line.replace(str(made.folder) + "/", "")


def check_prototypes(made):
    """Functions whose page does not show how to call them."""
    for function in made.api.functions.values():
        inside = ", ".join(one.type.c(one.name) for one in function.parameters) or "void"
        wanted = flat(f"{function.result.c()} {function.name}({inside});")
        if wanted.replace("* ", "*") not in made.text(function.name).replace("* ", "*"):
            yield f"{function.name}: the page lacks {wanted}"


def words_of(text):
    """The words of a text, without what marks them."""
    return set(re.findall(r"-E[A-Z0-9]+|[A-Za-z0-9_]{2,}", text))


def check_words(made):
    """Words of comments, error codes among them, that their pages do not have."""
    comments = [(page.name, function.comment) for page in made.reference.pages.values()
                for function in page.functions]
    comments += [(struct.name, struct.comment + " ".join(one.comment for one in struct.fields))
                 for struct in made.api.records]
    comments += [(pages.header_page(header.name), header.comment) for header in made.api.headers
                 if header.name != "common.h"]
    rules = next(header.comment for header in made.api.headers if header.name == "common.h")
    comments.append((pages.OVERVIEW, rules.split("\n\n", 1)[1]))
    comments += [(pages.header_page(one.header), one.comment) for one in made.api.constants.values()]
    for name, comment in comments:
        text = made.text(name)
        there = {word.lower() for word in words_of(text) | words_of(text.replace("_", " "))}
        for word in sorted(words_of(comment)):
            if word.lower() not in there:
                yield f"{name}: the page lacks the word {word}"


def check_members(made):
    """Fields and constants that are not on their pages."""
    for struct in made.api.records:
        for member in struct.fields:
            if not re.search(rf"\b{member.name}\b", made.text(struct.name).split("STRUCTURE FIELDS")[-1]):
                yield f"{struct.name}: the page lacks the field {member.name}"
    for one in made.api.constants.values():
        text = made.text(pages.header_page(one.header))
        value = f"1 << {one.value.bit_length() - 1}" if one.is_bit else str(one.value)
        if not re.search(rf"\b{one.name} = {re.escape(value)}(?!\d)", text):
            yield f"{pages.header_page(one.header)}: the page lacks {one.name} = {value}"


def check_sections(made):
    """Pages without what every page has."""
    for path in made.all:
        text = path.read_text(encoding="utf-8")
        for section in SECTIONS:
            if f"\n.Sh {section}\n" not in text:
                yield f"{path.name}: no section {section}"


def check_references(made):
    """Cross references of man pages to pages that do not exist, and pages without any."""
    for path in made.all:
        found = re.findall(r"\bXr (nestvirt\S*) ([37])\b", path.read_text(encoding="utf-8"))
        if not found:
            yield f"{path.name}: refers to nothing"
        for name, section in found:
            if not (made.folder / "man" / f"man{section}" / f"{name}.{section}").exists():
                yield f"{path.name}: {name}({section}) does not exist"


def check_links(made):
    """Links of HTML files to files or places that do not exist."""
    texts = {path.name: path.read_text(encoding="utf-8") for path in made.html.iterdir()}
    places = {name: set(re.findall(r'\bid="([^"]+)"', text)) for name, text in texts.items()}
    if "index.html" not in texts:
        yield "html: no index.html"
    reached = {"index.html"}
    for name, text in sorted(texts.items()):
        for target in re.findall(r'\bhref="([^"]+)"', text):
            file, _, place = unquote(target).partition("#")
            if re.match(r"https?:|mailto:", target):
                continue
            file = file or name
            reached.add(file)
            if file not in texts:
                yield f"{name}: the link {target} leads nowhere"
            elif place and place not in places[file]:
                yield f"{name}: {file} has no place {place}"
        if re.search(r"<a [^>]*>(?:(?!</a>).)*<a ", text, re.S):
            yield f"{name}: a link within a link"
    for name in sorted(set(texts) - reached):
        yield f"{name}: no link leads there"


def edit(name, old, new, count=1):
    """A fault: what a file holds is something else."""
    def apply(folder):
        path = folder / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{name}: {old!r} is not in it, so that the self-test does nothing"
        path.write_text(text.replace(old, new, count), encoding="utf-8")
    return apply


def remove(name):
    """A fault: a file is missing."""
    return lambda folder: (folder / name).unlink()


MAN = "man/man3/nestvirt_"
CHECKS = {
    "symbols": (check_symbols, {
        "a page that is missing": remove(MAN + "vm_build.3"),
        "a link that is missing": remove(MAN + "memory_write.3"),
        "a page with another name": edit(MAN + "vm_build.3", ".Nm nestvirt_vm_build", ".Nm nestvirt_vm_make")}),
    "lint": (check_lint, {
        "a list that does not end": edit(MAN + "vm_stop.3", ".El", ""),
        "an unknown macro": edit(MAN + "vm_stop.3", ".Sh DESCRIPTION", ".Zz\n.Sh DESCRIPTION")}),
    "prototypes": (check_prototypes, {
        "a parameter that is missing": edit(MAN + "vm_stop.3", '.Fa "int32_t timeout_ms"\n', ""),
        "another type": edit(MAN + "vm_stop.3", '.Fa "int32_t timeout_ms"', '.Fa "uint32_t timeout_ms"'),
        "another result": edit(MAN + "vm_stop.3", ".Ft int\n", ".Ft void\n")}),
    "words": (check_words, {
        "an error that is missing": edit(MAN + "vm_stop.3", "Er \\-ETIMEDOUT", "Er \\-EIO"),
        "a description that is cut": edit(MAN + "vm_stop.3", "that are inside a", "that are in a"),
        "a field without its words": edit(MAN + "vm_config.3", "Copied; for messages", "Copied; for"),
        "a header without its words": edit(MAN + "ksm.h.3", "side channel", "channel")}),
    "members": (check_members, {
        "a field that is missing": edit(MAN + "vm_config.3", ".It Vt uint32_t Fa vcpus", ".It Vt uint32_t"),
        "a constant that is missing": edit(MAN + "vm.h.3", ".It Dv NESTVIRT_STATE_BUILT", ".It Dv NESTVIRT_STATE"),
        "a constant of another value": edit(MAN + "vm.h.3", "NESTVIRT_VM_FIXUPS No = 1 << 1",
                                            "NESTVIRT_VM_FIXUPS No = 1 << 2")}),
    "sections": (check_sections, {
        "a page without synopsis": edit(MAN + "vm_stop.3", ".Sh SYNOPSIS", ".Sh SYNOPSES")}),
    "references": (check_references, {
        "a page that others refer to": remove("man/man7/nestvirt_devices.7"),
        "a reference to nothing": edit(MAN + "vm_stop.3", ".Xr nestvirt_vm_start 3", ".Xr nestvirt_vm_begin 3")}),
    "links": (check_links, {
        "a link to nothing": edit("html/nestvirt_vm_stop.3.html", 'href="nestvirt.3.html"', 'href="nestvirt.html"'),
        "a link to no place": edit("html/index.html", 'href="#vm.h"', 'href="#vn.h"'),
        "a page that is not reached": lambda folder: (folder / "html" / "lost.html").write_text("<p>lost</p>"),
        "a link within a link": edit("html/nestvirt_vm_stop.3.html", '<a class="Xr"',
                                      '<a href="index.html"><a class="Xr"'),
        "a missing index": remove("html/index.html")}),
}


def self_test(folder, check, faults):
    """Each fault must be found, where the reference without it is sound."""
    for title, fault in faults.items():
        with tempfile.TemporaryDirectory(prefix="nestvirt-reference-") as bad:
            shutil.copytree(folder, bad, symlinks=True, dirs_exist_ok=True)
            fault(Path(bad))
            if not list(check(Made(bad))):
                return f"self-test: {title} was not caught"
        print(f"  self-test: {title}: caught")
    return None


def main():
    if not shutil.which("mandoc"):
        skip("mandoc is not installed")
    if not LIBRARY.exists():
        skip(f"{LIBRARY}: no library; remedy: ninja, or BUILD_DIR")
    with tempfile.TemporaryDirectory(prefix="nestvirt-reference-") as folder:
        subprocess.run([sys.executable, GENERATE / "reference", folder], check=True,
                       env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NESTVIRT_LIBRARY": str(LIBRARY)})
        problems = []
        for name, (check, faults) in CHECKS.items():
            found = list(check(Made(folder)))
            if not found:
                failure = self_test(folder, check, faults)
                found = [failure] if failure else []
            print(f"{'FAIL' if found else 'OK'}: {name}")
            for problem in found[:PRINTED_MAX]:
                print(f"  {problem}")
            problems += found
    print(f"FAIL: {len(problems)} problems" if problems else "OK: the reference")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
