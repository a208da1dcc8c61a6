#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test of `meson install`: what is put where, and that pkg-config is all a program needs."""

import os
import re
import shlex
from pathlib import Path

from harness import (CC, INCLUDE, build_root, caught, expect, library, main, need, need_plain_build,
                     output)

HERE = Path(__file__).resolve().parent


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

    def stray(self):
        """Installed files that nobody expects."""
        allowed = (r".*/(include/nestvirt/\w+\.h|libnestvirt\.(a|so[.\d]*)|pkgconfig/nestvirt\.pc"
                   r"|man/man[37]/nestvirt[\w.]*\.[37]|doc/nestvirt/html/[\w.-]+\.(html|css))")
        return [str(path) for path in self.destdir.rglob("*")
                if not path.is_dir() and not re.fullmatch(allowed, str(path))]


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
    problems = installed.problems() + installed.stray()
    expect(not problems, "meson install: " + ", ".join(problems))
    print("installed: headers, libnestvirt.so with both links, libnestvirt.a, nestvirt.pc")

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
