#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test of `meson install`: what is put where, and that pkg-config is all a program needs."""

import os
import re
import shlex
import shutil
from pathlib import Path

from harness import (CC, INCLUDE, MAP, SOURCE, build_root, caught, expect, library, main, need,
                     need_plain_build, output, run)

HERE = Path(__file__).resolve().parent
BINDINGS = SOURCE / "bindings"
PYTHON = "/usr/bin/python3"  # That which meson looks for.
ALLOWED = re.compile(r".*/(include/nestvirt/\w+\.h|libnestvirt\.(a|so[.\d]*)|pkgconfig/nestvirt\.pc"
                     r"|python3[.\d]*/(dist|site)-packages/nestvirt/(\w+\.py|py\.typed)"
                     r"|share/gocode/src/nestvirt/(\w+(?<!_test)\.go|\w+\.[ch]|go\.mod)"
                     r"|man/man[37]/nestvirt[\w.]*\.[37]|doc/nestvirt/html/[\w.-]+\.(html|css))")


def is_wanted(part):
    """Whether a part is to be installed: python, go or docs; not with its option on disabled, or without its tools."""
    if part in os.environ.get("NESTVIRT_DISABLED", "").split():
        return False
    if part == "python":
        return Path(PYTHON).exists()
    return part == "go" or (shutil.which("mandoc") is not None
                            and run([PYTHON, "-c", "import pycparser"]).returncode == 0)


def folder_problems(folders, source, patterns):
    """What is wrong with a package of which each file must be in one folder, and no other."""
    if len(folders) != 1:
        return [f"{source.relative_to(SOURCE)} was installed {len(folders)} times"]
    ours = {path.name for pattern in patterns for path in source.glob(pattern) if not path.name.endswith("_test.go")}
    theirs = {path.name for path in folders[0].iterdir()}
    return [f"{source.relative_to(SOURCE) / name} was {'not ' if name in ours else ''}installed"
            for name in sorted(ours ^ theirs)]


class Installed:
    """What stands below a DESTDIR."""

    def __init__(self, destdir):
        self.destdir = Path(destdir)
        found = sorted(self.destdir.rglob("nestvirt.pc"))
        expect(len(found) == 1, f"nestvirt.pc was installed {len(found)} times")
        self.pc = found[0]
        self.lib = self.pc.parent.parent

    def flags(self, *options):
        """What pkg-config says, inside of this DESTDIR."""
        environment = {**os.environ, "PKG_CONFIG_LIBDIR": str(self.pc.parent), "PKG_CONFIG_PATH": "",
                       "PKG_CONFIG_SYSROOT_DIR": str(self.destdir)}
        return shlex.split(output(["pkg-config", *options, "nestvirt"], env=environment))

    def problems(self):
        """What is missing or wrong among the files."""
        found = []
        text = self.pc.read_text(encoding="utf-8")
        prefix = re.search(r"^prefix=(.*)$", text, re.M).group(1)
        headers = self.destdir / prefix.lstrip("/") / "include" / "nestvirt"
        ours = {path.name for path in (INCLUDE / "nestvirt").glob("*.h")}
        theirs = {path.name for path in headers.glob("*.h")}
        found += [f"header {name}" for name in sorted(ours ^ theirs)]
        version = re.search(r"^Version: (\S+)$", text, re.M).group(1)
        real = self.lib / f"libnestvirt.so.{version}"
        if not real.is_file() or real.is_symlink():
            found.append(f"{real.name} is no file")
        for link in ("libnestvirt.so.0", "libnestvirt.so"):
            path = self.lib / link
            if not path.is_symlink() or path.resolve() != real.resolve():
                found.append(f"{link} is no link to {real.name}")
            elif os.path.isabs(os.readlink(path)):
                found.append(f"{link} is an absolute link")
        if not (self.lib / "libnestvirt.a").is_file():
            found.append("libnestvirt.a")
        elif (self.lib / "libnestvirt.a").read_bytes().startswith(b"!<thin>"):
            found.append("libnestvirt.a is thin: it points into the build folder")
        requires = re.findall(r"^Requires.*: (\S.*)$", text, re.M)
        found += [f"nestvirt.pc requires {names}: pkg-config then fails where these are not installed for "
                  "development, though they are loaded at run time only" for names in requires]
        leaked = [path for path in (str(build_root()), str(self.destdir))
                  if path in text]
        found += [f"nestvirt.pc names {path}" for path in leaked]
        return found

    def parts(self):
        """What is missing or wrong among the bindings and the reference."""
        found = []
        if is_wanted("python"):
            found += folder_problems(list(self.destdir.rglob("python3*/*-packages/nestvirt")),
                                     BINDINGS / "python" / "nestvirt", ["*.py", "py.typed"])
        if is_wanted("go"):
            found += folder_problems(list(self.destdir.rglob("gocode/src/nestvirt")), BINDINGS / "go",
                                     ["*.go", "*.c", "*.h", "go.mod"])
        if is_wanted("docs"):
            functions = set(re.findall(r"\b(nestvirt_\w+);", MAP.read_text(encoding="utf-8")))
            pages = {path.stem for path in self.destdir.rglob("man3/*.3")}
            found += [f"there is no page man3/{name}.3" for name in sorted(functions - pages)]
            others = ("man3/nestvirt.3", "man7/nestvirt_devices.7", "html/index.html", "html/style.css")
            found += [f"{name} is missing" for name in others if not list(self.destdir.rglob(name))]
        return found

    def stray(self):
        """Installed files that nobody expects, and links to nowhere."""
        return [str(path) for path in self.destdir.rglob("*")
                if not path.is_dir() and not (path.exists() and ALLOWED.fullmatch(str(path)))]


def compile_program(installed, target, *options):
    """Compiles with what pkg-config says and nothing else."""
    static = ["-static"] if "--static" in options else []
    words = installed.flags("--cflags", "--libs", *options)
    output([*CC, "-Wall", "-Werror", *static, HERE / "print_version.c", *words, "-o", target])


def run_program(program, installed):
    """Runs a program and checks the version that it prints."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(installed.lib)}
    said = output([program], env=environment).split()
    wanted = installed.flags("--modversion")[0]
    major, minor, micro = (int(part) for part in wanted.split("."))
    expect(said == [wanted, str(major << 16 | minor << 8 | micro)],
           f"{program.name} said {said}, pkg-config {wanted}")


def self_test(installed):
    """Damages the installation in ways that must be noticed."""
    (installed.lib / "libnestvirt.so").unlink()
    caught("a missing link", installed.problems())
    (installed.lib / "libnestvirt.so").symlink_to(installed.lib / "libnestvirt.so.0")
    caught("an absolute link", installed.problems())
    next(installed.destdir.rglob("boot.h")).unlink()
    caught("a missing header", [one for one in installed.problems() if "boot.h" in one])
    (installed.lib / "libnestvirt.a").unlink()
    caught("a missing archive", [one for one in installed.problems() if one == "libnestvirt.a"])
    (installed.lib / "stray").write_text("", encoding="utf-8")
    caught("a stray file", installed.stray())
    with installed.pc.open("a", encoding="utf-8") as file:
        file.write(f"Requires.private: zlib\nbuilt_in={build_root()}\n")
    caught("a library that is required", [one for one in installed.problems() if "zlib" in one])
    caught("the build folder in nestvirt.pc",
           [one for one in installed.problems() if f"names {build_root()}" in one])
    self_test_parts(installed)


def self_test_parts(installed):
    """The same for the bindings and the reference, as far as they are there."""
    for part, name in (("python", "nestvirt/_abi.py"), ("go", "nestvirt/abi.c"), ("docs", "man3/nestvirt_vm_new.3")):
        if is_wanted(part):
            next(installed.destdir.rglob(name)).unlink()
            caught(f"{name} that is missing", [one for one in installed.parts() if name.split("/")[1] in one])
    if is_wanted("go"):
        (next(installed.destdir.rglob("gocode/src/nestvirt")) / "a_test.go").write_text("", encoding="utf-8")
        caught("a test of Go", [one for one in installed.stray() if one.endswith("a_test.go")])


def test(folder):
    """Installs below a DESTDIR and uses what is there."""
    need("pkg-config")
    need_plain_build()
    library("SHARED")
    meson = shlex.split(os.environ.get("MESON", "meson"))
    need(meson[0])
    destdir = folder / "destdir"
    output([*meson, "install", "-C", build_root(), "--no-rebuild", "--destdir", destdir])
    installed = Installed(destdir)
    problems = installed.problems() + installed.parts() + installed.stray()
    expect(not problems, "meson install: " + ", ".join(problems))
    parts = "".join(f", {part}" for part in ("python", "go", "docs") if is_wanted(part))
    print(f"installed: headers, libnestvirt.so with both links, libnestvirt.a, nestvirt.pc{parts}")

    compile_program(installed, folder / "dynamic")
    run_program(folder / "dynamic", installed)
    needed = output(["readelf", "-d", folder / "dynamic"])
    expect("[libnestvirt.so.0]" in needed, "the program does not need libnestvirt.so.0")
    print("a program with pkg-config --cflags --libs: compiled, says its version")

    compile_program(installed, folder / "static", "--static")
    run_program(folder / "static", installed)
    expect("libnestvirt" not in output(["readelf", "-dW", folder / "static"]), "static is not static")
    print("a program with pkg-config --static and -static: compiled, says its version")
    self_test(installed)


if __name__ == "__main__":
    main(test)
