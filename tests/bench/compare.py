#!/usr/bin/env python3
"""Rig beside others that write durably on two nodes: throw-away pairs on this machine, loaded in turns.

    cargo build --release --locked --bins --examples
    tests/bench/compare.py --json slices.ndjson      everything
    tests/bench/compare.py --table slices.ndjson     the table of README.md
    tests/bench/compare.py --flushes                 what each system syncs for one operation, by strace
    tests/bench/compare.py rig postgres --clients 1,64 --rounds 1 --seconds 2

A round loads every system for some seconds, one after the other; the next round goes the other way. The next system
begins when the processes of the last one have become idle. A ratio is the median of the ratios within a round.
"""

import argparse
import datetime
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import systems


def compare(pairs, options, emit):
    for clients in options.clients:
        for pair in pairs:
            pair.load(clients, 1)
            pair.settle()
        for number in range(options.rounds):
            for pair in pairs if number % 2 == 0 else pairs[::-1]:
                figures = pair.load(clients, options.seconds)
                pair.settle()
                emit({"type": "slice", "system": pair.name, "clients": clients, "round": number, **figures})


def flushes(pairs, options, emit):
    """Syncs for one operation on each node, with one client. strace slows all of it down; the ratio stays."""
    for pair in pairs:
        for node, process in enumerate(pair.nodes, 1):
            pids = [word for pid in systems.family(process.pid) for word in ("-p", str(pid))]
            count = ["strace", "-f", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync,sync_file_range"]
            trace = subprocess.Popen([*count, *pids], stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            figures = pair.load(1, options.seconds)
            trace.send_signal(signal.SIGINT)
            counted = re.findall(r"^ *(\d+) (f\w+|sync\w+)$", trace.communicate()[1], re.M)
            calls = {name: int(count) for count, name in counted}
            per_op = round(sum(calls.values()) / figures["ops"], 2)
            line = {"ops": figures["ops"], "calls": calls, "per_op": per_op}
            emit({"type": "flushes", "system": pair.name, "node": node, **line})
            pair.settle()


def machine(pairs, options):
    with open("/proc/cpuinfo") as info:
        models = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return {"type": "machine", "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
            "processors": os.cpu_count(), "model": (models or [platform.machine()])[0], "kernel": platform.release(),
            "seconds": options.seconds, "rounds": options.rounds,
            "versions": list(dict.fromkeys(version for pair in pairs if (version := pair.version())))}


def table(path):
    """What was measured, as it stands in README.md."""
    with open(path) as lines:
        lines = [json.loads(line) for line in lines]
    head = next(line for line in lines if line["type"] == "machine")
    slices = [line for line in lines if line["type"] == "slice"]
    counts = sorted({line["clients"] for line in slices})
    shown = [system for system in systems.ALL if any(line["system"] == system.name for line in slices)]
    rate = {(line["system"], line["clients"], line["round"]): line["ops"] / line["seconds"] for line in slices}

    def of(system, clients):
        return [line for line in slices if (line["system"], line["clients"]) == (system.name, clients)]

    def ops(system, clients):
        return f"{statistics.median(line['ops'] / line['seconds'] for line in of(system, clients)):,.0f}"

    def ratio(system, clients):
        rounds = [line["round"] for line in of(system, clients)]
        ratios = [rate["rig", clients, number] / rate[system.name, clients, number] for number in rounds]
        return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"

    def times(system, clients):
        both = (statistics.median(line[name] for line in of(system, clients)) / 1000 for name in ("p50_us", "p99_us"))
        return " / ".join(f"{milliseconds:.2f}" for milliseconds in both)

    def rows(title, cell, which):
        print(f"\n| {title} | " + " | ".join(map(str, counts)) + " |\n|---" + "|---" * len(counts) + "|")
        for system in which:
            print(f"| {system.label} | " + " | ".join(cell(system, clients) for clients in counts) + " |")

    print(f"{head['date']}, {head['processors']} processors ({head['model']}), Linux {head['kernel']};")
    print(f"{head['rounds']} rounds, {head['seconds']} s each. {', '.join(head['versions'])}.")
    rows("operations/s with so many clients", ops, shown)
    if systems.Rig in shown[:-1]:
        rows("operations/s of Rig ÷ those of", ratio, [system for system in shown if system is not systems.Rig])
    rows("p50 / p99 in ms", times, shown)
    print(f"\nOperations that failed: {sum(line['errors'] for line in slices)}.")


def run(options):
    """Starts what was asked for, measures it, and leaves nothing behind."""
    directory = tempfile.mkdtemp(prefix="rig-compare-", dir=options.dir)
    os.chmod(directory, 0o755)
    record = open(options.json, "w") if options.json else None

    def emit(line):
        print(json.dumps(line), file=sys.stderr, flush=True)
        if record:
            print(json.dumps(line), file=record, flush=True)

    pairs = []
    try:
        for system in systems.ALL:
            if not options.systems or system.name in options.systems:
                pairs.append(system(options, os.path.join(directory, system.name)))
                pairs[-1].start()
        emit(machine(pairs, options))
        (flushes if options.flushes else compare)(pairs, options, emit)
    finally:
        for pair in reversed(pairs):
            pair.stop()
        shutil.rmtree(directory)


def main():
    systems.end_in_order()
    names = [system.name for system in systems.ALL]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", help=f"which of them, all if none is named: {', '.join(names)}")
    parser.add_argument("--clients", default="1,8,64,256", help="one comparison after the other")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of one slice")
    parser.add_argument("--json", metavar="FILE", help="keep every slice, one JSON object on each line")
    parser.add_argument("--table", metavar="FILE", help="only print what was kept, in Markdown")
    parser.add_argument("--flushes", action="store_true", help="count the syncs for an operation instead")
    parser.add_argument("--dir", help="for the data: on a real disk [default: the place for temporary files]")
    parser.add_argument("--rig", default=os.path.join(systems.RELEASE, "rig"), help="another binary")
    parser.add_argument("--load", help="another bench_load")
    parser.add_argument("--limit", help="another bench_limit")
    options = parser.parse_args()
    options.clients = [int(word) for word in options.clients.split(",")]
    if unknown := set(options.systems) - set(names):
        parser.error(f"no such system: {', '.join(unknown)}")
    if options.table:
        table(options.table)
    else:
        run(options)


if __name__ == "__main__":
    main()
