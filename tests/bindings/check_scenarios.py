#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Owns the test that the numbered scenarios of README.md here are all there, in Python and in Go."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / "bindings" / "python" / "tests"
GO = ROOT / "bindings" / "go"


def listed(text):
    """The numbers of the table."""
    return re.findall(r"^\| (\d\d) \|", text, re.M)


def in_python(names):
    """Number: file."""
    found = {}
    for name in names:
        match = re.fullmatch(r"test_(\d\d)_\w+\.py", name)
        if match:
            found.setdefault(match[1], name)
    return found


def in_go(texts):
    """Number: file. A file counts if it has a test function of its number."""
    found = {}
    for name, text in texts.items():
        match = re.fullmatch(r"s(\d\d)_\w+_test\.go", name)
        if match and re.search(rf"^func TestS{match[1]}\w*\(", text, re.M):
            found.setdefault(match[1], name)
    return found


def problems(numbers, python, go):
    """What is missing, and what has no number."""
    if not numbers:
        yield "README.md: lists no scenario"
    for number in sorted({number for number in numbers if numbers.count(number) > 1}):
        yield f"README.md: {number} is there twice"
    for language, found in (("Python", python), ("Go", go)):
        for number in sorted(set(numbers) - set(found)):
            yield f"scenario {number} has no test in {language}"
        for number in sorted(set(found) - set(numbers)):
            yield f"{found[number]}: README.md does not list scenario {number}"


def self_test():
    """Each kind of problem must be found."""
    python = in_python(["test_01_many.py", "test_02_life.py", "support.py"])
    go = in_go({"s01_many_test.go": "func TestS01Many(t *testing.T) {", "s02_life_test.go": "func TestS01Life("})
    bad = [(["01", "02"], python, go, "scenario 02 has no test in Go"),
           (["01", "02", "03"], python, python, "scenario 03 has no test in Python"),
           (["01"], go, python, "test_02_life.py: README.md does not list scenario 02"),
           (["01", "01"], go, go, "README.md: 01 is there twice"),
           ([], {}, {}, "README.md: lists no scenario")]
    missed = [text for *given, text in bad if text not in list(problems(*given))]
    return [f"self-test: not noticed: {text}" for text in missed]


def main():
    """Status 1 if something is wrong."""
    numbers = listed((Path(__file__).resolve().parent / "README.md").read_text(encoding="utf-8"))
    python = in_python(path.name for path in PYTHON.iterdir())
    go = in_go({path.name: path.read_text(encoding="utf-8") for path in GO.glob("*_test.go")})
    found = self_test() + list(problems(numbers, python, go))
    for line in found:
        print(line)
    if not found:
        print(f"{len(numbers)} scenarios, each in both languages")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
