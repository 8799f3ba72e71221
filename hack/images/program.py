"""Reads an ELF program, to check that it can run in an otherwise empty image. In: its bytes."""

import hashlib
import struct

MACHINES = {62: "amd64", 183: "arm64"}
DYNAMIC, INTERPRETER = 2, 3
NEEDED = 1


class Program:
    """A 64-bit little-endian ELF file: machine, interpreter, and the number of shared libraries that it needs."""

    def __init__(self, data):
        assert data[:6] == b"\x7fELF\x02\x01", "no 64-bit little-endian ELF file"
        self.bytes = data
        self.sha256 = hashlib.sha256(data).hexdigest()
        self.architecture = MACHINES.get(struct.unpack_from("<H", data, 18)[0], "an unknown machine")
        self.interpreter = None
        self.libraries = 0
        (table,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        for index in range(count):
            kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", data, table + index * size)
            if kind == INTERPRETER:
                self.interpreter = data[offset : offset + length].rstrip(b"\0").decode()
            elif kind == DYNAMIC:
                tags = struct.iter_unpack("<qQ", data[offset : offset + length - length % 16])
                self.libraries = sum(1 for tag, _ in tags if tag == NEEDED)
