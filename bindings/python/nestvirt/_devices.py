# SPDX-License-Identifier: Apache-2.0
"""
The kinds of devices, and their properties.

Made by bindings/generate/generate by asking a library that was built from the same source. Do not edit.
"""

from typing import Any, Dict, Type

from ._adder import AdderBase, Bool, Num, Str
from ._device import Counter, Descriptor, Device, Number, Text, Truth
from ._streams import SocketDevice, StreamDevice


class Serial(StreamDevice):
    """A serial port, 16550A."""

    kind = "serial"
    output = Descriptor("where the guest's output goes; without it, it is discarded")
    input = Descriptor("where the guest's input comes from")
    port = Number("first of its 8 ports; COM1 to COM4 are 0x3f8, 0x2f8, 0x3e8, 0x2e8")
    irq = Number("its interrupt pin, 0 to 23; COM1 and COM3 use 4, COM2 and COM4 use 3")
    dropped = Counter("bytes of output dropped because the reader was too slow")


class Reset(Device):
    """Reset, power button and power-off."""

    kind = "reset"
    i8042 = Truth("1: also the keyboard controller's reset line at port 0x64 (reboot=k)")


class ExitDevice(Device):
    """A port that ends the run with a code."""

    kind = "exit"
    port = Number("the port, 0 to 65535; a byte written there becomes the exit code")


class Rng(Device):
    """Random numbers of the host (virtio 1.2, 5.4)."""

    kind = "rng"
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")
    rate_bytes = Number(
        "most bytes given to the guest in the time of rate_bytes_refill_ms; 0: no limit; may be set in any "
        "state"
    )
    rate_bytes_burst = Number(
        "bytes that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rate_bytes_refill_ms = Number(
        "milliseconds in which the limit of rate_bytes fills again; may be set in any state"
    )
    rate_operations = Number(
        "most operations given to the guest in the time of rate_operations_refill_ms; 0: no limit; may be set "
        "in any state"
    )
    rate_operations_burst = Number(
        "operations that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rate_operations_refill_ms = Number(
        "milliseconds in which the limit of rate_operations fills again; may be set in any state"
    )
    bytes = Counter("random bytes given to the guest")
    starved = Counter("times the host's getrandom() gave nothing and a request had to wait")


class Blk(Device):
    """A disk (virtio 1.2, 5.2)."""

    kind = "blk"
    path = Text("image file or block device; its bytes are the disk's (raw)")
    fd = Descriptor("the same as an open descriptor, instead of path")
    read_only = Truth("the guest may not write")
    direct = Truth("bypass the host's page cache (O_DIRECT)")
    serial = Text("what the guest sees as the disk's serial; up to 20 bytes")
    queues = Number("request queues, 1 to 16")
    writeback = Truth("1: writes are on the medium once the guest flushes; 0: once they complete")
    discard = Truth("let the guest give blocks back and zero them")
    lock = Truth(
        "lock the image, so that nobody else writes it (read_only: nor reads it to write); an fd that the "
        "caller has locked already keeps that lock, and must not be of two disks"
    )
    engine = Text("how I/O is done: auto, threads or io_uring")
    workers = Number("threads of the disk, 1 to 16")
    on_error = Text(
        "what a failure of the host does: report (to the guest), stop (pause the VM and try again when it "
        "goes on) or stop_on_enospc (only when the host's disk is full)"
    )
    block_size = Number("the disk's block as the guest sees it: 512, 1024, 2048 or 4096")
    resize = Number(
        "bytes of the image that the guest sees, 0: all; setting it looks at the image anew and tells the "
        "guest; may be set in any state"
    )
    capacity = Counter("the disk's size in sectors of 512 bytes, as the guest sees it")
    reads = Counter("reads done")
    writes = Counter("writes done")
    flushes = Counter("flushes done")
    errors = Counter("requests that were refused or failed")
    bytes_read = Counter("bytes read by the guest")
    bytes_written = Counter("bytes written by the guest")
    rate_bytes = Number(
        "most bytes of reads, writes and others in the time of rate_bytes_refill_ms; 0: no limit; may be set "
        "in any state"
    )
    rate_bytes_burst = Number(
        "bytes that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rate_bytes_refill_ms = Number(
        "milliseconds in which the limit of rate_bytes fills again; may be set in any state"
    )
    rate_operations = Number(
        "most operations of reads, writes and others in the time of rate_operations_refill_ms; 0: no limit; "
        "may be set in any state"
    )
    rate_operations_burst = Number(
        "operations that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rate_operations_refill_ms = Number(
        "milliseconds in which the limit of rate_operations fills again; may be set in any state"
    )
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")


class Net(Device):
    """A network interface (virtio 1.2, 5.1)."""

    kind = "net"
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")
    rx_rate_bytes = Number(
        "most bytes received by the guest in the time of rx_rate_bytes_refill_ms; 0: no limit; may be set in "
        "any state"
    )
    rx_rate_bytes_burst = Number(
        "bytes that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rx_rate_bytes_refill_ms = Number(
        "milliseconds in which the limit of rx_rate_bytes fills again; may be set in any state"
    )
    rx_rate_operations = Number(
        "most operations received by the guest in the time of rx_rate_operations_refill_ms; 0: no limit; may "
        "be set in any state"
    )
    rx_rate_operations_burst = Number(
        "operations that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    rx_rate_operations_refill_ms = Number(
        "milliseconds in which the limit of rx_rate_operations fills again; may be set in any state"
    )
    tx_rate_bytes = Number(
        "most bytes sent by the guest in the time of tx_rate_bytes_refill_ms; 0: no limit; may be set in any "
        "state"
    )
    tx_rate_bytes_burst = Number(
        "bytes that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    tx_rate_bytes_refill_ms = Number(
        "milliseconds in which the limit of tx_rate_bytes fills again; may be set in any state"
    )
    tx_rate_operations = Number(
        "most operations sent by the guest in the time of tx_rate_operations_refill_ms; 0: no limit; may be "
        "set in any state"
    )
    tx_rate_operations_burst = Number(
        "operations that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    tx_rate_operations_refill_ms = Number(
        "milliseconds in which the limit of tx_rate_operations fills again; may be set in any state"
    )
    tap = Text("name of the host's tap interface; made if it does not exist and this process may")
    fd = Descriptor("instead of a name: an open tap, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR; for one pair")
    mac = Text("the guest's address, such as 02:00:00:00:00:01; without it, a random one")
    mtu = Number("the MTU told to the guest, 68 to 65535; 0: none")
    link = Truth("1: the cable is plugged in; at 0 nothing is sent or received; may be set in any state")
    offloads = Truth("1: the guest may leave checksums and segmentation of TCP to the host")
    mrg_rxbuf = Truth("1: the guest may receive long packets in several buffers")
    pairs = Number("pairs of queues; above 1 the tap must be one with several queues")
    rx_packets = Counter("packets received by the guest")
    rx_bytes = Counter("bytes of them")
    rx_dropped = Counter(
        "packets for the guest dropped because its buffers were too small, or old when it began to receive"
    )
    tx_packets = Counter("packets sent by the guest")
    tx_bytes = Counter("bytes of them")
    tx_dropped = Counter(
        "packets of the guest dropped because they were malformed, the link was down or the tap refused them"
    )


class Console(StreamDevice):
    """A console with one or more ports (virtio 1.2, 5.3)."""

    kind = "console"
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")
    input = Descriptor("where input of port 0 comes from")
    output = Descriptor("where output of port 0 goes; without it, nowhere")
    name = Text("name of port 0, in a Linux guest under /dev/virtio-ports")
    ports = Number("how many ports it has, 1 to 8; a port is two streams of bytes")
    consoles = Number("how many of the ports, from port 0 on, are terminals (hvc0, ...)")
    cols = Number("columns of the terminal on port 0; 0: unknown; may be set in any state")
    rows = Number("rows of the terminal on port 0; 0: unknown; may be set in any state")
    rows_first = Truth(
        "1: with several ports, tell a size as rows and columns, as Linux before 2025 reads it; 0: as the "
        "specification has it"
    )
    patience_ms = Number(
        "milliseconds that a terminal waits for a reader that takes nothing; then output is dropped until it "
        "takes again; may be set in any state"
    )
    tx_bytes = Number(
        "most bytes of output of all ports in the time of tx_bytes_refill_ms; 0: no limit; may be set in any "
        "state"
    )
    tx_bytes_burst = Number(
        "bytes that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    tx_bytes_refill_ms = Number("milliseconds in which the limit of tx_bytes fills again; may be set in any state")
    tx_operations = Number(
        "most operations of output of all ports in the time of tx_operations_refill_ms; 0: no limit; may be "
        "set in any state"
    )
    tx_operations_burst = Number(
        "operations that may pass once, beyond the limit, from the start on; may be set in any state"
    )
    tx_operations_refill_ms = Number(
        "milliseconds in which the limit of tx_operations fills again; may be set in any state"
    )
    sent = Counter("bytes of output written for the guest")
    received = Counter("bytes of input given to the guest")
    dropped = Counter("bytes of output dropped because the reader was gone or too slow")
    malformed = Counter("control messages that meant nothing, or had no room")
    input1 = Descriptor("where input of port 1 comes from")
    output1 = Descriptor("where output of port 1 goes; without it, nowhere")
    name1 = Text("name of port 1, in a Linux guest under /dev/virtio-ports")
    input2 = Descriptor("where input of port 2 comes from")
    output2 = Descriptor("where output of port 2 goes; without it, nowhere")
    name2 = Text("name of port 2, in a Linux guest under /dev/virtio-ports")
    input3 = Descriptor("where input of port 3 comes from")
    output3 = Descriptor("where output of port 3 goes; without it, nowhere")
    name3 = Text("name of port 3, in a Linux guest under /dev/virtio-ports")
    input4 = Descriptor("where input of port 4 comes from")
    output4 = Descriptor("where output of port 4 goes; without it, nowhere")
    name4 = Text("name of port 4, in a Linux guest under /dev/virtio-ports")
    input5 = Descriptor("where input of port 5 comes from")
    output5 = Descriptor("where output of port 5 goes; without it, nowhere")
    name5 = Text("name of port 5, in a Linux guest under /dev/virtio-ports")
    input6 = Descriptor("where input of port 6 comes from")
    output6 = Descriptor("where output of port 6 goes; without it, nowhere")
    name6 = Text("name of port 6, in a Linux guest under /dev/virtio-ports")
    input7 = Descriptor("where input of port 7 comes from")
    output7 = Descriptor("where output of port 7 goes; without it, nowhere")
    name7 = Text("name of port 7, in a Linux guest under /dev/virtio-ports")


class Balloon(Device):
    """Memory back to the host (virtio 1.2, 5.5)."""

    kind = "balloon"
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")
    target = Number("bytes that the guest is asked to give back, a multiple of 4096; may be set in any state")
    actual = Counter("bytes that the guest says it has given back")
    deflate_on_oom = Truth("1: a guest that runs out of memory may take it back by itself")
    free_page_reporting = Truth("1: the guest reports free memory, which goes back to the host until it is used")
    stats = Truth("1: the guest can be asked for the statistics below")
    stats_interval_ms = Number(
        "milliseconds after which the guest is asked for statistics again; 0: never; may be set in any state"
    )
    inflated = Counter("bytes given back by the balloon since the VM was made")
    deflated = Counter("bytes that the guest took from the balloon again")
    reported = Counter("bytes given back by free page reporting")
    refused = Counter("pages that the guest named and that are not its memory")
    failed = Counter("times the host did not take memory back, and it was zeroed")
    stats_updates = Counter("times the guest sent statistics")
    stat_swap_in = Counter("bytes that the guest has swapped in")
    stat_swap_out = Counter("bytes that the guest has swapped out")
    stat_major_faults = Counter("the guest's page faults that read from a disk")
    stat_minor_faults = Counter("the guest's page faults that did not")
    stat_free_memory = Counter("bytes that nobody in the guest uses")
    stat_total_memory = Counter("bytes that the guest has")
    stat_available_memory = Counter("bytes that the guest could use at once")
    stat_disk_caches = Counter("bytes of the guest's file caches")
    stat_hugetlb_allocations = Counter("huge pages that the guest allocated")
    stat_hugetlb_failures = Counter("huge pages that it could not allocate")
    stat_oom_kills = Counter("processes that the guest killed for memory")
    stat_allocation_stalls = Counter("the guest's allocations that had to wait")
    stat_async_scans = Counter("pages that the guest looked at in background")
    stat_direct_scans = Counter("pages that it looked at when it needed some")
    stat_async_reclaims = Counter("pages that it reclaimed in background")
    stat_direct_reclaims = Counter("pages that it reclaimed when it needed some")


class Vsock(SocketDevice):
    """Sockets between guest and host (virtio 1.2, 5.10)."""

    kind = "vsock"
    queue_size = Number("most requests that may wait in each queue; a power of two up to 1024")
    faults = Counter("times the guest broke the device's rules and it had to be reset")
    ignored = Counter("accesses of the guest to the device's registers that were ignored")
    notified = Counter("times the device looked at a queue because the guest notified it")
    cid = Number("the guest's address, 3 to 4294967294; the host is 2")
    path = Text(
        "Unix socket where programs send \"CONNECT port\" to reach the guest; the guest reaches those that "
        "listen at path_PORT; without it nobody reaches anybody; in a folder whose file system answers at "
        "once, such as /run, as the event loop looks there"
    )
    connections = Number("most connections at a time; each holds up to 256 KiB while its reader is slow")
    connections_open = Counter("connections at the moment")
    refused = Counter("connections that did not come about")
    dropped = Counter("packets that could be neither used nor answered")
    rx_bytes = Counter("bytes that the guest has received")
    tx_bytes = Counter("bytes that the guest has sent")


class Vmgenid(Device):
    """The VM generation ID, another one in each clone."""

    kind = "vmgenid"
    made = Counter("generation IDs made: one, and one for each time it goes back to its template")


# Classes by kind.
CLASSES: Dict[str, Type[Device]] = {
    "serial": Serial,
    "reset": Reset,
    "exit": ExitDevice,
    "rng": Rng,
    "blk": Blk,
    "net": Net,
    "console": Console,
    "balloon": Balloon,
    "vsock": Vsock,
    "vmgenid": Vmgenid,
}


class DevicesMixin(AdderBase):
    """Adds devices, one method for each kind."""

    def add_serial(self, *, output: Any = None, input: Any = None, port: Num = None, irq: Num = None) -> Serial:
        """A serial port, 16550A. State new. See the attributes of Serial."""
        return self._add_known(Serial, dict(output=output, input=input, port=port, irq=irq))

    def add_reset(self, *, i8042: Bool = None) -> Reset:
        """Reset, power button and power-off. State new. See the attributes of Reset."""
        return self._add_known(Reset, dict(i8042=i8042))

    def add_exit(self, *, port: Num = None) -> ExitDevice:
        """A port that ends the run with a code. State new. See the attributes of ExitDevice."""
        return self._add_known(ExitDevice, dict(port=port))

    def add_rng(self, *, queue_size: Num = None, rate_bytes: Num = None, rate_bytes_burst: Num = None,
                rate_bytes_refill_ms: Num = None, rate_operations: Num = None, rate_operations_burst: Num = None,
                rate_operations_refill_ms: Num = None) -> Rng:
        """Random numbers of the host (virtio 1.2, 5.4). State new. See the attributes of Rng."""
        return self._add_known(Rng, dict(queue_size=queue_size, rate_bytes=rate_bytes,
                                         rate_bytes_burst=rate_bytes_burst,
                                         rate_bytes_refill_ms=rate_bytes_refill_ms,
                                         rate_operations=rate_operations,
                                         rate_operations_burst=rate_operations_burst,
                                         rate_operations_refill_ms=rate_operations_refill_ms))

    def add_blk(self, *, path: Str = None, fd: Any = None, read_only: Bool = None, direct: Bool = None,
                serial: Str = None, queues: Num = None, writeback: Bool = None, discard: Bool = None,
                lock: Bool = None, engine: Str = None, workers: Num = None, on_error: Str = None,
                block_size: Num = None, resize: Num = None, rate_bytes: Num = None, rate_bytes_burst: Num = None,
                rate_bytes_refill_ms: Num = None, rate_operations: Num = None, rate_operations_burst: Num = None,
                rate_operations_refill_ms: Num = None, queue_size: Num = None) -> Blk:
        """A disk (virtio 1.2, 5.2). State new. See the attributes of Blk."""
        return self._add_known(Blk, dict(path=path, fd=fd, read_only=read_only, direct=direct, serial=serial,
                                         queues=queues, writeback=writeback, discard=discard, lock=lock,
                                         engine=engine, workers=workers, on_error=on_error, block_size=block_size,
                                         resize=resize, rate_bytes=rate_bytes, rate_bytes_burst=rate_bytes_burst,
                                         rate_bytes_refill_ms=rate_bytes_refill_ms,
                                         rate_operations=rate_operations,
                                         rate_operations_burst=rate_operations_burst,
                                         rate_operations_refill_ms=rate_operations_refill_ms,
                                         queue_size=queue_size))

    def add_net(self, *, queue_size: Num = None, rx_rate_bytes: Num = None, rx_rate_bytes_burst: Num = None,
                rx_rate_bytes_refill_ms: Num = None, rx_rate_operations: Num = None,
                rx_rate_operations_burst: Num = None, rx_rate_operations_refill_ms: Num = None,
                tx_rate_bytes: Num = None, tx_rate_bytes_burst: Num = None, tx_rate_bytes_refill_ms: Num = None,
                tx_rate_operations: Num = None, tx_rate_operations_burst: Num = None,
                tx_rate_operations_refill_ms: Num = None, tap: Str = None, fd: Any = None, mac: Str = None,
                mtu: Num = None, link: Bool = None, offloads: Bool = None, mrg_rxbuf: Bool = None,
                pairs: Num = None) -> Net:
        """A network interface (virtio 1.2, 5.1). State new. See the attributes of Net."""
        return self._add_known(Net, dict(queue_size=queue_size, rx_rate_bytes=rx_rate_bytes,
                                         rx_rate_bytes_burst=rx_rate_bytes_burst,
                                         rx_rate_bytes_refill_ms=rx_rate_bytes_refill_ms,
                                         rx_rate_operations=rx_rate_operations,
                                         rx_rate_operations_burst=rx_rate_operations_burst,
                                         rx_rate_operations_refill_ms=rx_rate_operations_refill_ms,
                                         tx_rate_bytes=tx_rate_bytes, tx_rate_bytes_burst=tx_rate_bytes_burst,
                                         tx_rate_bytes_refill_ms=tx_rate_bytes_refill_ms,
                                         tx_rate_operations=tx_rate_operations,
                                         tx_rate_operations_burst=tx_rate_operations_burst,
                                         tx_rate_operations_refill_ms=tx_rate_operations_refill_ms, tap=tap,
                                         fd=fd, mac=mac, mtu=mtu, link=link, offloads=offloads,
                                         mrg_rxbuf=mrg_rxbuf, pairs=pairs))

    def add_console(self, *, queue_size: Num = None, input: Any = None, output: Any = None, name: Str = None,
                    ports: Num = None, consoles: Num = None, cols: Num = None, rows: Num = None,
                    rows_first: Bool = None, patience_ms: Num = None, tx_bytes: Num = None,
                    tx_bytes_burst: Num = None, tx_bytes_refill_ms: Num = None, tx_operations: Num = None,
                    tx_operations_burst: Num = None, tx_operations_refill_ms: Num = None, input1: Any = None,
                    output1: Any = None, name1: Str = None, input2: Any = None, output2: Any = None,
                    name2: Str = None, input3: Any = None, output3: Any = None, name3: Str = None,
                    input4: Any = None, output4: Any = None, name4: Str = None, input5: Any = None,
                    output5: Any = None, name5: Str = None, input6: Any = None, output6: Any = None,
                    name6: Str = None, input7: Any = None, output7: Any = None, name7: Str = None) -> Console:
        """A console with one or more ports (virtio 1.2, 5.3). State new. See the attributes of Console."""
        return self._add_known(Console, dict(queue_size=queue_size, input=input, output=output, name=name,
                                             ports=ports, consoles=consoles, cols=cols, rows=rows,
                                             rows_first=rows_first, patience_ms=patience_ms, tx_bytes=tx_bytes,
                                             tx_bytes_burst=tx_bytes_burst, tx_bytes_refill_ms=tx_bytes_refill_ms,
                                             tx_operations=tx_operations, tx_operations_burst=tx_operations_burst,
                                             tx_operations_refill_ms=tx_operations_refill_ms, input1=input1,
                                             output1=output1, name1=name1, input2=input2, output2=output2,
                                             name2=name2, input3=input3, output3=output3, name3=name3,
                                             input4=input4, output4=output4, name4=name4, input5=input5,
                                             output5=output5, name5=name5, input6=input6, output6=output6,
                                             name6=name6, input7=input7, output7=output7, name7=name7))

    def add_balloon(self, *, queue_size: Num = None, target: Num = None, deflate_on_oom: Bool = None,
                    free_page_reporting: Bool = None, stats: Bool = None,
                    stats_interval_ms: Num = None) -> Balloon:
        """Memory back to the host (virtio 1.2, 5.5). State new. See the attributes of Balloon."""
        return self._add_known(Balloon, dict(queue_size=queue_size, target=target, deflate_on_oom=deflate_on_oom,
                                             free_page_reporting=free_page_reporting, stats=stats,
                                             stats_interval_ms=stats_interval_ms))

    def add_vsock(self, *, queue_size: Num = None, cid: Num = None, path: Str = None,
                  connections: Num = None) -> Vsock:
        """Sockets between guest and host (virtio 1.2, 5.10). State new. See the attributes of Vsock."""
        return self._add_known(Vsock, dict(queue_size=queue_size, cid=cid, path=path, connections=connections))

    def add_vmgenid(self) -> Vmgenid:
        """The VM generation ID, another one in each clone. State new. See the attributes of Vmgenid."""
        return self._add_known(Vmgenid, {})


__all__ = [
    "Balloon",
    "Blk",
    "Console",
    "ExitDevice",
    "Net",
    "Reset",
    "Rng",
    "Serial",
    "Vmgenid",
    "Vsock",
]
