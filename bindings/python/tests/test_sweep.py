# SPDX-License-Identifier: Apache-2.0
"""The example sweep.py: 20 VMs at once, and a table of what they did."""

import csv
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, List

import support

PROGRAM = Path(__file__).resolve().parents[1] / "examples" / "sweep.py"
PRIMES = {1000: 168, 2000: 303, 10000: 1229, 20000: 2262, 30000: 3245, 40000: 4203, 60000: 6057}
CPU_MOUNT = Path("/sys/fs/cgroup/cpu")


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, str(PROGRAM), *arguments], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, check=False, timeout=support.SECONDS * 10)


class Sweep(support.Case):
    def right(self, *arguments: str) -> str:
        done = run(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def test_twenty_vms_at_once(self) -> None:
        start = time.monotonic()
        rows: List[Any] = json.loads(self.right("--json"))
        seconds = time.monotonic() - start
        self.assertEqual(len(rows), 20)
        for row in rows:
            self.assertEqual(row["primes"], PRIMES[row["limit"]])
            self.assertEqual(row["ended"], "guest exit, code 0")
            self.assertGreater(row["cpu_s"], 0)
            self.assertGreaterEqual(row["run_s"], row["cpu_s"])
            self.assertGreaterEqual(row["resident_kib"], row["limit"] // 1024)
        self.assertEqual(len({(row["limit"], row["cpus"], row["mergeable"]) for row in rows}),
                         20 if len(os.sched_getaffinity(0)) > 1 else 10)
        # One after another they would have taken longer than the whole.
        self.assertGreater(sum(row["run_s"] for row in rows), 2 * seconds)

    def test_table(self) -> None:
        lines = self.right("--limits", "1000", "2000", "--cpus", "0", "--nice", "0", "10").splitlines()
        self.assertEqual(lines[0].split()[:6], ["limit", "CPUs", "KSM", "nice", "quota", "primes"])
        self.assertEqual(len(lines), 1 + 8 + 2)
        self.assertEqual(lines[1].split()[:7], ["1000", "0", "no", "0", "-", "168", "right"])
        self.assertEqual(len({len(line) for line in lines[:9]}), 1)
        self.assertRegex(lines[-1], r"^8 VMs at once in \d+\.\d\d s; ")

    def test_csv(self) -> None:
        rows = list(csv.DictReader(io.StringIO(self.right("--csv", "--limits", "1000", "--mergeable", "no"))))
        self.assertEqual({row["primes"] for row in rows}, {"168"})

    def groups(self) -> List[str]:
        return [name for name in os.listdir(CPU_MOUNT) if name.startswith("sweep-")]

    def test_quota(self) -> None:
        if os.geteuid() or not CPU_MOUNT.is_dir():
            self.skipTest("needs root, and a cgroup file system of version 1 with the controller cpu")
        before = self.groups()
        rows = json.loads(self.right("--json", "--limits", "20000", "--quota", "0", "25", "--cpus", "0",
                                     "--mergeable", "no"))
        self.assertEqual([row["quota"] for row in rows], [0, 25])
        # Twice the time is less than what four times the CPU makes: others run beside this.
        self.assertGreater(rows[1]["run_s"], 2 * rows[1]["cpu_s"])
        # Even one that failed leaves nothing.
        done = run("--quota", "50", "--cpus", "1000")
        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1), done.stderr)
        self.assertIn("CPU 1000", done.stderr)
        self.assertEqual(self.groups(), before)

    def test_wrong_words(self) -> None:
        for words in (["--limits", "70000"], ["--limits", "x"], ["--json", "--csv"], ["--mergeable", "perhaps"]):
            self.assertEqual(run(*words).returncode, 2, words)


if __name__ == "__main__":
    support.main()
