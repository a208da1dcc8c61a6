# SPDX-License-Identifier: Apache-2.0
"""Owns what the abi tests share: where things are, running commands, results as exit statuses."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(os.environ.get("NESTVIRT_SOURCE_ROOT", Path(__file__).resolve().parents[2]))
INCLUDE = SOURCE / "include"
MAP = SOURCE / "lib" / "libnestvirt.map"
CC = shlex.split(os.environ.get("CC", "cc"))
CXX = shlex.split(os.environ.get("CXX", "c++"))


class Failure(Exception):
    """A check that did not hold."""


class Skip(Exception):
    """Something outside of the project is missing; the text says what."""


def build_root():
    """The meson build folder of the library under test."""
    if "NESTVIRT_BUILD_ROOT" not in os.environ:
        raise Skip("NESTVIRT_BUILD_ROOT is not set: run this through meson test")
    return Path(os.environ["NESTVIRT_BUILD_ROOT"])


def library(kind):
    """The library under test; kind is SHARED or STATIC."""
    variable = "NESTVIRT_" + kind
    if variable not in os.environ:
        raise Skip(variable + " is not set: run this through meson test")
    return Path(os.environ[variable])


def is_plain_build():
    """Whether no sanitizer has put symbols of its own into the library."""
    return os.environ.get("NESTVIRT_SANITIZE", "none") == "none"


def need_plain_build():
    """Skips when sanitizers were built in."""
    if not is_plain_build():
        raise Skip("the library is built with b_sanitize, which changes its symbols and how it is loaded")


def need(*tools):
    """Skips when a tool is missing."""
    for tool in tools:
        if not shutil.which(tool):
            raise Skip(f"{tool} is not installed")


def run(command, **options):
    """Runs a command to its end and returns it with its output, whatever its status."""
    return subprocess.run([str(word) for word in command], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False, **options)


def output(command, **options):
    """A command's output; it must succeed."""
    done = run(command, **options)
    if done.returncode != 0:
        words = " ".join(str(word) for word in command)
        raise Failure(f"`{words}` ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def expect(condition, text):
    """Fails with a text unless the condition holds."""
    if not condition:
        raise Failure(text)


def caught(name, problems):
    """A self-test: a checker given something bad must have found problems."""
    expect(problems, f"self-test: {name} was not caught")
    print(f"  self-test: {name}: caught")


def parallel(function, items):
    """The results of a function over items, worked on by every processor."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(function, items))


def main(test):
    """Runs a test with a folder of its own and ends with its exit status."""
    try:
        with tempfile.TemporaryDirectory(prefix="nestvirt-abi-") as folder:
            test(Path(folder))
    except Skip as reason:
        print(f"SKIP: {reason}")
        sys.exit(77)
    except Failure as problem:
        print(f"FAIL: {problem}")
        sys.exit(1)
    except Exception:  # A defect of the test itself must not look like a skip.
        traceback.print_exc(file=sys.stdout)
        sys.exit(1)
    print("OK")
    sys.exit(0)
