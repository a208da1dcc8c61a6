# SPDX-License-Identifier: Apache-2.0
"""The package is installed by pip and by meson, and finds the library by its soname."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any, Dict

import nestvirt
import support

ROOT = Path(__file__).resolve().parents[3]
PACKAGE = ROOT / "bindings" / "python"
PYTHON = "/usr/bin/python3"  # That which Debian's setuptools and wheel belong to.

# What whoever has installed it does first.
USES = """
import json, nestvirt
from nestvirt import aio
with nestvirt.Report() as report:
    print(json.dumps([nestvirt.__file__, nestvirt.version(), len(report), len(nestvirt.device_kinds())]))
"""


def run(*words: Any, environment: Dict[str, str]) -> str:
    """A command's output; it must succeed."""
    done = subprocess.run([str(word) for word in words], env=environment, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, cwd="/", check=False)
    if done.returncode:
        raise AssertionError(f"{words[0]} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def has(module: str) -> bool:
    """Whether the system's Python has a module."""
    return subprocess.run([PYTHON, "-c", f"import {module}"], stderr=subprocess.DEVNULL, check=False).returncode == 0


class Installation(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        # Nothing of the source tree: neither the package nor the library is to be found there.
        self.environment = {name: value for name, value in os.environ.items()
                            if not name.startswith(("PYTHON", "NESTVIRT_", "PIP_")) and name != "VIRTUAL_ENV"}

    def library_folder(self) -> Path:
        """A folder with the library by its soname, as ldconfig has them."""
        path = os.environ.get("NESTVIRT_LIBRARY", str(ROOT / "build/lib/libnestvirt.so.0"))
        if not os.path.exists(path):
            self.skipTest(f"{path} is not there; build it, or set NESTVIRT_LIBRARY")
        folder = self.folder / "lib"
        folder.mkdir()
        (folder / "libnestvirt.so.0").symlink_to(os.path.realpath(path))
        return folder

    def use(self, python: Any, below: Path) -> None:
        """Imports the package, which must be below a folder, and runs its command line."""
        found = json.loads(run(python, "-c", USES, environment=self.environment))
        self.assertTrue(found[0].startswith(f"{below}/"), found)
        self.assertEqual(found[1], nestvirt.version())
        self.assertGreater(found[2], 40)
        self.assertGreater(found[3], 5)
        report = run(python, "-m", "nestvirt", "probe", "--json", environment=self.environment)
        self.assertEqual(json.loads(report)["version"], nestvirt.version())
        installed = {path.name for path in Path(found[0]).parent.iterdir()} - {"__pycache__"}
        ours = {path.name for path in (PACKAGE / "nestvirt").iterdir()} - {"__pycache__", ".mypy_cache"}
        self.assertEqual(installed, ours)

    def test_pip(self) -> None:
        for module in ("venv", "pip", "setuptools", "wheel"):
            if not has(module):
                self.skipTest(f"{PYTHON} has no {module}: python3-{module}")
        source = self.folder / "source"
        shutil.copytree(PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
        self.environment["LD_LIBRARY_PATH"] = str(self.library_folder())
        virtual = self.folder / "venv"
        run(PYTHON, "-m", "venv", "--system-site-packages", virtual, environment=self.environment)
        run(virtual / "bin/python", "-m", "pip", "install", "--no-index", "--no-build-isolation", "--no-cache-dir",
            "--disable-pip-version-check", source, environment=self.environment)
        self.use(virtual / "bin/python", virtual)
        text = "from importlib.metadata import version; print(version('nestvirt'))"
        self.assertEqual(run(virtual / "bin/python", "-c", text, environment=self.environment).strip(),
                         project_version())

    def test_meson(self) -> None:
        build = os.environ.get("NESTVIRT_BUILD_ROOT")
        if not build:
            self.skipTest("NESTVIRT_BUILD_ROOT is not set: run this through meson test")
        meson = os.environ.get("MESON", "meson").split()
        if shutil.which(meson[0]) is None:
            self.skipTest("meson is not installed")
        destination = self.folder / "destdir"
        run(*meson, "install", "-C", build, "--no-rebuild", "--destdir", destination, environment=self.environment)
        packages = [path.parent for path in destination.rglob("nestvirt/__init__.py")]
        self.assertEqual(len(packages), 1, "the option python is disabled, or does not reach bindings/python")
        library = next(destination.rglob("libnestvirt.so.0"))
        self.environment["LD_LIBRARY_PATH"] = str(library.parent)
        self.environment["PYTHONPATH"] = str(packages[0].parent)
        self.use(PYTHON, packages[0].parent)
        self.search_path_has("/" + str(packages[0].parent.relative_to(destination)))

    def search_path_has(self, folder: str) -> None:
        """Whoever installs to the default prefix needs to set nothing."""
        if not folder.startswith("/usr/local/"):
            return  # A prefix of somebody's own.
        run(PYTHON, "-c", f"import site; assert {folder!r} in site.getsitepackages(), site.getsitepackages()",
            environment={name: value for name, value in self.environment.items() if name != "PYTHONPATH"})

    def test_versions_agree(self) -> None:
        self.assertEqual(re.findall(r'^version = "([\d.]+)"', (PACKAGE / "pyproject.toml").read_text("utf-8"), re.M),
                         [project_version()])
        numbers = (nestvirt.VERSION_MAJOR, nestvirt.VERSION_MINOR, nestvirt.VERSION_MICRO)
        self.assertEqual(".".join(map(str, numbers)), project_version())


def project_version() -> str:
    """That of meson.build."""
    match = re.search(r"\bversion: '([\d.]+)'", (ROOT / "meson.build").read_text("utf-8"))
    assert match is not None
    return match[1]


if __name__ == "__main__":
    support.main(needs_kvm=False)
