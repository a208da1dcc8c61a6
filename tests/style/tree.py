# SPDX-License-Identifier: Apache-2.0
"""Owns what the style checks share: the project's files, C text without comments, results, self-tests."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(os.environ.get("NESTVIRT_SOURCE_ROOT", Path(__file__).resolve().parents[2]))


class Tree:
    """A folder with the project in it, or with a sample that breaks a rule."""

    def __init__(self, root):
        self.root = Path(root)
        self.names = self._tracked() or self._walk()

    def _tracked(self):
        """What git tracks or would add; None outside of a checkout and without git."""
        if not (self.root / ".git").exists() or not shutil.which("git"):
            return None
        done = subprocess.run(["git", "-C", self.root, "ls-files", "-z", "--cached", "--others",
                               "--exclude-standard"], capture_output=True, check=False)
        names = sorted(set(done.stdout.decode().split("\0")) - {""})
        return [name for name in names if (self.root / name).is_file()]

    def _walk(self):
        found = []
        for folder, folders, files in os.walk(self.root, followlinks=True):
            folders[:] = [name for name in folders if name not in (".git", "__pycache__")
                          and not (Path(folder) / name / "meson-private").exists()]
            found += [os.path.relpath(os.path.join(folder, name), self.root) for name in files]
        return sorted(found)

    def read(self, name):
        """A file's text; None for one that is not text."""
        data = (self.root / name).read_bytes()
        if b"\0" in data:
            return None
        try:
            return data.decode()
        except UnicodeDecodeError:
            return None

    def files(self, *patterns):
        """(name, text) of the text files whose names match one of the patterns."""
        for name in self.names:
            if any(re.search(pattern, name) for pattern in patterns):
                text = self.read(name)
                if text is not None:
                    yield name, text

    def scripts(self):
        """(name, text) of files that begin with #!."""
        for name, text in self.files("."):
            if text.startswith("#!"):
                yield name, text


def code_only(text, keep_strings=False):
    """C text with blanks for comments and the inside of strings; lines and columns stay."""
    def blank(match):
        found = match.group()
        if found[0] in "\"'" and keep_strings:
            return found
        if found[0] in "\"'":
            return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[-1]
        return re.sub(r"[^\n]", " ", found)
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, blank, text, flags=re.S)


def line_of(text, position):
    """The number of the line at a position."""
    return text.count("\n", 0, position) + 1


def sample(folder, files):
    """A tree in a folder, with {name: text}."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return Tree(folder)


def check_sample(check, files):
    """What a check says of {name: text}."""
    with tempfile.TemporaryDirectory(prefix="nestvirt-style-") as folder:
        return check(sample(Path(folder), files))


def finish(problems, what):
    """Ends a check with its result."""
    for problem in problems:
        print(problem)
    print(f"FAIL: {len(problems)} problems in {what}" if problems else f"OK: {what}")
    sys.exit(1 if problems else 0)


def skip(reason):
    """Ends a check that cannot be done here."""
    print(f"SKIP: {reason}")
    sys.exit(77)


def self_test(check, bad, good):
    """check(tree) must find a problem in each bad sample {title: files}, and none in the good ones."""
    for title, files in good.items():
        found = check_sample(check, files)
        if found:
            print(f"FAIL: self-test: {title} is refused: {found}")
            sys.exit(1)
    for title, files in bad.items():
        if not check_sample(check, files):
            print(f"FAIL: self-test: {title} was not caught")
            sys.exit(1)
        print(f"  self-test: {title}: caught")
