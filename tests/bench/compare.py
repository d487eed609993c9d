#!/usr/bin/env python3
"""Rig beside others that write durably on two nodes: throw-away pairs on this machine, loaded in turns.

    cargo build --release --locked --bins --examples
    tests/bench/compare.py --json slices.ndjson      everything: about fifteen minutes
    tests/bench/compare.py --table slices.ndjson     the table of README.md
    tests/bench/compare.py --flushes                 what each system syncs for one operation, by strace
    tests/bench/compare.py rig postgres --clients 1,64 --rounds 1 --seconds 2

A round loads every system for some seconds, one after the other; the next round goes the other way. The next system
begins when the processes of the last one have become idle. A ratio is the median of the ratios within a round.
What each system is and does is in README.md. Every process here is a child of this program, and ends with it.
"""

import argparse
import datetime
import glob
import http.client
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RELEASE = os.path.join(HERE, "../../target/release")
ROOT = os.geteuid() == 0


def out(*command, **more):
    """What a command that must succeed says."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def call(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    assert answer.status == 200, f"{path}: {answer.status} {text}"
    return json.loads(text)


def until(what, condition, seconds=60):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (OSError, AssertionError, subprocess.CalledProcessError):
            pass
        if time.monotonic() > deadline:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.1)


class System:
    """A pair of nodes. `nodes` are the first process of each; they may have children."""

    def __init__(self, options, directory):
        self.options, self.dir, self.nodes = options, directory, []
        os.mkdir(directory)
        if ROOT and self.user:
            shutil.chown(directory, self.user)

    user = None

    def spawn(self, *command, end=signal.SIGTERM, **more):
        if ROOT and self.user:
            more.update(user=self.user, group=self.user, extra_groups=[])
        log = open(os.path.join(self.dir, f"{len(self.nodes)}.log"), "w")
        more = {"stdout": log, "stderr": log, "cwd": self.dir, **more}
        process = subprocess.Popen(command, **more)
        process.end = end
        self.nodes.append(process)
        return process

    def stop(self):
        for process in reversed(self.nodes):
            process.send_signal(process.end)
        for process in reversed(self.nodes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def settle(self):
        """Waits until what a load left to do is done."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(0.2)
            if self.cpu() - before < 0.01:
                return

    def cpu(self):
        return sum(seconds(pid) for node in self.nodes for pid in family(node.pid))

    def wrk(self, port, clients, length, **environment):
        System.runs += 1
        environment = {**os.environ, "RUN": f"r{System.runs:04}", **{name: str(value) for name, value in environment.items()}}
        script = os.path.join(HERE, "load.lua")
        text = out("wrk", "-t1", f"-c{clients}", f"-d{length}s", "--timeout", "10s", "-s", script, f"http://127.0.0.1:{port}/do",
                   env=environment)
        return json.loads(text.splitlines()[-1])

    def own_load(self, protocol, port, clients, length):
        tool = os.path.join(RELEASE, "examples/bench_load")
        return json.loads(out(self.options.load or tool, protocol, f"127.0.0.1:{port}", str(clients), str(length)))

    runs = 0


class Rig(System):
    name, label = "rig", "Rig, `sync`"

    def version(self):
        return out(self.options.rig, "--version").strip()

    def serve(self, name, *flags):
        environment = {**os.environ, "XDG_STATE_HOME": os.path.join(self.dir, "state")}
        directory = os.path.join(self.dir, name)
        out(self.options.rig, "init", directory, env=environment)
        node = self.spawn(self.options.rig, "serve", "-D", directory, "--listen", "127.0.0.1:0", "--json", *flags, env=environment,
                          stdout=subprocess.PIPE, text=True)
        return int(json.loads(node.stdout.readline())["http"].rpartition(":")[2])

    def start(self):
        self.port = self.serve("n1", "--role", "primary", "--replication", "sync")
        self.replica_port = self.serve("n2", "--role", "replica", "--peer", f"http://127.0.0.1:{self.port}")
        until("rig", lambda: len(call(self.port, "GET", "/status")["data"]["replication"]["in_sync"]) == 2)
        call(self.port, "POST", "/do", {"method": "schema_set", "data": {"type": "item", "unique": ["email"]}})

    def load(self, clients, length, **environment):
        return self.wrk(self.port, clients, length, **environment)


class Yardstick(System):
    name, label = "yardstick", "the yardstick"

    def version(self):
        return "tests/bench/limit.rs"

    def start(self):
        tool = self.options.limit or os.path.join(RELEASE, "examples/bench_limit")
        self.port, peer = free_port(), f"127.0.0.1:{free_port()}"
        for command in (["replica", peer, "r.log"], ["primary", f"127.0.0.1:{self.port}", "p.log", peer]):
            self.spawn(tool, *command, stdout=subprocess.PIPE, text=True).stdout.readline()

    load = Rig.load


class Postgres(System):
    name, label, user = "postgres", "PostgreSQL, `synchronous_commit=on`", "postgres"
    bin = max(glob.glob("/usr/lib/postgresql/*/bin"), default="")

    def version(self):
        return out(f"{self.bin}/postgres", "--version").strip()

    def start(self):
        as_user = {"user": self.user, "group": self.user, "extra_groups": []} if ROOT else {}
        first, second = self.dir + "/1", self.dir + "/2"
        self.port, self.as_user = free_port(), as_user
        out(f"{self.bin}/initdb", "-D", first, "-A", "trust", "-U", "postgres", **as_user)
        with open(first + "/postgresql.conf", "a") as conf:
            conf.write(f"""
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
synchronous_commit = on
""")
        self.postgres(first, self.port)
        out(f"{self.bin}/pg_basebackup", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-D", second, "-R", "-c", "fast", **as_user)
        with open(second + "/postgresql.auto.conf", "a") as conf:
            conf.write(f"primary_conninfo = 'host=127.0.0.1 port={self.port} user=postgres application_name=s1'\n")
        self.postgres(second, free_port())
        self.sql("create table item (id bigserial primary key, doc json)")
        self.sql("alter system set synchronous_standby_names = 's1'")
        self.sql("select pg_reload_conf()")
        until("postgres", lambda: "sync" in self.sql("select sync_state from pg_stat_replication").split())
        with open(self.dir + "/insert.sql", "w") as script:
            script.write("insert into item (doc) values (:doc);\n")

    def postgres(self, directory, port):
        self.spawn(f"{self.bin}/postgres", "-D", directory, "-p", str(port), end=signal.SIGINT)
        until("postgres", lambda: out(f"{self.bin}/pg_isready", "-h", "127.0.0.1", "-p", str(port)))

    def sql(self, text):
        return out("psql", "-AtX", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-c", text)

    def load(self, clients, length):
        document = '{"id":"item-000000000","name":"item","pad":"'
        document += "x" * (254 - len(document)) + '"}'
        text = out(f"{self.bin}/pgbench", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-n", "-M", "prepared", "-f", "insert.sql",
                   "-D", f"doc={document}", "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(length), "-l", "--log-prefix=times",
                   "postgres", cwd=self.dir, **self.as_user)
        times = []
        for path in glob.glob(self.dir + "/times.*"):
            with open(path) as lines:
                times += [int(line.split()[2]) for line in lines]
            os.remove(path)
        times.sort()
        failed = re.search(r"failed transactions: (\d+)", text)
        rate = float(re.search(r"^tps = ([\d.]+)", text, re.M)[1])
        return {"ops": len(times), "seconds": len(times) / rate, "p50_us": times[len(times) // 2], "p99_us": times[len(times) * 99 // 100],
                "errors": int(failed[1]) if failed else 0}


class Etcd(System):
    name, label = "etcd", "etcd, 2 members"

    def version(self):
        return out("etcd", "--version").splitlines()[0]

    def start(self):
        names = ["n1", "n2"]
        peers = {name: f"http://127.0.0.1:{free_port()}" for name in names}
        ports = {name: free_port() for name in names}
        for name in names:
            client = f"http://127.0.0.1:{ports[name]}"
            self.spawn("etcd", "--name", name, "--data-dir", f"{self.dir}/{name}", "--listen-peer-urls", peers[name],
                       "--initial-advertise-peer-urls", peers[name], "--listen-client-urls", client, "--advertise-client-urls", client,
                       "--initial-cluster", ",".join(f"{name}={peers[name]}" for name in names), "--quota-backend-bytes", "8000000000",
                       "--logger", "zap", "--log-level", "error")
        until("etcd", lambda: self.find_leader(ports.values()))

    def find_leader(self, ports):
        for port in ports:
            status = call(port, "POST", "/v3/maintenance/status", {})
            if status.get("leader", "0") == status["header"]["member_id"]:
                self.port = port
                return True
        return False

    def load(self, clients, length):
        return self.own_load("etcd", self.port, clients, length)


class Redis(System):
    name, label = "redis", "Redis, AOF `always`, `WAIT 1`"

    def version(self):
        return " ".join(out("redis-server", "--version").split()[:3])

    def start(self):
        self.port = free_port()
        for port, more in ((self.port, []), (free_port(), ["--replicaof", "127.0.0.1", str(self.port)])):
            os.mkdir(f"{self.dir}/{port}")
            self.spawn("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", f"{self.dir}/{port}", "--appendonly", "yes",
                       "--appendfsync", "always", "--save", "", "--auto-aof-rewrite-percentage", "0", "--repl-diskless-sync-delay", "0", *more)
            until("redis", lambda: "PONG" in self.cli("ping"))
        until("redis", lambda: "state=online" in self.cli("info", "replication"))

    def cli(self, *command):
        return out("redis-cli", "-p", str(self.port), *command)

    def load(self, clients, length):
        return self.own_load("redis", self.port, clients, length)


class MariaDb(System):
    name, label, user = "mariadb", "MariaDB semi-sync, `sync_relay_log=1`", "mysql"
    relay = 1

    def version(self):
        return re.search(r"[\d.]+-MariaDB", out("mariadbd", "--version"))[0]

    def start(self):
        as_user = ["--user=mysql"] if ROOT else []
        for number in (1, 2):
            directory, port = f"{self.dir}/{number}", free_port()
            out("mariadb-install-db", "--no-defaults", *as_user, f"--datadir={directory}", "--skip-test-db",
                "--auth-root-authentication-method=normal")
            if number == 1:
                self.port = port
            self.spawn("mariadbd", "--no-defaults", *as_user, f"--datadir={directory}", f"--socket={directory}.sock", f"--port={port}",
                       "--bind-address=127.0.0.1", f"--server-id={number}", "--log-bin=bin", "--binlog-format=ROW", "--sync-binlog=1",
                       "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M", "--innodb-log-file-size=1G",
                       "--max-connections=400", "--thread-cache-size=300", "--relay-log=relay", f"--sync-relay-log={self.relay}",
                       "--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--rpl-semi-sync-master-timeout=600000",
                       f"--rpl-semi-sync-slave-enabled={number - 1}")
            until("mariadb", lambda: self.sql(number, "select 1"))
        self.sql(1, "create user r@'127.0.0.1' identified by 'r'; grant all on *.* to r@'127.0.0.1'; create database b; "
                    "create table b.item (id bigint auto_increment primary key, doc json) engine=innodb")
        self.sql(2, f"change master to master_host='127.0.0.1', master_port={self.port}, master_user='r', master_password='r', "
                    "master_use_gtid=slave_pos; start slave")
        self.sql(1, "set global rpl_semi_sync_master_enabled=1")
        until("mariadb", lambda: "\t1" in self.sql(1, "show status like 'Rpl_semi_sync_master_clients'"))

    def sql(self, node, text):
        return out("mariadb", "--no-defaults", "-uroot", "-N", "-S", f"{self.dir}/{node}.sock", "-e", text)

    def load(self, clients, length):
        text = out("sysbench", f"{HERE}/mariadb.lua", "--db-driver=mysql", "--mysql-host=127.0.0.1", f"--mysql-port={self.port}",
                   "--mysql-user=r", "--mysql-password=r", "--mysql-db=b", f"--threads={clients}", f"--time={length}", "--percentile=99",
                   "--histogram=on", "run")
        times = [(float(time), int(count)) for time, count in re.findall(r"^ *([\d.]+) \|.* (\d+)$", text, re.M)]
        ops = int(re.search(r"transactions: +(\d+)", text)[1])
        return {"ops": ops, "seconds": float(re.search(r"total time: +([\d.]+)s", text)[1]), "p50_us": place(times, 0.5),
                "p99_us": place(times, 0.99), "errors": int(re.search(r"ignored errors: +(\d+)", text)[1])}

    def settle(self):
        until("mariadb", lambda: self.sql(1, "select @@gtid_binlog_pos") == self.sql(2, "select @@gtid_slave_pos"))
        super().settle()


class MariaDbDefaults(MariaDb):
    name, label, relay = "mariadb-defaults", "MariaDB semi-sync, defaults (not durable on both)", 10000


SYSTEMS = [Rig, Yardstick, Postgres, Redis, Etcd, MariaDb, MariaDbDefaults]


def place(histogram, share):
    """The time in microseconds below which this share lies."""
    left = sum(count for _, count in histogram) * share
    for milliseconds, count in histogram:
        left -= count
        if left <= 0:
            return round(milliseconds * 1000)
    return 0


def family(pid):
    """A process and all that came from it."""
    pids = [pid]
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            try:
                with open(path) as children:
                    pids += map(int, children.read().split())
            except OSError:
                pass  # it has ended meanwhile
    return pids


def seconds(pid):
    """What a process has used of the processors."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0


def compare(systems, options, emit):
    for clients in options.clients:
        for system in systems:
            system.load(clients, 1)
            system.settle()
        for number in range(options.rounds):
            for system in systems if number % 2 == 0 else systems[::-1]:
                figures = system.load(clients, options.seconds)
                system.settle()
                emit({"type": "slice", "system": system.name, "clients": clients, "round": number, **figures})


def flushes(systems, options, emit):
    """Syncs for one operation on each node, with one client. strace slows all of it down; the ratio stays."""
    for system in systems:
        for node, process in enumerate(system.nodes, 1):
            pids = [word for pid in family(process.pid) for word in ("-p", str(pid))]
            trace = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync,sync_file_range", *pids],
                                     stderr=subprocess.PIPE, text=True)
            time.sleep(1)
            figures = system.load(1, 3)
            trace.send_signal(signal.SIGINT)
            text = trace.communicate()[1]
            calls = {name: int(count) for count, name in re.findall(r"^ *(\d+) (f\w+|sync\w+)$", text, re.M)}
            emit({"type": "flushes", "system": system.name, "node": node, "ops": figures["ops"], "calls": calls,
                  "per_op": round(sum(calls.values()) / figures["ops"], 2)})
            system.settle()


def machine(systems, options):
    with open("/proc/cpuinfo") as info:
        model = next((line.partition(":")[2].strip() for line in info if line.startswith("model name")), platform.machine())
    return {"type": "machine", "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "processors": os.cpu_count(),
            "model": model, "kernel": platform.release(), "seconds": options.seconds, "rounds": options.rounds,
            "versions": {system.name: system.version() for system in systems}}


def table(path):
    """What was measured, as it stands in README.md."""
    with open(path) as lines:
        lines = [json.loads(line) for line in lines]
    head = next(line for line in lines if line["type"] == "machine")
    slices = [line for line in lines if line["type"] == "slice"]
    rate = {(s["system"], s["clients"], s["round"]): s["ops"] / s["seconds"] for s in slices}
    counts = sorted({s["clients"] for s in slices})
    names = [system for system in SYSTEMS if any(s["system"] == system.name for s in slices)]

    def median(system, clients, value):
        return statistics.median(value(s) for s in slices if s["system"] == system.name and s["clients"] == clients)

    def ratio(system, clients):
        return statistics.median(rate["rig", clients, number] / other for (name, c, number), other in rate.items()
                                 if name == system.name and c == clients)

    def rows(title, cell, systems):
        print(f"| {title} | " + " | ".join(map(str, counts)) + " |\n|---" + "|---" * len(counts) + "|")
        for system in systems:
            print(f"| {system.label} | " + " | ".join(cell(system, clients) for clients in counts) + " |")
        print()

    print(f"{head['date']}, {head['processors']} processors ({head['model']}), Linux {head['kernel']}; "
          f"{head['rounds']} rounds, {head['seconds']} s each.\n{'; '.join(head['versions'].values())}.\n")
    rows("operations/s, clients:", lambda s, c: f"{median(s, c, lambda x: x['ops'] / x['seconds']):,.0f}", names)
    if Rig in names[:-1]:
        rows("Rig is so many times as fast as", lambda s, c: f"{ratio(s, c):.2f}", names[1:])
    rows("p50 / p99, ms", lambda s, c: f"{median(s, c, lambda x: x['p50_us']) / 1000:.2f} / {median(s, c, lambda x: x['p99_us']) / 1000:.2f}", names)
    failed = sum(s["errors"] for s in slices)
    print(f"Operations that failed: {failed}.")


def run(options):
    """Starts what was asked for, measures it, and leaves nothing behind."""
    unknown = set(options.systems) - {system.name for system in SYSTEMS}
    if unknown:
        sys.exit(f"no such system: {', '.join(unknown)}; there are {', '.join(system.name for system in SYSTEMS)}")
    directory = tempfile.mkdtemp(prefix="rig-compare-", dir=options.dir)
    os.chmod(directory, 0o755)
    record = open(options.json, "w") if options.json else None

    def emit(line):
        print(json.dumps(line), file=sys.stderr, flush=True)
        if record:
            print(json.dumps(line), file=record, flush=True)

    systems = []
    try:
        for kind in SYSTEMS:
            if not options.systems or kind.name in options.systems:
                systems.append(kind(options, os.path.join(directory, kind.name)))
                systems[-1].start()
        emit(machine(systems, options))
        (flushes if options.flushes else compare)(systems, options, emit)
    finally:
        for system in reversed(systems):
            system.stop()
        shutil.rmtree(directory)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", help=f"which of them, all if none is named: {', '.join(system.name for system in SYSTEMS)}")
    parser.add_argument("--clients", type=lambda text: [int(word) for word in text.split(",")], default=[1, 8, 64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of one slice")
    parser.add_argument("--json", metavar="FILE", help="keep every slice, one JSON object on each line")
    parser.add_argument("--table", metavar="FILE", help="only print what was kept, in Markdown")
    parser.add_argument("--flushes", action="store_true", help="count the syncs for an operation instead")
    parser.add_argument("--dir", help="where the nodes have their data: a real disk [default: the place for temporary files]")
    parser.add_argument("--rig", default=os.path.join(RELEASE, "rig"), help="another binary")
    parser.add_argument("--load", help="another bench_load")
    parser.add_argument("--limit", help="another bench_limit")
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    if given.table:
        table(given.table)
    else:
        run(given)
