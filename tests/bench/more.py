#!/usr/bin/env python3
"""What else is asked of a pair of nodes in mode sync, each part on a throw-away pair of its own.

    cargo build --release --locked --bins --examples
    tests/bench/more.py                            all but the soak: about two minutes
    tests/bench/more.py batch reads                only these
    tests/bench/more.py soak --minutes 30          30 minutes at 64 clients; --pause MS spares the disk

batch     100 operations in a request, on 1 and 16 connections
pipeline  8 requests under way on each of 64 connections
reads     a document by its id at 64 clients: on either node alone, and on the primary beside 64 clients that write
feed      from the answer of a write to its line at a follower of the change feed, alone and beside 64 clients
overload  256 connections with 250 requests under way each, six times what a node takes in; what a client beside sees
memory    what both nodes hold at 256 clients
soak      the same 10,000 documents written again and again; memory of both nodes after each minute
Each line is one JSON object on stdout.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time

import compare

FIXED = 10_000


def emit(part, **figures):
    print(json.dumps({"part": part, **figures}), flush=True)


def rate(figures):
    """wrk's percentiles are of no use where requests overtake answers."""
    return {"ops_per_s": round(figures["ops"] / figures["seconds"]), "errors": figures["errors"]}


def summary(figures):
    return {**rate(figures), "p50_ms": figures["p50_us"] / 1000, "p99_ms": figures["p99_us"] / 1000}


@contextlib.contextmanager
def pair(options):
    directory = tempfile.mkdtemp(prefix="rig-more-", dir=options.dir)
    rig = compare.Rig(options, os.path.join(directory, "rig"))
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        shutil.rmtree(directory)


def beside(work, *others):
    """Does some work while others are done."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = [pool.submit(other) for other in others]
        time.sleep(0.5)
        result = work()
        return [result, *(other.result() for other in running)]


def resident(process):
    with open(f"/proc/{process.pid}/status") as status:
        line = next(line for line in status if line.startswith("VmRSS"))
    return round(int(line.split()[1]) / 1024)


def batch(rig, options):
    for clients in (1, 16):
        rig.load(clients, 1, BATCH=100)
        emit("batch", clients=clients, **summary(rig.load(clients, options.seconds, BATCH=100)))


def pipeline(rig, options):
    rig.load(64, 1, PIPELINE=8)
    emit("pipeline", clients=64, requests=8, **rate(rig.load(64, options.seconds, PIPELINE=8)))


def reads(rig, options):
    fill(rig)
    for node, port in (("primary", rig.port), ("replica", rig.replica_port)):
        figures = rig.wrk(port, 64, options.seconds, MODE="get", DOCUMENTS=FIXED)
        emit("reads", node=node, beside=0, **summary(figures))
    alone = rig.load(64, options.seconds)
    emit("reads", writes_alone=summary(alone))
    for node, port in (("primary", rig.port), ("replica", rig.replica_port)):
        read, write = beside(lambda: rig.wrk(port, 64, options.seconds, MODE="get", DOCUMENTS=FIXED),
                             lambda: rig.load(64, options.seconds + 1))
        emit("reads", node=node, beside=64, **summary(read), writes=summary(write))


def fill(rig):
    """The documents that get and put share: an update of each."""
    while compare.call(rig.port, "GET", "/data/item?limit=1&after=fixed-%07d" % (FIXED - 2))["data"]["items"] == []:
        rig.load(1, 2, MODE="put", DOCUMENTS=FIXED, BATCH=100)


class Follower:
    """A change feed of one type of documents, as raw as a program sees it."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.sendall(b"GET /log?type=probe&follow=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self.text = b""

    def read(self):
        """The keys of the lines that are whole."""
        self.text += self.socket.recv(1 << 16)
        *lines, self.text = self.text.split(b"\n")
        return [line.split(b'"key":"')[1].split(b'"')[0].decode() for line in lines if b'"key":"' in line]


def feed(rig, options):
    measured = lambda: follow(rig, options.seconds)
    emit("feed", beside=0, **measured())
    lags, writes = beside(measured, lambda: rig.load(64, options.seconds + 2))
    emit("feed", beside=64, **lags, writes=summary(writes))


def follow(rig, length):
    """One client writes, waits for the answer and for the line at both followers, and goes on."""
    followers = {"primary": Follower(rig.port), "replica": Follower(rig.replica_port)}
    writer = socket.create_connection(("127.0.0.1", rig.port))
    writer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    waiting = selectors.DefaultSelector()
    for name, follower in followers.items():
        waiting.register(follower.socket, selectors.EVENT_READ, (name, follower.read))
    waiting.register(writer, selectors.EVENT_READ, ("answer", lambda: key_of(writer.recv(4096))))
    lags, number, run = {name: [] for name in followers}, 0, f"probe-{time.time_ns()}"
    key, until = "", time.monotonic() + length

    def key_of(answer):
        assert b" 200 OK" in answer, answer
        return [key]

    while time.monotonic() < until:
        number += 1
        key, seen = f"{run}-{number}", {}
        body = f'{{"method":"probe_put","data":{{"id":"one","n":{number}}}}}'
        writer.sendall((f"POST /do HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nIdempotency-Key: {key}\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}").encode())
        while len(seen) < 3:
            for event, _ in waiting.select(5) or sys.exit(f"no line for {key} within 5 s: {seen}"):
                name, read = event.data
                if key in read():
                    seen[name] = time.monotonic()
        for name in followers:
            lags[name].append(max(0.0, seen[name] - seen["answer"]) * 1000)
    figures = {"writes_of_the_probe": number}
    for name, values in lags.items():
        values.sort()
        figures[name] = {"p50_ms": round(statistics.median(values), 3), "p99_ms": round(values[len(values) * 99 // 100], 3),
                         "max_ms": round(values[-1], 3)}
    return figures


def overload(rig, options):
    peak = 0
    for clients, under_way in ((64, 1), (256, 1), (64, 8)):
        figures = rate(rig.load(clients, options.seconds, PIPELINE=under_way))
        peak = max(peak, figures["ops_per_s"])
        emit("overload", clients=clients, requests=under_way, **figures)
    probe, load = beside(lambda: knock(rig.port, options.seconds), lambda: rig.load(256, options.seconds + 1, PIPELINE=250))
    done = rate(load)
    refused = done.pop("errors")
    emit("overload", clients=256, requests=250, **done, refused_per_s=round(refused / load["seconds"]),
         share_of_the_peak=round(done["ops_per_s"] / peak, 2), beside=probe)
    rig.settle()
    emit("overload", clients=64, requests=1, afterwards=True, **summary(rig.load(64, options.seconds)))


def knock(port, length):
    """One client with one request after the other: how soon it is taken, or refused."""
    times, until = {}, time.monotonic() + length
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while time.monotonic() < until:
        began = time.monotonic()
        connection.request("POST", "/do", '{"method":"knock_create","data":{}}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        times.setdefault(answer.status, []).append((time.monotonic() - began) * 1000)
        time.sleep(0.002)
    return {str(status): {"count": len(values), "p50_ms": round(statistics.median(values), 2), "max_ms": round(max(values), 2)}
            for status, values in times.items()}


def memory(rig, options):
    """Put, so that the documents stay the same: what is left is that of connections and keys."""
    for clients in (1, 64, 256):
        _, figures = beside(lambda: time.sleep(0), lambda: rig.load(clients, 1, MODE="put", DOCUMENTS=FIXED))
        held, figures = beside(lambda: (time.sleep(options.seconds - 1), [resident(node) for node in rig.nodes])[1],
                               lambda: rig.load(clients, options.seconds, MODE="put", DOCUMENTS=FIXED))
        emit("memory", clients=clients, primary_mib=held[0], replica_mib=held[1], **summary(figures))


def soak(rig, options):
    """Documents stay the same and keys are at most a million: after that nothing may grow."""
    total, full = 0, None
    for minute in range(1, options.minutes + 1):
        figures = rig.load(64, 60, MODE="put", DOCUMENTS=FIXED, PAUSE=options.pause)
        total += figures["ops"]
        held = [resident(node) for node in rig.nodes]
        free = shutil.disk_usage(rig.dir).free >> 30
        emit("soak", minute=minute, primary_mib=held[0], replica_mib=held[1], total=total, disk_free_gib=free, **summary(figures))
        if total > 1_000_000 and full is None:
            full = held
        if free < 5:
            sys.exit("the disk is nearly full: use --pause")
    if full:
        emit("soak", grown_since_the_keys_are_full_mib=[now - then for now, then in zip(held, full)])


PARTS = {part.__name__: part for part in (batch, pipeline, reads, feed, overload, memory, soak)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="all but the soak if none is named")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--minutes", type=int, default=30, help="of the soak")
    parser.add_argument("--pause", type=int, default=0, metavar="MS", help="of every client of the soak after each answer")
    parser.add_argument("--dir", help="where the nodes have their data: a real disk [default: the place for temporary files]")
    parser.add_argument("--rig", default=os.path.join(compare.RELEASE, "rig"), help="another binary")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    for name in options.parts or [name for name in PARTS if name != "soak"]:
        with pair(options) as rig:
            PARTS[name](rig, options)


if __name__ == "__main__":
    main()
