# SPDX-License-Identifier: Apache-2.0
"""14: no library, one of another major version, one with symbols removed."""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from typing import Dict

import support
from nestvirt import _abi

ROOT = Path(__file__).resolve().parents[3]

# One sentence, said at the first call and not at import.
SAYS = """
import nestvirt, sys
try:
    nestvirt.VM(memory="1M")
except nestvirt.LibraryError as error:
    print(type(error).__name__, error.errno, error)
"""

# A VM runs; what is missing raises, by name, and nothing else has happened.
LACKS_SOME = """
import guests, nestvirt, support
with support.started(guests.SPIN) as vm:
    support.await_spin(vm)
    for function in (vm.pause, nestvirt.ksm_stats, nestvirt.Report, vm.threads, vm.event_fd):
        try:
            function()
        except nestvirt.UnsupportedError as error:
            print(error)
        else:
            print("no error:", function)
    assert vm.state is nestvirt.State.RUNNING
    support.await_spin(vm)
    vm.stop()
    print(vm.wait())
print(vm.closed)
"""

# With nothing but its version, each function of the library says that it is missing.
LACKS_ALL = """
import nestvirt, sys
from nestvirt._abi import PROTOTYPES
from nestvirt._library import lib
for name in PROTOTYPES:
    if name == "nestvirt_version":
        continue
    try:
        getattr(lib, name)()
    except nestvirt.UnsupportedError as error:
        assert str(error) == f"{name}: not supported by libnestvirt 0.1.0; install a newer one", error
        assert error.errno == 95 and error.object == name
    else:
        print("no error:", name)
print("all refused")
"""

# What the functions that are called there need, in this order.
MISSING = ("nestvirt_vm_pause", "nestvirt_ksm_stats_init", "nestvirt_report_config_init", "nestvirt_thread_get",
           "nestvirt_vm_get_event_fd")


def build_folder() -> str:
    """The build folder with the objects to link anew."""
    folder = os.environ.get("NESTVIRT_BUILD_ROOT", str(ROOT / "build"))
    if not os.path.exists(f"{folder}/lib/libnestvirt.a"):
        raise unittest.SkipTest(f"{folder}/lib/libnestvirt.a is not there; build it, or set NESTVIRT_BUILD_ROOT")
    return folder


class Libraries(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def make(self, *arguments: str, version: str = "") -> Dict[str, str]:
        """A library without symbols, or of another version; the environment that names it."""
        options = ["--version", version] if version else []
        done = subprocess.run([ROOT / "tests/bindings/old_library", *options, build_folder(), self.folder, *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode == 77:
            raise unittest.SkipTest(done.stdout.strip())
        self.assertEqual(done.returncode, 0, done.stdout)
        return {"NESTVIRT_LIBRARY": f"{self.folder}/libnestvirt.so.0"}

    def says(self, library: str) -> str:
        """What the first call says, one line."""
        text = support.run_python(SAYS, environment={"NESTVIRT_LIBRARY": library}).stdout
        self.assertEqual(text.count("\n"), 1, text)
        self.assertTrue(text.startswith("LibraryError "), text)
        return text

    def test_no_library(self) -> None:
        text = self.says(f"{self.folder}/nothing.so")
        for word in ("LibraryError 2 ", f"{self.folder}/nothing.so", "install libnestvirt 0.x", "NESTVIRT_LIBRARY"):
            self.assertIn(word, text)
        self.assertEqual(text.count("nothing.so"), 1, text)

    def test_something_else(self) -> None:
        path = os.path.join(self.folder, "text.so")
        Path(path).write_text("no library", encoding="ascii")
        self.assertIn("install libnestvirt 0.x", self.says(path))
        self.assertIn("install libnestvirt 0.x", self.says("libc.so.6"))

    def test_another_major_version(self) -> None:
        library = self.make(version="1.0.0")["NESTVIRT_LIBRARY"]
        text = self.says(library)
        for word in ("LibraryError 95 ", library, "is version 1.0", "needs 0.x", "install libnestvirt 0.x"):
            self.assertIn(word, text)

    def test_the_command_line_says_it_in_one_line(self) -> None:
        environment = {**os.environ, "NESTVIRT_LIBRARY": f"{self.folder}/nothing.so"}
        done = subprocess.run([sys.executable, "-m", "nestvirt", "probe"], env=environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stdout, "")
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("install libnestvirt 0.x", done.stderr)

    @unittest.skipUnless(os.access("/dev/kvm", os.R_OK | os.W_OK), "/dev/kvm cannot be opened")
    def test_some_symbols_are_missing(self) -> None:
        lines = support.run_python(LACKS_SOME, environment=self.make(*MISSING)).stdout.splitlines()
        wanted = [f"{name}: not supported by libnestvirt 0.1.0; install a newer one" for name in MISSING]
        self.assertEqual(lines, [*wanted, "stopped by caller", "True"])

    def test_all_symbols_are_missing(self) -> None:
        environment = self.make(*(name for name in _abi.PROTOTYPES if name != "nestvirt_version"))
        self.assertEqual(support.run_python(LACKS_ALL, environment=environment).stdout, "all refused\n")

    def test_a_newer_micro_version_is_taken(self) -> None:
        environment = self.make(version="0.9.7")
        text = support.run_python("import nestvirt; print(nestvirt.version(), len(nestvirt.device_kinds()) > 5)",
                                  environment=environment).stdout
        self.assertEqual(text, "0.9.7 True\n")


if __name__ == "__main__":
    support.main(needs_kvm=False)
