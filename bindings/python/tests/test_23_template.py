# SPDX-License-Identifier: Apache-2.0
"""23: templates: clones go on where the VM stood, each with memory of its own; and the same in files."""

import asyncio
import errno
import fcntl
import gc
import os
import shutil
import stat
import struct
import tempfile
from typing import Any, Callable, List, Tuple

import guests
import nestvirt
import nestvirt.aio
import support
from nestvirt import State, Template

CLONES = 20
MARK = 0x8000  # Where nothing else is.
F_ADD_SEALS, SEAL_SHRINK, SEAL_WRITE = 1033, 2, 8  # fcntl.F_... only from Python 3.10 on.
BAD_STATE = int(nestvirt.ErrorCode.BAD_STATE)


class Case(support.Case):
    def setUp(self) -> None:
        super().setUp()
        self.folder = tempfile.mkdtemp(prefix="nestvirt-")
        self.addCleanup(shutil.rmtree, self.folder)

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def paused(self, guest: guests.Guest = guests.SPIN, **config: Any) -> nestvirt.VM:
        """A VM that has counted."""
        vm = self.started(guest, **config)
        support.await_spin(vm)
        vm.pause()
        return vm

    def template(self, vm: nestvirt.VM, **keywords: Any) -> Template:
        """A template that is closed at the end of the test."""
        made = vm.make_template(**keywords)
        self.addCleanup(made.close)
        return made

    def clone(self, template: Template, name: str = "clone") -> nestvirt.VM:
        """A clone that is closed at the end of the test."""
        vm = template.clone(name)
        self.addCleanup(vm.close)
        self.assertEqual((vm.state, vm.name), (State.NEW, name))
        return vm

    def goes_on(self, vm: nestvirt.VM, value: int) -> None:
        """Lets a clone run, which counts on from there."""
        self.assertEqual(support.spins(vm), value)
        vm.build()
        self.assertEqual(support.spins(vm), value)
        vm.start()
        support.await_spin(vm)
        self.assertGreater(support.spins(vm), value)


class Clones(Case):
    def test_many_go_on(self) -> None:
        vm = self.paused()
        value = support.spins(vm)
        template = self.template(vm)
        vms = [self.clone(template, f"clone{number}") for number in range(CLONES)]
        template.close()  # They keep what they need.
        for number, clone in enumerate(vms):
            clone.memory.write(MARK, struct.pack("<I", number))
            self.goes_on(clone, value)
        for number, clone in enumerate(vms):
            support.await_spin(clone)
            self.assertEqual(clone.memory.read(MARK, 4), struct.pack("<I", number))
        self.assertEqual((support.spins(vm), vm.memory.read(MARK, 4)), (value, bytes(4)))
        vm.resume()
        support.await_spin(vm)

    def test_again(self) -> None:
        """Stopped and started again, it goes back to where its template stood; views stay the memory."""
        vm = self.paused()
        value = support.spins(vm)
        clone = self.clone(self.template(vm))
        with clone.memory.view(0x3000, 4) as view:
            clone.build()
            for _ in range(3):
                self.assertEqual(int.from_bytes(view, "little"), value)
                clone.start()
                support.await_spin(clone)
                self.assertGreater(int.from_bytes(view, "little"), value)
                clone.stop()
                clone.build()
        self.assertEqual(support.spins(clone), value)

    def test_built(self) -> None:
        """Of a VM that never ran, clones start from the first instruction."""
        vm = self.make(guests.EXIT_CODE)
        vm.build()
        template = self.template(vm)
        for _ in range(CLONES):
            with template.clone() as clone:
                clone.build()
                clone.start()
                self.assertEqual(clone.wait(support.SECONDS).exit_code, 7)
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 7)

    def test_of_a_clone(self) -> None:
        vm = self.paused()
        for number in range(4):
            value = support.spins(vm)
            with vm.make_template(consume=number % 2 == 1) as template:
                vm.close()
                vm = self.clone(template)
            self.goes_on(vm, value)
            vm.pause()

    def test_info(self) -> None:
        info = self.template(self.paused(memory="2M", vcpus=2)).info
        self.assertEqual((info.memory_size, info.vcpus, info.devices), (2 << 20, 2, 2))
        self.assertTrue(0 < info.data_size < 1 << 20 and info.data_size % 4096 == 0, info)
        self.assertGreater(info.state_size, 1000)

    def test_generation(self) -> None:
        vm = self.make(guests.SPIN)
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, lambda: vm.generation)
        device = vm.add_vmgenid()
        self.refused(nestvirt.BusyError, -errno.EBUSY, lambda: vm.generation)
        vm.build()
        ids = [vm.generation]
        self.assertEqual(vm.memory.read(0xef000, 16), ids[0])
        vm.start()
        support.await_spin(vm)
        vm.pause()
        template = self.template(vm)
        for _ in range(3):
            clone = self.clone(template)
            clone.build()
            ids.append(clone.generation)
            self.assertEqual(clone.memory.read(0xef000, 16), clone.generation)
            clone.start()
            clone.stop()
            clone.build()
            ids.append(clone.generation)
            self.assertGreater(clone.get_device(2, nestvirt.Vmgenid).made, 1)
        self.assertEqual(vm.generation, ids[0])
        self.assertEqual((len(set(ids)), {len(one) for one in ids}, device.made), (7, {16}, 1))

    def test_consume(self) -> None:
        for backing in ("anonymous", "memfd"):
            vm = self.paused(memory_backing=backing)
            value = support.spins(vm)
            with vm.memory.view(0, 4096):
                with self.assertRaises(BufferError):
                    vm.make_template(consume=True)
            self.assertEqual((vm.state, support.spins(vm)), (State.PAUSED, value))
            with vm._handle.without_views():  # As another thread sees it, while the memory is taken.
                self.refused(nestvirt.BusyError, -errno.EBUSY, vm.memory.view, 0, 4096)
            template = self.template(vm, consume=True)
            self.assertEqual(vm.wait(0).reason, nestvirt.ResultReason.STOPPED)
            self.refused(nestvirt.Error, -errno.EFAULT, vm.memory.read, 0x3000, 4)
            self.refused(nestvirt.Error, -errno.EFAULT, vm.memory.view, 0x3000, 4)
            self.refused(nestvirt.BusyError, -errno.EBUSY, vm.start)
            self.refused(nestvirt.BusyError, -errno.EBUSY, vm.make_template)
            vm.close()
            self.goes_on(self.clone(template), value)

    def test_collection(self) -> None:
        vm = self.paused()
        value, holdings = support.spins(vm), support.Holdings()
        clone = vm.make_template().clone()  # Nobody refers to the template any more.
        self.addCleanup(clone.close)
        gc.collect()
        self.goes_on(clone, value)
        clone.close()
        support.await_true("the memory is given back",
                           lambda: support.Holdings().descriptors <= holdings.descriptors)

    def test_asyncio(self) -> None:
        async def run() -> Tuple[int, int]:
            async with nestvirt.aio.VM(self.host, memory="1M") as vm:
                support.set_guest(vm, guests.EXIT_CODE)
                await vm.build()
                template = await vm.make_template(consume=True)
                self.assertEqual(vm.state, State.STOPPED)
            with template:
                clones = [nestvirt.aio.VM.from_template(template, f"clone{number}") for number in range(CLONES)]
            codes = [await self.run_clone(clone) for clone in clones]
            return sum(codes), len({clone.name for clone in clones})

        self.assertEqual(asyncio.run(run()), (7 * CLONES, CLONES))

    @staticmethod
    async def run_clone(clone: nestvirt.aio.VM) -> int:
        async with clone:
            await clone.build()
            await clone.start()
            return (await clone.wait(support.SECONDS)).exit_code


class Devices(Case):
    def identity(self, kind: str) -> List[str]:
        return [one.name for one in nestvirt.device_properties(kind).values() if one.is_identity]

    def test_what_names_one_vm(self) -> None:
        for kind, names in (("serial", {"input", "output"}), ("net", {"tap", "fd", "mac"}), ("vsock", {"cid", "path"}),
                            ("rng", set()), ("exit", set())):
            self.assertEqual(set(self.identity(kind)), names, kind)
        self.assertIn("fd", self.identity("blk"))
        self.assertIn("input7", self.identity("console"))

    def test_kinds(self) -> None:
        """Those that were added here, and those of a clone, of which the library tells no kind."""
        vm = self.make(guests.SPIN)
        added = [vm.add_device(kind) for kind in nestvirt.device_kinds() if kind not in ("exit", "reset")]
        kinds = ["exit", "reset"] + [device.kind for device in added]
        self.assertEqual([device.kind for device in vm.devices], kinds)
        vm._kinds.clear()  # As of a clone.
        self.assertEqual([device.kind for device in vm.devices], kinds)
        self.assertEqual([type(device) for device in vm.devices[2:]], [type(device) for device in added])
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, vm.get_device, len(kinds))
        self.wrong(ValueError, "kind: must be the class of device 0, which is a exit", vm.get_device, 0, nestvirt.Blk)
        self.wrong(ValueError, "kind: must be the class", vm.get_device, 0, "exit")
        self.wrong(TypeError, "number: must be an int", vm.get_device, "exit")
        vm.get_device(kinds.index("blk"), nestvirt.Blk).serial = "one"
        self.assertEqual(vm.get_device(kinds.index("blk"), nestvirt.Blk).serial, "one")

    def test_device_of_the_programs_own(self) -> None:
        vm = self.make(guests.SPIN)
        vm.add_virtio(42, print)
        device = vm.devices[2]
        self.assertEqual((device.kind, device.get("faults"), device.properties()), ("virtio", 0, {}))
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, device.get, "colour")
        vm.build()
        self.refused(nestvirt.UnsupportedError, -errno.EOPNOTSUPP, vm.make_template)

    def test_each_clone_has_its_own(self) -> None:
        """A serial line, a disk and a socket; nothing of the template's VM is used."""
        vm = self.make(guests.ECHO)
        console = vm.add_serial().open()
        self.addCleanup(console.close)
        with support.image(b"disk" * 1024) as disk:
            vm.add_blk(fd=disk)
        vm.add_vsock(cid=3, path=self.path("vsock"))
        vm.build()
        vm.start()
        console.write(b"a")
        self.assertEqual(console.read(1), b"a")
        vm.pause()
        template = self.template(vm, consume=True)
        vm.close()
        with self.assertRaises(nestvirt.InvalidVMError) as caught:
            self.clone(template).build()
        problems = "\n".join(map(str, caught.exception.problems))
        self.assertIn("vm clone: device 3 (blk): disk: it has no file", problems)
        self.assertIn("(vsock)", problems)
        for number in range(3):
            self.use_clone(template, number)

    def use_clone(self, template: Template, number: int) -> None:
        clone = self.clone(template, f"clone{number}")
        self.assertEqual([device.kind for device in clone.devices], ["exit", "reset", "serial", "blk", "vsock"])
        line = clone.get_device(2, nestvirt.Serial).open()
        self.addCleanup(line.close)
        with support.image(b"disk" * 1024) as disk:
            clone.get_device(3, nestvirt.Blk).fd = disk
        vsock = clone.get_device(4, nestvirt.Vsock)
        vsock.cid, vsock.path = 10 + number, self.path(f"vsock{number}")
        self.assertEqual(vsock.host_path(), self.path(f"vsock{number}"))
        clone.build()
        self.assertTrue(stat.S_ISSOCK(os.stat(self.path(f"vsock{number}")).st_mode))
        self.assertEqual((vsock.cid, clone.get_device(3, nestvirt.Blk).capacity), (10 + number, 8))
        clone.start()
        line.write(b"clone%d\n" % number)
        self.assertEqual(line.readline(), b"clone%d\n" % number)
        line.write(b"q")
        self.assertEqual(clone.wait(support.SECONDS).exit_code, 4)


RESTORE = """
import sys, nestvirt, support
with nestvirt.Template.open(sys.argv[1]) as template, template.clone("restored") as vm:
    assert support.spins(vm) == int(sys.argv[2]), support.spins(vm)
    vm.build()
    vm.start()
    support.await_spin(vm)
    print(vm.devices[0].kind, support.spins(vm) > int(sys.argv[2]))
"""


class Files(Case):
    def test_another_process(self) -> None:
        vm = self.paused()
        value = support.spins(vm)
        self.template(vm, consume=True).write(self.path("state"))
        self.assertEqual(stat.S_IMODE(os.stat(self.path("state")).st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["state"])
        done = support.run_python(RESTORE, self.path("state"), str(value))
        self.assertEqual(done.stdout, "exit True\n")

    def test_ways_to_open(self) -> None:
        vm = self.paused()
        value = support.spins(vm)
        template = self.template(vm)
        fd = os.memfd_create("state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.addCleanup(os.close, fd)
        template.write(fd)
        with open(self.path("state"), "wb") as file:
            template.write(file)
        for sealed in (False, True):
            if sealed:
                fcntl.fcntl(fd, F_ADD_SEALS, SEAL_SHRINK | SEAL_WRITE)
            with Template.open(fd, self.host) as read:
                self.goes_on(self.clone(read), value)
        for trust in (False, True):
            with Template.open(self.path("state"), trust_file=trust) as read, open(self.path("state"), "rb") as file:
                self.goes_on(self.clone(read), value)
                with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
                    self.assertEqual(self.path("state") in maps.read(), trust)
                with Template.open(file, self.host, trust_file=trust) as other:
                    self.assertEqual(other.info, read.info)

    def test_changes(self) -> None:
        base = self.template(self.paused())
        clone = self.clone(base)
        self.goes_on(clone, support.spins(clone))
        clone.pause()
        value = support.spins(clone)
        later = self.template(clone, consume=True)
        base.write(self.path("base"))
        later.write(self.path("changes"), base)
        self.refused(nestvirt.Error, -errno.EINVAL, Template.open, self.path("changes"))
        with Template.open(self.path("base")) as read:
            self.refused(nestvirt.Error, -errno.EINVAL, Template.open, self.path("base"), base=read)
            changes = Template.open(self.path("changes"), base=read)
        with changes:
            self.goes_on(self.clone(changes), value)

    def test_a_file_is_replaced_when_all_is_written(self) -> None:
        template = self.template(self.paused())
        other = self.template(self.paused(memory="2M"))
        os.symlink("state", self.path("link"))
        template.write(self.path("link"))
        before = os.stat(self.path("state"))
        with Template.open(self.path("state"), trust_file=True) as mapped:
            mapped.write(self.path("state"))  # It is the memory that is written.
            self.assertNotEqual(os.stat(self.path("state")).st_ino, before.st_ino)
            clone = self.clone(mapped)
            self.goes_on(clone, support.spins(clone))
        self.assertTrue(os.path.islink(self.path("link")))
        inode = os.stat(self.path("state")).st_ino
        self.refused(nestvirt.Error, -errno.EINVAL, template.write, self.path("state"), other)
        self.assertEqual((sorted(os.listdir(self.folder)), os.stat(self.path("state")).st_ino),
                         (["link", "state"], inode))
        Template.open(self.path("state")).close()

    def test_damaged(self) -> None:
        template = self.template(self.paused())
        template.write(self.path("state"))
        with open(self.path("state"), "rb") as file:
            whole = file.read()
        data = [place for place, byte in enumerate(whole) if byte][::7]
        self.assertGreater(len(data), 10)
        cases = [whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:] for place in data]
        cases += [whole[:length] for length in (0, 1, 100, len(whole) // 2, len(whole) - 1)]
        cases += [b"#!/bin/sh\n" * 1000, whole[::-1]]
        for number, content in enumerate(cases):
            with self.subTest(number=number), support.image(content) as fd:
                self.refused(nestvirt.Error, BAD_STATE, Template.open, fd, self.host)
        with support.image(whole) as fd:
            Template.open(fd, self.host).close()

    def test_wrong_files(self) -> None:
        template = self.template(self.paused())
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, Template.open, self.path("none"))
        self.refused(nestvirt.NotFoundError, -errno.ENOENT, template.write, self.path("none/state"))
        self.refused(nestvirt.Error, -errno.EINVAL, Template.open, self.folder)
        self.refused(nestvirt.Error, -errno.EINVAL, Template.open, "/dev/zero")
        for place in ("/dev/null", self.folder):
            self.refused(nestvirt.Error, -errno.EINVAL, template.write, place)
        self.assertTrue(stat.S_ISCHR(os.stat("/dev/null").st_mode))
        self.refused(nestvirt.Error, -errno.EBADF, Template.open, 1 << 20)
        self.refused(nestvirt.Error, -errno.EBADF, template.write, 1 << 20)
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.refused(nestvirt.Error, -errno.EINVAL, template.write, writer)


class Misuse(Case):
    def test_states(self) -> None:
        vm = self.make(guests.SPIN)
        self.refused(nestvirt.BusyError, -errno.EBUSY, vm.make_template)
        vm.build()
        vm.start()
        self.refused(nestvirt.BusyError, -errno.EBUSY, vm.make_template)
        self.refused(nestvirt.BusyError, -errno.EBUSY, vm.make_template, consume=True)
        support.await_spin(vm)
        vm.stop()
        self.refused(nestvirt.BusyError, -errno.EBUSY, vm.make_template)

    def test_what_a_clone_cannot_be_given(self) -> None:
        clone = self.clone(self.template(self.paused()))
        with support.image(guests.SPIN.image) as fd:
            self.refused(nestvirt.BusyError, -errno.EBUSY, clone.set_flat, fd)
        self.refused(nestvirt.BusyError, -errno.EBUSY, clone.add_rng)
        self.refused(nestvirt.BusyError, -errno.EBUSY, clone.memory.add, 4096)
        self.refused(nestvirt.BusyError, -errno.EBUSY, clone.start)
        clone.add_port_handler(0x700, 1, lambda access: 1)
        self.goes_on(clone, support.spins(clone))

    def test_wrong_arguments(self) -> None:
        vm = self.paused()
        template = self.template(vm)
        self.wrong(TypeError, "vm: must be a VM", Template, "vm")
        self.wrong(TypeError, "consume: must be True or False", vm.make_template, consume=1)
        self.wrong(TypeError, "name: must be a str", template.clone, 5)
        self.wrong(ValueError, "name: must have at most 63 bytes", template.clone, "x" * 64)
        self.wrong(TypeError, "template: must be a Template", nestvirt.VM.from_template, vm)
        self.wrong(TypeError, "file: must be a path", template.write, None)
        self.wrong(TypeError, "file: must be a path", Template.open, 1.5)
        self.wrong(ValueError, "file: must be from 0", Template.open, -1)
        self.wrong(TypeError, "base: must be a Template", template.write, self.path("state"), vm)
        self.wrong(TypeError, "base: must be a Template", Template.open, self.path("state"), base="base")
        self.wrong(TypeError, "host: must be a Host", Template.open, "/dev/null", vm)
        self.wrong(TypeError, "trust_file: must be True or False", Template.open, "/dev/null", trust_file=1)
        self.assertEqual(os.listdir(self.folder), [])

    def test_use_after_close(self) -> None:
        vm = self.paused()
        template, base = vm.make_template(), vm.make_template()
        base.close()
        self.refused(nestvirt.StateError, -errno.EBADF, template.write, self.path("state"), base)
        self.refused(nestvirt.StateError, -errno.EBADF, Template.open, "/dev/null", base=base)
        template.close()
        template.close()
        self.assertTrue(template.closed)
        functions: List[Callable[[], Any]] = [template.clone, lambda: template.info, template.__enter__]
        for function in functions:
            self.refused(nestvirt.StateError, -errno.EBADF, function)
        self.refused(nestvirt.StateError, -errno.EBADF, template.write, self.path("state"))
        self.assertEqual(os.listdir(self.folder), [])
        vm.close()
        self.refused(nestvirt.StateError, -errno.EBADF, vm.make_template)
        self.refused(nestvirt.StateError, -errno.EBADF, lambda: vm.devices)
        self.refused(nestvirt.StateError, -errno.EBADF, lambda: vm.generation)

    def test_reflink(self) -> None:
        with open(self.path("from"), "wb+") as source, open(self.path("to"), "wb+") as target:
            source.write(b"the disk")
            source.flush()
            try:
                self.assertTrue(nestvirt.reflink(source, target))
            except nestvirt.UnsupportedError as error:  # Not on this file system: then all is copied, if asked for.
                self.assertEqual(error.errno, errno.EOPNOTSUPP)
                self.assertIn("XFS or Btrfs", str(error))
                self.assertFalse(nestvirt.reflink(source, target, or_copy=True))
            self.assertEqual(target.read(), b"the disk")
            self.refused(nestvirt.Error, -errno.EINVAL, nestvirt.reflink, source, target, or_copy=True)  # Not empty.
            with self.assertRaises(TypeError):
                nestvirt.reflink(source, "path")

    def test_inside_of_a_handler(self) -> None:
        vm = self.make(guests.RELAY)
        codes: List[int] = []

        def handler(access: nestvirt.Access) -> int:
            with self.assertRaises(nestvirt.StateError) as caught:
                vm.make_template()
            codes.append(caught.exception.code)
            return 1

        vm.add_port_handler(0x700, 1, handler)
        vm.build()
        vm.start()
        self.assertEqual(vm.wait(support.SECONDS).exit_code, 5)
        self.assertEqual(codes, [-errno.EDEADLK])

    def test_fork(self) -> None:
        support.run_python(FORKED)


FORKED = """
import errno, os, guests, nestvirt, support
vm = support.started(guests.SPIN)
support.await_spin(vm)
vm.pause()
template = vm.make_template()
child = os.fork()
if child == 0:
    status = 1
    try:
        for function in (template.clone, lambda: template.info, lambda: template.write("/dev/null"), vm.make_template,
                         lambda: vm.devices):
            try:
                function()
            except nestvirt.Error as error:
                assert error.code in (-errno.ECHILD, -errno.EINVAL), error
            else:
                raise AssertionError(function)
        template.close()
        status = 0
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
with template.clone() as clone:
    clone.build()
    clone.start()
    support.await_spin(clone)
"""

if __name__ == "__main__":
    support.main()
