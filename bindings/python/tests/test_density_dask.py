# SPDX-License-Identifier: Apache-2.0
"""The example density.py on a Dask cluster: a scheduler and its workers as processes of this machine."""

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any, Dict, List, Tuple

import support

PROGRAM = Path(os.environ["NESTVIRT_SOURCE_ROOT"]) / "bindings" / "python" / "examples" / "density.py"
WORDS = ["--count", "20", "--memory", "64M", "--busy", "10"]
LONG = [*WORDS, "--hold", "600"]
SECONDS = 60  # For what a cluster does: its programs take seconds to begin.


def without_kvm() -> List[str]:
    """Begins a program whose /dev/kvm is another device; nobody else sees that."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", "--mount", *user, "sh", "-c", 'mount --bind /dev/null /dev/kvm && exec "$@"', "sh"]


class Cluster:
    """A scheduler and workers; each is a process, and is ended by its number."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self.file = self.folder / "scheduler.json"
        self.processes: Dict[str, "subprocess.Popen[bytes]"] = {}

    def _begin(self, name: str, command: List[str], **more: str) -> None:
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    cwd=self.folder, env={**os.environ, **more})

    def add_scheduler(self) -> None:
        """On any free port of the loopback interface, without its pages."""
        self._begin("scheduler", [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
                                  "0", "--no-dashboard", "--no-show", "--scheduler-file", str(self.file)])
        self.await_true("scheduler", self.file.exists)

    def add_worker(self, name: str, before: Tuple[str, ...] = (), **more: str) -> None:
        """A worker of one process and one thread, known by the name."""
        self._begin(name, [*before, sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(self.file),
                           "--host", "127.0.0.1", "--no-nanny", "--no-dashboard", "--nthreads", "1", "--name", name,
                           "--local-directory", str(self.folder / name)], **more)
        self.await_true(name, lambda: "Registered to:" in self.log(name))

    def await_true(self, name: str, is_there: Any) -> None:
        """Waits for something, unless the process has ended."""
        deadline = time.monotonic() + SECONDS
        while not is_there():
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{name} did not come up:\n{self.log(name)}")
            time.sleep(0.05)

    def log(self, name: str) -> str:
        """What it has printed."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def vms(self, name: str) -> int:
        """How many VMs a worker has."""
        folder = f"/proc/{self.processes[name].pid}/fd"
        count = 0
        for fd in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError):  # Closed meanwhile.
                count += os.readlink(f"{folder}/{fd}") == "anon_inode:kvm-vm"
        return count

    def end(self, *names: str) -> None:
        """Ends some of them, or all."""
        gone = [self.processes.pop(name) for name in names or list(self.processes)]
        for process in gone:
            process.terminate()
        for process in gone:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


class Dask(unittest.TestCase):
    cluster: Cluster

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory(prefix="nestvirt-dask-")
        cls.addClassCleanup(folder.cleanup)
        cls.cluster = Cluster(folder.name)
        cls.addClassCleanup(cls.cluster.end)
        cls.cluster.add_scheduler()
        cls.cluster.add_worker("one")
        cls.cluster.add_worker("two")

    def density(self, *words: str, status: int = 0) -> Tuple[Any, str]:
        """The result, and what was told beside it."""
        done = subprocess.run([sys.executable, str(PROGRAM), *words, "--dask", str(self.cluster.file)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False, timeout=SECONDS)
        self.assertEqual(done.returncode, status, done.stderr)
        return json.loads(done.stdout), done.stderr

    def begin(self, *words: str) -> "subprocess.Popen[str]":
        """The program, when its VMs are there on all workers."""
        process = subprocess.Popen([sys.executable, str(PROGRAM), *words, "--dask", str(self.cluster.file)], text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert process.stdout and process.stderr
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        workers = {name for name in self.cluster.processes if name != "scheduler"}
        for line in process.stderr:
            if "holding" in line:
                workers.discard(line.partition(":")[0])
            if not workers:
                return process
        raise AssertionError(f"it ended before all were there: {workers}")

    def await_empty(self, *names: str) -> None:
        """Waits until workers have no VMs."""
        support.await_true(f"no VMs are left on {names}", lambda: not any(map(self.cluster.vms, names)))

    def test_both_do_their_share(self) -> None:
        result, told = self.density(*WORDS, "--hold", "2", "--step", "5")
        workers = result["workers"]
        self.assertEqual([one["worker"] for one in workers], ["one", "two"])
        for one in workers:
            self.assertEqual((one["error"], one["vms"], one["ran"], one["busy"], one["program"]),
                             (None, 20, 20, 2, "density.py"))
            self.assertEqual(one["host"], os.uname().nodename)
            self.assertIn(f"{one['worker']}:    ", told)
        self.assertEqual((result["vms"], result["asked"], result["ran"], result["busy"], result["machines"]),
                         (40, 40, 40, 4, 1))
        self.assertEqual((len(result["points"]), result["points"][-1]["vms"]), (8, 40))
        self.assertEqual(result["descriptors"], sum(one["descriptors"] for one in workers))
        self.assertEqual(result["memory"], max(one["memory"] for one in workers))  # It is the same machine's.
        queues = [one["runqueue"] for one in workers]
        for name in ("count", "time_ns", "vms"):
            self.assertEqual(result["runqueue"][name], sum(queue[name] for queue in queues))
        if all(queue["buckets"] is not None for queue in queues):
            counts: Dict[int, int] = {}
            for bucket in (bucket for queue in queues for bucket in queue["buckets"]):
                counts[bucket["from_ns"]] = counts.get(bucket["from_ns"], 0) + bucket["count"]
            self.assertEqual({bucket["from_ns"]: bucket["count"] for bucket in result["runqueue"]["buckets"]}, counts)
        self.assertIn("1 machine  2 of 2", told)
        self.await_empty("one", "two")

    def test_two_workers_and_one_ksm(self) -> None:
        run, record = Path("/sys/kernel/mm/ksm/run"), Path("/run/nestvirt-ksm")
        if not os.access(run, os.W_OK) or record.exists():
            self.skipTest("KSM cannot be changed: needs root, a kernel with KSM, and no other program that changes it")
        former = run.read_text(encoding="ascii")
        result, told = self.density(*WORDS, "--hold", "2", "--ksm")
        self.assertEqual([one["vms"] for one in result["workers"]], [20, 20])
        self.assertIn("KSM's settings are left as they are", told)
        self.assertEqual((run.read_text(encoding="ascii"), record.exists()), (former, False))

    def test_workers_that_cannot(self) -> None:
        self.addCleanup(self.cluster.end, "blind", "bare")
        self.cluster.add_worker("blind", tuple(without_kvm()))
        self.cluster.add_worker("bare", NESTVIRT_LIBRARY="/nonexistent/libnestvirt.so.0")
        result, told = self.density(*WORDS, status=1)
        workers = {one["worker"]: one for one in result["workers"]}
        self.assertIn("/dev/kvm", workers["blind"]["error"])
        self.assertIn("install libnestvirt", workers["bare"]["error"])
        self.assertEqual([workers[name]["error"] for name in ("one", "two")], [None, None])
        self.assertEqual((result["vms"], result["ran"], result["asked"]), (40, 40, 80))
        for name in ("blind", "bare"):
            self.assertEqual(workers[name]["host"], os.uname().nodename)
            self.assertIn(f"FAILED of {name}: {workers[name]['error']}", told)
        self.assertIn("2 of 4", told)
        _, told = self.density("--count", "1", "--memory", "1M", "--quiet", status=1)
        self.assertEqual(sorted(line.split(": ")[1] for line in told.splitlines()), ["bare", "blind"])

    def test_worker_that_dies(self) -> None:
        self.cluster.add_worker("weak")
        self.addCleanup(self.cluster.end, "weak")
        process = self.begin(*WORDS, "--hold", "8")
        self.cluster.processes["weak"].kill()
        printed, told = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 1, told)
        result = json.loads(printed)
        self.assertEqual({one["worker"]: one["error"] for one in result["workers"]},
                         {"one": None, "two": None, "weak": "the worker has died, or was closed"})
        self.assertEqual(result["vms"], 40)

    def test_ctrl_c(self) -> None:
        process = self.begin(*LONG)
        self.assertEqual([self.cluster.vms(name) for name in ("one", "two")], [20, 20])
        process.send_signal(signal.SIGINT)
        printed, told = process.communicate(timeout=SECONDS)
        self.assertEqual(process.returncode, 0, told)
        result = json.loads(printed)
        self.assertEqual((result["interrupted"], result["vms"]), (True, 40))
        self.await_empty("one", "two")

    def test_killed(self) -> None:
        process = self.begin(*LONG)
        process.kill()
        self.await_empty("one", "two")
        self.density(*WORDS, "--quiet")  # The workers are free again.

    def test_worker_that_is_still_to_come(self) -> None:
        with subprocess.Popen([sys.executable, str(PROGRAM), "--count", "2", "--memory", "1M", "--quiet", "--dask",
                               str(self.cluster.file), "--workers", "3"], text=True, stdout=subprocess.PIPE) as process:
            self.addCleanup(process.kill)
            time.sleep(3)
            self.assertIsNone(process.poll())
            self.addCleanup(self.cluster.end, "late")
            self.cluster.add_worker("late")
            result = json.loads(process.communicate(timeout=SECONDS)[0])
        self.assertEqual((process.returncode, result["vms"], len(result["workers"])), (0, 6, 3))

    def test_worker_that_is_busy(self) -> None:
        first = self.begin(*LONG)
        with subprocess.Popen([sys.executable, str(PROGRAM), *WORDS, "--dask", str(self.cluster.file)], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as second:
            self.addCleanup(second.kill)
            time.sleep(3)
            self.assertIsNone(second.poll())  # Waits for the first to end.
            second.send_signal(signal.SIGINT)
            printed, told = second.communicate(timeout=SECONDS)
            self.assertEqual(second.returncode, 1, told)
            self.assertEqual({one["error"] for one in json.loads(printed)["workers"]},
                             {"it was called off before it began"})
        first.send_signal(signal.SIGTERM)
        self.assertTrue(json.loads(first.communicate(timeout=SECONDS)[0])["interrupted"])
        self.await_empty("one", "two")

    def test_no_cluster(self) -> None:
        for words, text in ((["--dask", "nowhere"], "neither a scheduler's address"),
                            (["--dask", "tcp://127.0.0.1:1"], "tcp://127.0.0.1:1")):
            done = subprocess.run([sys.executable, str(PROGRAM), *WORDS, *words], text=True, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, check=False, timeout=SECONDS)
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(text, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    if importlib.util.find_spec("distributed") is None:
        support.skip_all("Dask's distributed is not installed (Debian's package python3-distributed)")
    support.main()
