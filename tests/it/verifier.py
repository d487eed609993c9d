"""Verifies a Rig log from what rig-log(5) says, and from nothing else. Usage: verifier.py DIR/log"""

import hashlib
import os
import re
import struct
import sys

TABLE = []
for n in range(256):
    for _ in range(8):
        n = (n >> 1) ^ (0x82F63B78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


class Broken(Exception):
    pass


def check(holds, what):
    if not holds:
        raise Broken(what)


def text(data, what):
    try:
        data.decode("utf-8", "strict")
    except UnicodeDecodeError:
        raise Broken(what + " is not UTF-8")
    check(b"\0" not in data, what + " holds a zero byte")


class Log:
    def __init__(self):
        self.cluster = None
        self.version = None
        self.hash = None
        self.epoch = (0, b"", 0)
        self.records = 0

    def segment(self, name, data):
        check(len(data) >= 128, "the header is cut short")
        magic, form, zeros, cluster, base, before = struct.unpack_from("<8sH6s16sQ32s", data, 0)
        check(magic == b"RIGSEG1\n", "magic")
        check(form == 1, "format")
        check(zeros == bytes(6) and data[72:124] == bytes(52), "zeros of the header")
        check(struct.unpack_from("<I", data, 124)[0] == crc32c(data[:124]), "CRC of the header")
        check(base >= 1 and base == int(name[:20]), "base version")
        if self.cluster is None:
            self.cluster, self.version = cluster, base - 1
            genesis = hashlib.sha256(b"rig/1 " + cluster).digest()
            self.hash = genesis if base == 1 else before
        check(cluster == self.cluster, "cluster id")
        check(base == self.version + 1, "a segment is missing")
        check(before == self.hash, "hash in the header")
        at = 128
        while len(data) - at >= 8 and data[at + 4 : at + 8] != bytes(4):
            at += self.record(data, at, base)
        check(data[at:] == bytes(len(data) - at), "bytes behind the last record, at %d" % at)

    def record(self, data, at, base):
        where = " of version %d at %d" % (self.version + 1, at)
        head = data[at : at + 80]
        check(len(head) == 80, "header" + where)
        salt = self.cluster + struct.pack("<Q", base)
        (header_crc, length, form, kind, flags, payload_crc, version, number, owner, start, time, upto, size, method,
         actor, key, zero) = struct.unpack("<IIBBHIQQ16sQQQIBBBB", head)
        check(header_crc == crc32c(salt + head[4:]), "header CRC" + where)
        check(form == 1, "format" + where)
        check(kind in (1, 2), "kind" + where)
        check(flags == 0 and zero == 0, "zeros" + where)
        check(size >= 1 and 1 <= method <= 64 and actor <= 64 and key <= 128, "lengths" + where)
        request = 32 if key else 0
        used = request + method + actor + key + size
        check(length % 8 == 0 and length <= 8388608 and length == 112 + (used + 7) // 8 * 8, "length" + where)
        check(at + length <= len(data), "cut short" + where)
        record = data[at : at + length]
        payload, found = record[80:-32], record[-32:]
        check(payload_crc == crc32c(payload), "payload CRC" + where)
        check(payload[used:] == bytes(len(payload) - used), "zeros behind the data" + where)
        rest = payload[request:used]
        for what, n in (("method", method), ("actor", actor), ("key", key), ("data", size)):
            text(rest[:n], what + where)
            rest = rest[n:]
        check(version == self.version + 1, "version" + where)
        check(upto < version, "commit_upto" + where)
        check((number, owner, start) >= self.epoch, "epoch" + where)
        self.hash = hashlib.sha256(self.hash + record[4:-32]).digest()
        check(self.hash == found, "hash" + where)
        self.version, self.epoch, self.records = version, (number, owner, start), self.records + 1
        return length


def main(directory):
    log, name = Log(), None
    try:
        for name in sorted(n for n in os.listdir(directory) if re.fullmatch(r"[0-9]{20}\.log", n)):
            with open(os.path.join(directory, name), "rb") as file:
                log.segment(name, file.read())
    except Broken as broken:
        print("FAIL %s: %s" % (name, broken))
        return 1
    print("PASS %d records, head %d %s" % (log.records, log.version or 0, (log.hash or b"").hex()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
