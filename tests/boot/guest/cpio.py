#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# This script owns the initramfs format: it writes a cpio archive in the "newc" form, without being root.
"""Writes the archive that a list of entries describes to standard output.

Each line of standard input is one entry:
    dir PATH MODE
    file PATH MODE SOURCE
    link PATH TARGET
    char PATH MODE MAJOR MINOR
Modes are octal; everything belongs to root and has no time, so equal inputs give equal archives.
"""

import stat
import sys


def field(value):
    return b"%08X" % value


def padding(length):
    return b"\0" * (-length % 4)


class Archive:
    def __init__(self, out):
        self.out = out
        self.count = 0

    def add(self, path, mode, data=b"", device=(0, 0)):
        self.count += 1
        name = path.lstrip("/").encode() + b"\0"
        links = 2 if stat.S_ISDIR(mode) else 1
        # inode, mode, uid, gid, links, time, size, device of the file (2), device it is (2), name, checksum
        numbers = (self.count, mode, 0, 0, links, 0, len(data), 0, 0, *device, len(name), 0)
        head = b"070701" + b"".join(field(number) for number in numbers) + name
        self.out.write(head + padding(len(head)) + data + padding(len(data)))

    def add_line(self, line):
        kind, path, *rest = line.split()
        if kind == "dir":
            (mode,) = rest
            self.add(path, stat.S_IFDIR | int(mode, 8))
        elif kind == "file":
            mode, source = rest
            with open(source, "rb") as file:
                self.add(path, stat.S_IFREG | int(mode, 8), file.read())
        elif kind == "link":
            (target,) = rest
            self.add(path, stat.S_IFLNK | 0o777, target.encode())
        elif kind == "char":
            mode, major, minor = rest
            self.add(path, stat.S_IFCHR | int(mode, 8), device=(int(major), int(minor)))
        else:
            raise ValueError("unknown kind of entry: " + kind)

    def close(self):
        self.add("TRAILER!!!", 0)


def main():
    archive = Archive(sys.stdout.buffer)
    for line in sys.stdin:
        archive.add_line(line)
    archive.close()


if __name__ == "__main__":
    main()
