# SPDX-License-Identifier: Apache-2.0
"""10: the program ends while VMs run: it neither hangs nor crashes, and its status is its own."""

import subprocess
import time

import support

LIMIT = 30.0  # Seconds; the package gives VMs five to end.

HEAD = """
import sys, threading, time, asyncio, guests, nestvirt, nestvirt.aio, support
"""

PROGRAMS = {
    "running": "vm = support.started(guests.SPIN); support.await_spin(vm)",
    "many": "vms = [support.started(guests.SPIN) for _ in range(20)]",
    "paused": "vm = support.started(guests.SPIN); vm.pause()",
    "built": "vm = support.make(guests.SPIN); vm.build()",
    "view": "vm = support.started(guests.SPIN); view = vm.memory.view(0, 4096)",
    "handler": """
count = 0
def handler(access):
    global count
    count += 1
    return 1
vm = support.make(guests.MMIO_READS)
vm.add_mmio_handler(0xd0000000, 4096, handler)
vm.set_log(print, "debug")
vm.build()
vm.start()
support.await_true("calls", lambda: count > 100)
""",
    "handler that never returns": """
entered = threading.Event()
def handler(access):
    entered.set()
    while True:
        time.sleep(1000)
vm = support.make(guests.RELAY)
vm.add_port_handler(0x700, 1, handler)
vm.build()
vm.start()
entered.wait()
""",
    "daemon that waits": """
vm = support.started(guests.SPIN)
threading.Thread(target=vm.wait, daemon=True).start()
support.await_true("it waits", vm._handle._is_in_use)
""",
    "daemon that looks at memory": """
vm = support.started(guests.SPIN)
view = vm.memory.view(0x3000, 4)
def look():
    while True:
        bytes(view)
for _ in range(3):
    threading.Thread(target=look, daemon=True).start()
support.await_spin(vm)
""",
    "cycle": """
vm = support.started(guests.SPIN)
vm.cycle = vm
del vm
""",
    "asyncio": """
async def run():
    global vm
    vm = nestvirt.aio.VM(memory="1M")
    support.set_guest(vm, guests.SPIN)
    await vm.build()
    await vm.start()
asyncio.run(run())
""",
    "module": "sys.modules['keep'] = support.started(guests.SPIN)",
}


class Exit(support.Case):
    def ends(self, program: str, end: str, status: int) -> "subprocess.CompletedProcess[str]":
        start = time.monotonic()
        done = support.run_python(HEAD + program + "\n" + end, seconds=LIMIT, is_checked=False)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertLess(time.monotonic() - start, LIMIT)
        return done

    def test_at_the_end_of_the_program(self) -> None:
        for name, program in PROGRAMS.items():
            with self.subTest(name):
                done = self.ends(program, "", 0)
                self.assertEqual(done.stderr, "")

    def test_vms_are_freed_before_the_interpreter_ends(self) -> None:
        done = support.run_python("""
import atexit
atexit.register(lambda: print([vm._handle._pointer for vm in vms]))  # The first one registered is the last to run.
import guests, support
vms = [support.started(guests.SPIN) for _ in range(3)]
vms[1].pause()
""")
        self.assertEqual(done.stdout, "[None, None, None]\n")

    def test_by_an_exit_with_a_status(self) -> None:
        self.ends(PROGRAMS["running"], "sys.exit(3)", 3)

    def test_by_an_exception(self) -> None:
        done = self.ends(PROGRAMS["handler"], "raise ValueError('the program itself')", 1)
        self.assertIn("the program itself", done.stderr)

    def test_by_a_signal(self) -> None:
        self.ends(PROGRAMS["running"], "import os, signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", -15)

    def test_by_ctrl_c(self) -> None:
        end = "import os, signal; threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start(); vm.wait()"
        done = self.ends(PROGRAMS["running"], end, -2)
        self.assertIn("KeyboardInterrupt", done.stderr)


if __name__ == "__main__":
    support.main()
