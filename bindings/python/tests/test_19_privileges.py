# SPDX-License-Identifier: Apache-2.0
"""19: privileges: VMs and the process give them up, in a process of their own."""

import errno
import os
import unittest

import guests
import nestvirt
import support
from nestvirt import NeedKind, Role

NOBODY = 65534

COMMON = f"""
import errno, os, guests, nestvirt, support
from test_18_placement import status_of

def refused(kind, number, function, *arguments, **keywords):
    try:
        function(*arguments, **keywords)
    except kind as error:
        assert error.errno == number, error
        return error
    raise AssertionError(f"no error: {{function}}")

def no_rights(tid):
    for field in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
        assert int(status_of(tid, field), 16) == 0, (tid, field)
    return status_of(tid, "NoNewPrivs") == "1"

NOBODY = {NOBODY}
host = nestvirt.Host()
"""

# Build as root, run as nobody.
WHOLE = """
vms = [support.make(guests.ECHO, host) for _ in range(2)]
consoles = [vm.add_serial().open() for vm in vms]
for vm in vms:
    vm.build()
nestvirt.remove_process_privileges(uid=NOBODY, gid=NOBODY, groups=[NOBODY, 1000])
for vm in vms:
    vm.remove_privileges()
    refused(nestvirt.StateError, errno.EALREADY, vm.remove_privileges)
assert (os.getresuid(), os.getresgid()) == ((NOBODY,) * 3, (NOBODY,) * 3)
assert sorted(os.getgroups()) == [1000, NOBODY]
assert no_rights(os.getpid())
refused(PermissionError, errno.EPERM, os.setuid, 0)
for vm, console in zip(vms, consoles):
    vm.start()
    console.write(b"hello\\n")
    assert console.readline() == b"hello\\n"
    threads = vm.threads()
    assert [str(thread.kind) for thread in threads] == ["vcpu", "loop"]
    assert all(no_rights(thread.tid) for thread in threads)
    refused(nestvirt.StateError, errno.EALREADY, vm.remove_privileges)
    console.write(b"q")
    assert vm.wait(30).exit_code == 4
    vm.start()  # Everything it needs was given to it open.
    assert all(no_rights(thread.tid) for thread in vm.threads())
    vm.stop()
    vm.close()
refused(nestvirt.AccessError, errno.EPERM, nestvirt.remove_process_privileges, uid=0)
nestvirt.remove_process_privileges(uid=NOBODY, gid=NOBODY)  # As it is already.
print("done")
"""

# The VM alone: its threads give up everything, the program's keep it.
VM_ALONE = """
before = status_of(os.getpid(), "CapEff")
assert int(before, 16)
vm = support.make(guests.SPIN, host)
refused(nestvirt.BusyError, errno.EBUSY, vm.remove_privileges)
vm.build()
vm.remove_privileges()
vm.start()
support.await_spin(vm)
assert all(no_rights(thread.tid) for thread in vm.threads())
assert status_of(os.getpid(), "CapEff") == before
assert status_of(os.getpid(), "NoNewPrivs") == "0"
vm.close()
print("done")
"""

# Capabilities alone, and another thread of the program that has kept its own.
OTHER_THREAD = """
import threading
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
error = refused(nestvirt.AccessError, errno.EPERM, nestvirt.remove_process_privileges)
assert str(thread.native_id) in str(error), error
assert no_rights(os.getpid())
end.set()
thread.join()
nestvirt.remove_process_privileges()
print("done")
"""


class Processes(unittest.TestCase):
    def setUp(self) -> None:
        if os.geteuid():
            self.skipTest("only root has privileges to give up")

    def run_it(self, text: str) -> None:
        done = support.run_python(COMMON + text, is_checked=False)
        if "libcap-ng" in done.stderr:
            self.skipTest(done.stderr.splitlines()[-1])
        self.assertEqual((done.returncode, done.stdout), (0, "done\n"), done.stderr)

    def test_build_as_root_run_as_nobody(self) -> None:
        self.run_it(WHOLE)

    def test_a_vm_alone(self) -> None:
        self.run_it(VM_ALONE)

    def test_a_thread_that_keeps_its_own_is_named(self) -> None:
        self.run_it(OTHER_THREAD)


class Needs(support.Case):
    def test_list(self) -> None:
        needs = list(nestvirt.privilege_needs())
        self.assertEqual({need.role for need in needs}, set(Role))
        self.assertEqual({need.kind for need in needs}, set(NeedKind))
        by_name = {(need.role, need.kind, need.name): need for need in needs}
        self.assertEqual(by_name[(Role.VCPU, NeedKind.IOCTL, "KVM_RUN")].number, 0xae80)
        self.assertEqual(by_name[(Role.LOOP, NeedKind.SYSCALL, "futex")].number, 202)
        self.assertTrue(all(need.why and need.name for need in needs))
        self.assertTrue(all(need.number == 0 for need in needs if need.kind is NeedKind.FD))

    def test_wrong_arguments(self) -> None:
        call = nestvirt.remove_process_privileges
        for name in ("uid", "gid"):
            self.wrong(TypeError, f"{name}: must be an int", call, **{name: "nobody"})
            self.wrong(ValueError, f"{name}: must be from 0 to 4294967294", call, **{name: 0xffffffff})
        self.wrong(TypeError, "groups: must be a list of int", call, groups=5)
        self.wrong(TypeError, "groups: must be a list of int", call, groups="1")
        self.wrong(TypeError, "groups: must be an int", call, groups=["1"])
        self.wrong(ValueError, "groups: must have at most", call, groups=[1] * (nestvirt.PRIVILEGE_GROUPS_MAX + 1))

    def test_states(self) -> None:
        vm = self.started(guests.SPIN)
        self.refused(nestvirt.BusyError, -errno.EBUSY, vm.remove_privileges)
        self.assertEqual(vm.state, nestvirt.State.RUNNING)


if __name__ == "__main__":
    support.main()
