# SPDX-License-Identifier: Apache-2.0
"""04: every misuse of the interface is an error with its code, and changes nothing."""

import errno
import pickle
import tempfile
import threading
import traceback
from functools import partial
from typing import Any, Callable, List, Tuple

import guests
import nestvirt
import support
from nestvirt import BusyError, Error, ExistsError, NotFoundError, StateError, UnsupportedError

Row = Tuple[type, int, Callable[..., Any], Tuple[Any, ...]]


class States(support.Case):
    def check_rows(self, vm: nestvirt.VM, rows: List[Row]) -> None:
        state = vm.state
        for kind, code, function, arguments in rows:
            with self.subTest(function=repr(function), state=str(state)):
                self.refused(kind, -code, function, *arguments)
                self.assertEqual(vm.state, state)

    def changes(self, vm: nestvirt.VM) -> List[Row]:
        """What only state new allows."""
        return [
            (BusyError, errno.EBUSY, vm.add_device, ("rng",)),
            (BusyError, errno.EBUSY, vm.add_port_handler, (0x700, 1, print)),
            (BusyError, errno.EBUSY, vm.remove_handler, (0,)),
            (BusyError, errno.EBUSY, vm.add_irq, ()),
            (BusyError, errno.EBUSY, vm.add_ioeventfd, ("port", 0x720, 0)),
            (BusyError, errno.EBUSY, vm.add_virtio, (42, print)),
            (BusyError, errno.EBUSY, vm.set_kernel, ("/dev/null",)),
            (BusyError, errno.EBUSY, vm.set_cmdline, ("words",)),
            (BusyError, errno.EBUSY, vm.set_discovery, (nestvirt.Discovery.ACPI,)),
            (BusyError, errno.EBUSY, partial(vm.add_cpuid_mask, register="eax"), (1,)),
            (BusyError, errno.EBUSY, vm.memory.add, (4096,)),
            (BusyError, errno.EBUSY, vm.memory.remove, (0,)),
            (BusyError, errno.EBUSY, vm.validate, ()),
        ]

    def test_new(self) -> None:
        vm = self.make(guests.SPIN)
        self.check_rows(vm, [
            (BusyError, errno.EBUSY, vm.start, ()), (BusyError, errno.EBUSY, vm.pause, ()),
            (BusyError, errno.EBUSY, vm.resume, ()), (BusyError, errno.EBUSY, vm.stop, ()),
            (BusyError, errno.EBUSY, vm.wait, ()), (BusyError, errno.EBUSY, vm.request_stop, ()),
            (BusyError, errno.EBUSY, vm.set_irq, (1, True)), (BusyError, errno.EBUSY, vm.send_msi, (0xfee00000, 0)),
            (BusyError, errno.EBUSY, vm.get_vcpu().get_regs, ()),
        ])
        vm.build()
        vm.start()
        support.await_spin(vm)

    def test_later_states(self) -> None:
        vm = self.make(guests.SPIN)
        rows = self.changes(vm)
        vm.build()
        self.check_rows(vm, rows + [(BusyError, errno.EBUSY, vm.build, ()), (BusyError, errno.EBUSY, vm.wait, ()),
                                    (BusyError, errno.EBUSY, vm.pause, ())])
        vm.start()
        self.check_rows(vm, rows + [(StateError, errno.EALREADY, vm.start, ()),
                                    (StateError, errno.EALREADY, vm.resume, ()),
                                    (BusyError, errno.EBUSY, vm.build, ()),
                                    (BusyError, errno.EBUSY, vm.get_vcpu().get_regs, ()),
                                    (Error, errno.EINVAL, vm.get_vcpu().run, ()),
                                    (BusyError, errno.EBUSY, vm.set_exit_handler, (print,)),
                                    (BusyError, errno.EBUSY, vm.set_log, (print,))])
        vm.pause()
        self.check_rows(vm, rows + [(StateError, errno.EALREADY, vm.pause, ())])
        vm.stop()
        self.check_rows(vm, rows + [(BusyError, errno.EBUSY, vm.resume, ()), (BusyError, errno.EBUSY, vm.pause, ())])
        self.assertEqual(nestvirt._callbacks.count(), 0)

    def test_power_button_that_nobody_has(self) -> None:
        vm = self.started(guests.SPIN)
        error = self.refused(UnsupportedError, -errno.EOPNOTSUPP, vm.request_stop)
        self.assertTrue(str(error))


class Values(support.Case):
    def test_ranges_of_the_library(self) -> None:
        self.refused(Error, -errno.EINVAL, nestvirt.VM, self.host, vcpus=0)
        self.refused(Error, -errno.EINVAL, nestvirt.VM, self.host, vcpus=100000)
        self.refused(Error, -errno.EINVAL, nestvirt.VM, self.host, memory=4097)
        self.refused(Error, -errno.EINVAL, nestvirt.VM, self.host, memory=1 << 63)
        vm = self.make(guests.SPIN)
        memory = vm.memory
        self.refused(Error, -errno.EINVAL, memory.add, 4095, 1 << 30)
        self.refused(Error, -errno.EINVAL, memory.add, 4096, 1)
        self.refused(ExistsError, -errno.EEXIST, memory.add, 4096, 0)
        self.refused(NotFoundError, -errno.ENOENT, memory.remove, 9)
        self.refused(NotFoundError, -errno.ENOENT, memory.get, 9)
        self.refused(Error, -errno.EFAULT, memory.read, 1 << 20, 1)
        self.refused(Error, -errno.EFAULT, memory.read, (1 << 20) - 1, 2)
        self.refused(Error, -errno.EFAULT, memory.write, (1 << 20) - 1, b"12")
        self.refused(Error, -errno.EFAULT, memory.view, (1 << 20) - 1, 2)
        self.refused(NotFoundError, -errno.ENOENT, vm.get_vcpu, 1)
        self.refused(NotFoundError, -errno.ENOENT, vm.remove_handler, 77)
        self.refused(Error, -errno.EINVAL, vm.add_port_handler, 0xffff, 2, print)
        vm.add_port_handler(0x700, 4, print)
        self.refused(ExistsError, -errno.EEXIST, vm.add_port_handler, 0x703, 1, print)
        self.refused(Error, -errno.EBADF, vm.add_ioeventfd, "port", 0x720, 1 << 20, length=1)
        pin = vm.add_irq()
        self.refused(ExistsError, -errno.EEXIST, vm.add_irq, pin)
        self.refused(Error, nestvirt.ErrorCode.NO_INTERRUPT_PIN, self.take_all_pins, vm)
        self.assertEqual(nestvirt._callbacks.count(), 1)

    @staticmethod
    def take_all_pins(vm: nestvirt.VM) -> None:
        while True:
            vm.add_irq()

    def test_devices(self) -> None:
        vm = self.make(guests.SPIN)
        error = self.refused(NotFoundError, -errno.ENOENT, vm.add_device, "floppy")
        self.assertIn("blk", str(error))
        blk = vm.add_blk()
        self.assertIn("path", str(self.refused(NotFoundError, -errno.ENOENT, blk.set, "colour", 1)))
        self.refused(NotFoundError, -errno.ENOENT, blk.get, "colour")
        self.refused(nestvirt.AccessError, -errno.EPERM, blk.set, "reads", 1)
        self.refused(Error, -errno.EINVAL, blk.set, "queues", 99)
        self.refused(Error, -errno.EBADF, blk.set, "fd", 1 << 20)
        with self.assertRaises(AttributeError):
            blk.colour = 1  # type: ignore[attr-defined]
        with self.assertRaises(AttributeError):
            print(blk.colour)  # type: ignore[attr-defined]
        with self.assertRaises(AttributeError):
            print(blk.fd)
        self.refused(nestvirt.AccessError, -errno.EPERM, setattr, blk, "reads", 1)

    def test_properties_that_only_the_library_knows(self) -> None:
        class Newer(nestvirt.Device):
            """As this package would see a kind that is newer."""

        known = self.make(guests.SPIN).add_blk(queues=2)
        newer: Any = Newer(known._vm, "blk", known._pointer)
        self.assertEqual(newer.queues, 2)
        newer.queues = 3
        self.assertEqual(known.queues, 3)
        self.assertFalse(newer.read_only)
        self.assertEqual(set(newer.properties()), set(nestvirt.device_properties("blk")))

    def test_several_problems(self) -> None:
        vm = self.make(guests.SPIN)
        vm.add_blk()
        vm.add_net()
        for function in (vm.validate, vm.build):
            error = self.refused(nestvirt.InvalidVMError, nestvirt.ErrorCode.INVALID_VM, function)
            self.assertGreaterEqual(len(error.problems), 2)
            for problem in error.problems:
                self.assertTrue(str(problem))
        self.assertEqual(vm.state, nestvirt.State.NEW)

    def test_files(self) -> None:
        vm = self.make(guests.SPIN)
        self.refused(NotFoundError, -errno.ENOENT, vm.set_kernel, "/nonexistent")
        with tempfile.TemporaryDirectory() as folder:
            self.refused(Error, -errno.EISDIR, vm.set_kernel, folder)
        with nestvirt.VM(self.host, memory="16M") as other, support.image(b"no kernel") as fd:
            other.set_kernel(fd)
            self.refused(Error, -errno.ENOEXEC, other.build)
        self.refused(NotFoundError, -errno.ENOENT, nestvirt.Host, "/nonexistent")
        self.refused(UnsupportedError, -errno.EOPNOTSUPP, nestvirt.Host, "/dev/null")
        with open("/dev/kvm", "rb+", buffering=0) as kvm, nestvirt.Host(fd=kvm) as host:
            self.assertEqual(host.info.api_version, 12)

    def test_fields_of_an_error(self) -> None:
        error = self.refused(NotFoundError, -errno.ENOENT, nestvirt.Host, "/nonexistent")
        self.assertEqual((error.errno, error.name), (errno.ENOENT, "ENOENT"))
        self.assertIsInstance(error, FileNotFoundError)
        self.assertIsInstance(error, OSError)
        self.assertIn("/nonexistent", error.object)
        self.assertTrue(error.hint)
        self.assertIn(error.hint, str(error))


class Closed(support.Case):
    def test_use_after_close(self) -> None:
        vm = self.make(guests.SPIN)
        blk, vcpu, memory = vm.add_blk(), vm.get_vcpu(), vm.memory
        own = vm.add_virtio(42, print)
        vm.close()
        calls: List[Tuple[Callable[..., Any], Tuple[Any, ...]]] = [
                (vm.build, ()), (vm.start, ()), (vm.wait, ()), (vm.stop, ()), (vm.next_event, ()),
                (vm.event_fd, ()), (vm.add_blk, ()), (vm.get_vcpu, ()), (vm.set_log, (None,)), (vm.validate, ()),
                (vm.add_port_handler, (1, 1, print)), (blk.get, ("reads",)), (blk.set, ("queues", 1)),
                (vcpu.get_regs, ()), (vcpu.run, ()), (vcpu.cancel, ()), (memory.read, (0, 1)),
                (memory.view, (0, 1)), (own.next_chain, ()), (lambda: vm.state, ()), (vm.__enter__, ())]
        for function, arguments in calls:
            error = self.refused(StateError, -errno.EBADF, function, *arguments)
            self.assertEqual(str(error), "vm vm: is closed; make a new one")
        self.assertIn("closed", repr(vm))
        self.host.close()
        self.refused(StateError, -errno.EBADF, nestvirt.VM, self.host)

    def test_a_closed_loop(self) -> None:
        loop = nestvirt.Loop()
        loop.close()
        self.refused(StateError, -errno.EBADF, self.make(guests.SPIN).set_loop, loop)

    def test_from_its_own_functions(self) -> None:
        vm = self.make(guests.RELAY)
        seen: List[StateError] = []

        def handler(access: nestvirt.Access) -> int:
            calls: List[Callable[[], Any]] = [vm.close, vm.stop, vm.pause, vm.wait]
            for function in calls:
                try:
                    function()
                except StateError as error:
                    seen.append(error)
            return 0

        vm.add_port_handler(0x700, 1, handler)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)
        self.assertEqual([error.code for error in seen], [-errno.EDEADLK] * 4)

    def test_names_of_exceptions(self) -> None:
        for one in vars(nestvirt).values():
            if isinstance(one, type) and issubclass(one, nestvirt.Error):
                self.assertEqual(traceback.format_exception_only(one, one(-errno.EBUSY, "text")),
                                 [f"nestvirt.{one.__name__}: text\n"])
                self.assertEqual(str(pickle.loads(pickle.dumps(one(-errno.EBUSY, "text")))), "text")

    def test_close_within_a_log_sink(self) -> None:
        vm = self.make(guests.EXIT_CODE)
        gate = vm._handle.gate()
        with gate:  # As a sink that is called by a call.
            self.refused(StateError, -errno.EDEADLK, vm.close)
        vm.close()

    def test_two_threads_close(self) -> None:
        for _ in range(20):
            vm = self.started(guests.SPIN)
            done: List[None] = []

            def close() -> None:
                vm.close()
                done.append(None)

            threads = [threading.Thread(target=close) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(len(done), 4)
            support.await_true("it is closed", lambda: vm._handle._pointer is None)

    def test_close_ends_calls_of_other_threads(self) -> None:
        calls: List[Callable[[nestvirt.VM], Any]] = [
            nestvirt.VM.wait, lambda vm: vm.next_event(None), lambda vm: list(vm.events())]
        for function in calls:
            vm = self.started(guests.SPIN)
            while vm.next_event():
                pass
            ended: List[Any] = []

            def call() -> None:
                try:
                    ended.append(function(vm))
                except StateError as error:
                    ended.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            support.await_true("the thread is in the call", lambda: vm._handle._is_in_use())
            vm.close()
            thread.join(support.SECONDS)
            self.assertEqual(len(ended), 1)


if __name__ == "__main__":
    support.main()
