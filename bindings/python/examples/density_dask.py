# SPDX-License-Identifier: Apache-2.0
"""
Owns the density experiment on every worker of a Dask cluster: run() of density_run.py once on each, one report.

Workers need the package nestvirt and the library, not these files: the functions are sent to them. Needs Debian's
python3-distributed.
"""

import dataclasses
import os
import socket
import sys
import threading
import time
import uuid
from contextlib import ExitStack, suppress
from typing import Any, Callable, Dict, List, Optional

import cloudpickle
import distributed

import density_run
from density_report import Result, merge
from density_run import Options, Progress, machine, run

TOPIC = "nestvirt-density"  # Of events, which carry progress.
CONNECT_SECONDS = 10
FETCH_SECONDS = 30
WORKERS_SECONDS = 60  # For workers that are still to come.
LOOK_SECONDS = 1.0  # Between two looks at which workers there are.


# --- On a worker ---

class Watch(distributed.WorkerPlugin):
    """Knows when a worker's VMs have to go: it is removed, the worker closes, or nobody wants the result any more."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.over: Optional[threading.Event] = None

    def setup(self, worker: Any) -> None:
        """On the worker."""
        self.over = threading.Event()

    def teardown(self, worker: Any) -> None:
        """The plugin is removed, or the worker closes."""
        if self.over:
            self.over.set()

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """The task is called off, also because the program that asked for it has died."""
        if self.over and str(key).startswith(self.name) and start in ("executing", "long-running"):
            self.over.set()


def place() -> Dict[str, Any]:
    """Where a worker runs."""
    return {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid()}


def work(name: str, options: Dict[str, Any], pid: int) -> Result:
    """A worker's share: one machine's work, on the thread that Dask gives it."""
    worker = distributed.get_worker()
    watch = worker.plugins.get(name)
    if watch is None:
        raise OSError("it was called off before it began")
    if os.getpid() != pid:  # By a nanny; Dask then repeats the task, and this counts machines.
        raise OSError("the worker has died, and was started anew")

    def tell(progress: Progress) -> None:
        worker.log_event(TOPIC, {"run": name, "worker": worker.address, "progress": dict(vars(progress))})

    tell(Progress("begun"))
    return run(Options(**options), watch.over.is_set, tell)


# --- In the program that asks ---

def reason(error: Optional[BaseException]) -> str:
    """Why a worker failed, as a sentence."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error}: install it on the worker, or add its folder to the worker's PYTHONPATH"
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"


def connect(scheduler: str) -> Any:
    """A client of the scheduler, by its address or its file."""
    if os.path.isfile(scheduler):
        return distributed.Client(scheduler_file=scheduler, timeout=CONNECT_SECONDS, set_as_default=False)
    if ":" not in scheduler:
        raise OSError(f"--dask {scheduler}: is neither a scheduler's address, such as tcp://127.0.0.1:8786, nor its file")
    return distributed.Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)


class Cluster:
    """One run on all workers that there are when it begins."""

    def __init__(self, client: Any, options: Options, tell: Callable[[Progress, str], Any]) -> None:
        self.client, self.options, self.tell = client, options, tell
        self.name = f"density-{uuid.uuid4()}"
        self.names: Dict[str, str] = {}  # By address.
        self.places: Dict[str, Any] = {}
        self.futures: Dict[str, Any] = {}  # Of those that have not ended.
        self.ended: Dict[str, Result] = {}
        self._has_begun: Dict[str, bool] = {}
        self._is_watched = False

    def on_event(self, event: Any) -> None:
        """Progress of a worker. Called on a thread of Dask's."""
        _, message = event
        if message["run"] != self.name:
            return
        progress = Progress(**message["progress"])
        self._has_begun[message["worker"]] = True
        if progress.phase != "begun":
            self.tell(progress, self.names.get(message["worker"], message["worker"]))

    def find(self, is_over: Callable[[], bool], least: int) -> Dict[str, Any]:
        """The workers, when there are enough."""
        deadline = time.monotonic() + WORKERS_SECONDS
        while True:
            workers: Dict[str, Any] = self.client.scheduler_info()["workers"]
            if workers and len(workers) >= least:
                return workers
            if not least:
                raise OSError("the scheduler has no workers: start some, by dask-worker ADDRESS")
            if is_over() or time.monotonic() > deadline:
                raise OSError(f"there are only {len(workers)} of {least} workers (--workers)")
            time.sleep(0.2)

    def start(self, workers: Dict[str, Any]) -> None:
        """One task for each worker, which no other one may do."""
        self.names = {address: str(info["name"]) for address, info in workers.items()}
        self.places = self.client.run(place, workers=list(workers), on_error="return")
        self.client.subscribe_topic(TOPIC, self.on_event)
        self._is_watched = True
        self.client.register_worker_plugin(Watch(self.name))
        for number, address in enumerate(workers):
            where = self.places.get(address)
            if isinstance(where, dict):
                self.futures[address] = self.client.submit(
                    work, self.name, dataclasses.asdict(self.options), where["pid"], key=f"{self.name}-{number}", workers=[address],
                    allow_other_workers=False, retries=0, pure=False)
            else:
                self.fail(address, reason(where))

    def stop(self) -> None:
        """Has all workers free their VMs and tell what they did so far; those that have not begun do not begin."""
        self.unwatch()
        for address in [address for address in self.futures if not self._has_begun.get(address)]:
            self.fail(address, "it was called off before it began")

    def fail(self, address: str, why: str) -> None:
        """Notes that a worker has failed."""
        future = self.futures.pop(address, None)
        if future:
            future.cancel()
        where = self.places.get(address)
        host = where["host"] if isinstance(where, dict) else ""
        self.ended[address] = {"worker": self.names[address], "host": host, "error": why}
        self.tell(Progress(remark=f"FAILED: {why}"), self.names[address])

    def collect(self) -> None:
        """Takes what has ended."""
        for address, future in list(self.futures.items()):
            if not future.done():
                continue
            if future.status == "finished":
                try:
                    result = future.result(timeout=FETCH_SECONDS)
                except Exception as error:  # pylint: disable=broad-except  # Whatever the way here has.
                    self.fail(address, f"its result was lost: {reason(error)}")
                    continue
                self.ended[address] = {"worker": self.names[address], "error": None, **result}
                del self.futures[address]
            elif future.status == "error":
                self.fail(address, reason(future.exception()))
            else:
                self.fail(address, "the scheduler has ended, or let it go")

    def look(self) -> None:
        """Notices workers that are gone: Dask would wait for them for ever."""
        workers = self.client.scheduler_info()["workers"]
        for address in [address for address in self.futures if address not in workers]:
            if not self.futures[address].done():
                self.fail(address, "the worker has died, or was closed")

    def gather(self, is_over: Callable[[], bool]) -> List[Result]:
        """Waits for all; what each did or why it failed, in the order of their names."""
        is_stopped = False
        looked = time.monotonic()
        while self.futures:
            if is_over() and not is_stopped:
                is_stopped = True
                self.stop()
            self.collect()
            if self.futures and time.monotonic() - looked > LOOK_SECONDS:
                self.look()
                looked = time.monotonic()
            time.sleep(0.05)
        return sorted(self.ended.values(), key=lambda one: str(one["worker"]))

    def close(self) -> None:
        """Leaves nothing on the workers, whatever happened."""
        with suppress(OSError):  # A scheduler that is gone: its workers end, and their VMs with them.
            for future in self.futures.values():
                future.cancel()
            self.unwatch()

    def unwatch(self) -> None:
        """Removes the plugin from the workers, which tells them to end."""
        if self._is_watched:
            self._is_watched = False
            self.client.unregister_worker_plugin(self.name)


def run_everywhere(scheduler: str, options: Options, is_over: Callable[[], bool],
                   tell: Callable[[Progress, str], Any], least: int = 0) -> Result:
    """
    Runs run() of density_run.py once on each worker of the cluster; one report.

    scheduler: its address, or its scheduler file. is_over: as in run(); the VMs of all workers are freed. tell: is
    given the worker's name too. least: waits until there are so many workers. The report has the members of a result, and "workers", what each of them did: "error"
    is the reason if it failed. OSError if there is no scheduler, or no worker.
    """
    for module in (density_run, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)  # So that workers need not have these files.
    with ExitStack() as stack:
        client = stack.enter_context(connect(scheduler))
        cluster = Cluster(client, options, tell)
        stack.callback(cluster.close)
        cluster.start(cluster.find(is_over, least))
        workers = cluster.gather(is_over)
    return merge(workers, options)
