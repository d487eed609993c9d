#!/usr/bin/env python3
"""What else is asked of a pair of nodes in mode sync, each part on a throw-away pair of its own.

    cargo build --release --locked --bins --examples
    tests/bench/more.py                            all but pauses, growth and soak: about two minutes
    tests/bench/more.py batch reads                only these
    tests/bench/more.py soak --minutes 30          30 minutes at 64 clients; --pause MS spares the disk

batch     100 operations in a request, on 1 and 16 connections
pipeline  8 requests under way on each of 64 connections
reads     a document by its id at 64 clients: on either node alone, and beside 64 clients that write
feed      from the answer of a write to its line at a follower of the change feed, alone and beside 64 clients
overload  256 connections with 250 requests under way each, six times what a node takes in; and a client beside them
time      processor time of each thread for one operation at 64 clients, of Rig and of the yardstick
memory    what both nodes hold with 1, 64 and 256 clients, and without keys what the primary holds beside its documents
pauses    the slowest of many reads while 64 clients write and snapshots of --documents are written, and in between
growth    rate and p99 with --records in the log and --documents in the state, beside a pair with 10,000 of both, in turns
soak      the same 10,000 documents written again and again; memory of both nodes after each minute

Each line is one JSON object on stdout.
"""

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import os
import resource
import selectors
import shutil
import socket
import statistics
import sys
import tempfile
import time

import systems

FIXED = 10_000
# Updates of documents that are there, so that their number stays.
PUT = {"MODE": "put", "DOCUMENTS": FIXED}
GET = {"MODE": "get", "DOCUMENTS": FIXED}


def emit(part, **figures):
    print(json.dumps({"part": part, **figures}), flush=True)


def rate(figures):
    """Without wrk's percentiles, which mean nothing where requests do not wait for each other."""
    return {"ops_per_s": round(figures["ops"] / figures["seconds"]), "errors": figures["errors"]}


def summary(figures):
    return {**rate(figures), "p50_ms": figures["p50_us"] / 1000, "p99_ms": figures["p99_us"] / 1000}


def spread(times):
    times = sorted(times)
    figures = {"p50": statistics.median(times), "p99": times[len(times) * 99 // 100], "max": times[-1]}
    return {"count": len(times), **{f"{name}_ms": round(time * 1000, 3) for name, time in figures.items()}}


@contextlib.contextmanager
def pair(options):
    directory = tempfile.mkdtemp(prefix="rig-more-", dir=options.dir)
    rig = systems.Rig(options, os.path.join(directory, "rig"))
    try:
        rig.start()
        yield rig
    finally:
        rig.stop()
        shutil.rmtree(directory)


def beside(work, other):
    """Does some work while another is done: what came of both."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        running = pool.submit(other)
        time.sleep(0.5)
        return work(), running.result()


def batch(rig, options):
    for clients in (1, 16):
        rig.load(clients, 1, BATCH=100)
        emit("batch", clients=clients, **summary(rig.load(clients, options.seconds, BATCH=100)))


def pipeline(rig, options):
    rig.load(64, 1, PIPELINE=8)
    emit("pipeline", clients=64, requests=8, **rate(rig.load(64, options.seconds, PIPELINE=8)))


def reads(rig, options):
    last = f"/data/item/fixed-{FIXED - 1:07}"
    while not systems.is_there(rig.replica_port, last):
        rig.load(1, 2, BATCH=100, **PUT)
    nodes = {"primary": rig.port, "replica": rig.replica_port}
    for node, port in nodes.items():
        emit("reads", node=node, **summary(rig.wrk(port, 64, options.seconds, **GET)))
    # A pair that stores new documents becomes slower by itself: those alone are measured on either side.
    before = rig.load(64, options.seconds)
    for node, port in nodes.items():
        read, write = beside(lambda: rig.wrk(port, 64, options.seconds, **GET),
                             lambda: rig.load(64, options.seconds + 1))
        after = rig.load(64, options.seconds)
        alone = statistics.mean(rate(each)["ops_per_s"] for each in (before, after))
        emit("reads", node=node, **summary(read), writes_beside=summary(write), writes_alone=round(alone),
             share_of_alone=round(rate(write)["ops_per_s"] / alone, 3))
        before = after


class Follower:
    """A change feed of one type of documents, as raw as a program sees it."""

    def __init__(self, port):
        self.socket = socket.create_connection((systems.LOCAL, port))
        self.socket.sendall(b"GET /log?type=probe&follow=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        self.text = b""

    def read(self):
        """The keys of the lines that are whole."""
        self.text += self.socket.recv(1 << 16)
        *lines, self.text = self.text.split(b"\n")
        return [line.split(b'"key":"')[1].split(b'"')[0].decode() for line in lines if b'"key":"' in line]


class Writer:
    """One client that writes one document again and again."""

    def __init__(self, port):
        self.socket = socket.create_connection((systems.LOCAL, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.key = None

    def write(self, key):
        self.key = key
        body = '{"method":"probe_put","data":{"id":"one"}}'
        head = "POST /do HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        text = f"{head}Idempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        self.socket.sendall(text.encode())

    def read(self):
        answer = self.socket.recv(4096)
        if b" 200 OK" not in answer:
            sys.exit(f"not done: {answer}")
        return [self.key]


def feed(rig, options):
    emit("feed", **follow(rig, options.seconds))
    lags, writes = beside(lambda: follow(rig, options.seconds), lambda: rig.load(64, options.seconds + 2))
    emit("feed", **lags, writes_beside=summary(writes))


def follow(rig, length):
    """A client writes, waits for the answer and for the line at a follower of either node, and goes on."""
    writer = Writer(rig.port)
    ends = {"answer": writer, "primary": Follower(rig.port), "replica": Follower(rig.replica_port)}
    waiting = selectors.DefaultSelector()
    for name, end in ends.items():
        waiting.register(end.socket, selectors.EVENT_READ, (name, end))
    lags, deadline = {"primary": [], "replica": []}, time.monotonic() + length
    while time.monotonic() < deadline:
        key, seen = f"probe-{time.time_ns()}", {}
        writer.write(key)
        while len(seen) < len(ends):
            for event, _ in waiting.select(5) or sys.exit(f"no line for {key} within 5 s: {seen}"):
                name, end = event.data
                if key in end.read():
                    seen[name] = time.monotonic()
        for name, lag in lags.items():
            lag.append(max(0.0, seen[name] - seen["answer"]))
    return {f"at_the_{name}": spread(lag) for name, lag in lags.items()}


def overload(rig, options):
    peak = 0
    for clients, requests in ((64, 1), (256, 1), (64, 8)):
        figures = rate(rig.load(clients, options.seconds, PIPELINE=requests))
        peak = max(peak, figures["ops_per_s"])
        emit("overload", clients=clients, requests=requests, **figures)
    other, load = beside(lambda: knock(rig.port, options.seconds),
                         lambda: rig.load(256, options.seconds + 1, PIPELINE=250))
    done, refused = round(load["ops"] / load["seconds"]), round(load["errors"] / load["seconds"])
    emit("overload", clients=256, requests=250, ops_per_s=done, refused_per_s=refused,
         share_of_the_peak=round(done / peak, 2), a_client_beside=other)
    rig.settle()
    emit("overload", clients=64, requests=1, afterwards=True, **rate(rig.load(64, options.seconds)))


def knock(port, length):
    """One client with one request after the other: how soon it is taken, or refused."""
    times, deadline = {}, time.monotonic() + length
    connection = http.client.HTTPConnection(systems.LOCAL, port, timeout=10)
    while time.monotonic() < deadline:
        began = time.monotonic()
        connection.request("POST", "/do", '{"method":"knock_create","data":{}}', {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        times.setdefault(str(answer.status), []).append(time.monotonic() - began)
        time.sleep(0.002)
    return {status: spread(values) for status, values in times.items()}


def spent(system):
    """Seconds of the processors by thread, in the program and in the kernel: of each node, and of clients that have ended."""
    times, tick = {}, os.sysconf("SC_CLK_TCK")
    for place, node in enumerate(system.nodes):
        for task in os.listdir(f"/proc/{node.pid}/task"):
            with open(f"/proc/{node.pid}/task/{task}/stat") as stat:
                name, _, rest = stat.read().partition("(")[2].rpartition(")")
            own, kernel = (int(count) / tick for count in rest.split()[11:13])
            before = times.get((place, name), (0, 0))
            times[place, name] = (before[0] + own, before[1] + kernel)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    times["client", "wrk"] = (ended.ru_utime, ended.ru_stime)
    return times


def time_of(system, options):
    system.load(64, 1)
    before = spent(system)
    figures = system.load(64, options.seconds)
    for (place, thread), times in spent(system).items():
        then = before.get((place, thread), (0, 0))
        micros = [round((now - then) * 1e6 / figures["ops"], 1) for now, then in zip(times, then)]
        if sum(micros) >= 0.1:
            node = place if place == "client" else system.roles[place]
            emit("time", system=system.name, node=node, thread=thread, own_us=micros[0], kernel_us=micros[1])
    emit("time", system=system.name, **summary(figures))


def time_spent(rig, options):
    """One that has been loaded for a while, and a new one of the other."""
    rig.roles = ("primary", "replica")
    time_of(rig, options)
    yardstick = systems.Yardstick(options, os.path.join(os.path.dirname(rig.dir), "yardstick"))
    yardstick.roles = ("replica", "primary")
    try:
        yardstick.start()
        time_of(yardstick, options)
    finally:
        yardstick.stop()


def resident(rig):
    """MiB of the primary and of the replica."""
    sizes = []
    for node in rig.nodes:
        with open(f"/proc/{node.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmRSS"))
        sizes.append(round(int(line.split()[1]) / 1024))
    return sizes


def memory(rig, options):
    for clients in (1, 64, 256):
        held, figures = beside(lambda: (time.sleep(options.seconds - 1), resident(rig))[1],
                               lambda: rig.load(clients, options.seconds, **PUT))
        emit("memory", clients=clients, mib=held, **summary(figures))
    with pair(options) as other:
        peak, figures = beside(lambda: most_held(other, options.seconds),
                               lambda: other.load(256, options.seconds + 1, KEYS="no", **PUT))
        metrics = systems.ask(other.port, "GET", "/metrics").splitlines()
        held = next(float(line.split()[1]) for line in metrics if line.startswith("rig_documents_bytes "))
        documents = round(held / (1 << 20))
        emit("memory", clients=256, keys=False, primary_mib=peak, documents_mib=documents, beside_mib=peak - documents,
             **summary(figures))


def fill(rig, records, documents):
    """Writes so many records and more, of all the documents in turn; says how many."""
    done = 0
    while done < max(records, documents + 1):
        done += rig.load(16, 5, BATCH=100, MODE="put", DOCUMENTS=documents, FROM=done)["ops"]
        rig.settle()
    held = systems.ask(rig.port, "GET", "/metrics").splitlines()
    held = next(float(line.split()[1]) for line in held if line.startswith("rig_documents "))
    if held != documents:
        sys.exit(f"{held} documents, not {documents}")
    return done


def most_held(rig, length):
    """The most MiB that the primary holds in so many seconds."""
    most, deadline = 0, time.monotonic() + length
    while time.monotonic() < deadline:
        most = max(most, resident(rig)[0])
        time.sleep(0.05)
    return most


def pauses(rig, options):
    """A read asks the event loop alone: what keeps it waiting keeps everybody waiting."""
    fill(rig, options.documents, options.documents)
    work = {"MODE": "put", "DOCUMENTS": options.documents}
    reads, writes = beside(lambda: glances(rig, 8 * options.seconds),
                           lambda: rig.load(64, 8 * options.seconds + 1, **work))
    emit("pauses", documents=options.documents, **reads, writes_beside=summary(writes))


def glances(rig, length):
    """Reads one document every millisecond: how long that takes while a snapshot is written, and else."""
    snapshots = os.path.join(rig.dir, "n1", "snapshots")
    is_writing = lambda: any(name.endswith(".tmp") for name in os.listdir(snapshots))
    client = socket.create_connection((systems.LOCAL, rig.port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    times, deadline, written, was_writing = {True: [], False: []}, time.monotonic() + length, 0, False
    while time.monotonic() < deadline:
        began = time.monotonic()
        client.sendall(b"GET /data/item/fixed-0000000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        if not client.recv(4096).startswith(b"HTTP/1.1 200"):
            sys.exit("the document is not there")
        took, writing = time.monotonic() - began, is_writing()
        times[writing or was_writing].append(took)
        written += writing and not was_writing
        was_writing = writing
        time.sleep(0.001)
    if not written:
        sys.exit("no snapshot was written: more --seconds")
    return {"files_written": written, "while_writing": spread(times[True]), "else": spread(times[False])}


def growth(small, options):
    """Updates of documents that are there, on a small and on a large pair, slice by slice in turns."""
    with pair(options) as large:
        for rig, records, documents in ((small, FIXED, FIXED), (large, options.records, options.documents)):
            done = fill(rig, records, documents)
            emit("growth", records=done, documents=documents, mib=resident(rig))
        pairs = ((small, PUT), (large, {"MODE": "put", "DOCUMENTS": options.documents}))
        for clients in (1, 8, 64):
            slices = []
            for turn in range(2 * options.rounds + 1):
                both = [summary(rig.load(clients, options.seconds, **work)) for rig, work in pairs[:: 1 - turn % 2 * 2]]
                slices.append(both[:: 1 - turn % 2 * 2])
            # The first turn warms up.
            ratio = {name: [round(large[name] / small[name], 3) for small, large in slices[1:]]
                     for name in ("ops_per_s", "p99_ms")}
            emit("growth", clients=clients, **{f"{name}_ratio": statistics.median(each) for name, each in ratio.items()},
                 small=slices[-1][0], large=slices[-1][1], slices=ratio)


def soak(rig, options):
    """Documents stay the same and keys are at most a million: after that nothing may grow."""
    total, full = 0, None
    for minute in range(1, options.minutes + 1):
        figures = rig.load(64, 60, PAUSE=options.pause, **PUT)
        total += figures["ops"]
        held, free = resident(rig), shutil.disk_usage(rig.dir).free >> 30
        emit("soak", minute=minute, mib=held, total=total, disk_free_gib=free, **summary(figures))
        full = held if full is None and total > 1_000_000 else full
        if free < 5:
            sys.exit("the disk is nearly full: use --pause")
    if full:
        emit("soak", grown_since_a_million_keys_mib=[now - then for now, then in zip(held, full)])


PARTS = {part.__name__: part for part in (batch, pipeline, reads, feed, overload, memory, pauses, growth, soak)}
PARTS["time"] = time_spent
LONG = {"pauses", "growth", "soak"}


def main():
    systems.end_in_order()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="all but pauses, growth and soak if none is named")
    parser.add_argument("--records", type=int, default=10_000_000, help="in the log of the large pair")
    parser.add_argument("--documents", type=int, default=1_000_000, help="in its state")
    parser.add_argument("--rounds", type=int, default=3, help="of growth: slices of each pair, in twos")
    parser.add_argument("--seconds", type=int, default=4, help="of each measurement")
    parser.add_argument("--minutes", type=int, default=30, help="of the soak")
    parser.add_argument("--pause", type=int, default=0, metavar="MS", help="of a client of the soak after an answer")
    parser.add_argument("--dir", help="for the data: on a real disk [default: the place for temporary files]")
    parser.add_argument("--limit", help="another yardstick")
    parser.add_argument("--rig", default=os.path.join(systems.RELEASE, "rig"), help="another binary")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    for name in options.parts or [name for name in PARTS if name not in LONG]:
        with pair(options) as rig:
            PARTS[name](rig, options)


if __name__ == "__main__":
    main()
