"""The systems that compare.py and more.py measure: throw-away pairs of nodes on this machine, and the load for each.

Every process here is a child of the program that starts it, and ends with it. README.md says what each system does.
"""

import collections
import glob
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
RELEASE = os.path.join(HERE, "../../target/release")
LOCAL = "127.0.0.1"


def out(*command, **more):
    """What a command that must succeed says."""
    done = subprocess.run(command, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port():
    with socket.socket() as probe:
        probe.bind((LOCAL, 0))
        return probe.getsockname()[1]


def ask(port, method, path, body=None):
    """The text that a node answers to one request."""
    connection = http.client.HTTPConnection(LOCAL, port, timeout=10)
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read().decode()
    if answer.status != 200:
        raise RuntimeError(f"{path}: {answer.status} {text}")
    return text


def call(*what):
    """The JSON that a node answers to one request."""
    return json.loads(ask(*what))


def is_there(port, path):
    try:
        return bool(call(port, "GET", path))
    except RuntimeError:
        return False


def until(what, condition, seconds=60):
    deadline, last = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (OSError, RuntimeError) as error:
            last = error
        time.sleep(0.1)
    sys.exit(f"{what} is not there within {seconds} s: {last}")


def end_in_order():
    """SIGTERM too stops what was started, and removes it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


class System:
    """A pair of nodes. `nodes` are the first process of each; they may have children."""

    user = None  # who runs it when we are root
    runs = 0

    def __init__(self, options, directory):
        self.options, self.dir, self.nodes = options, directory, []
        os.mkdir(directory)
        # PostgreSQL and MariaDB do not run as root.
        self.owner = []
        self.as_user = {}
        if self.user and os.geteuid() == 0:
            shutil.chown(directory, self.user)
            self.owner = [f"--user={self.user}"]
            self.as_user = {"user": self.user, "group": self.user, "extra_groups": []}

    def spawn(self, *command, end=signal.SIGTERM, **more):
        log = open(os.path.join(self.dir, f"{len(self.nodes)}.log"), "w")
        process = subprocess.Popen(command, **{"stdout": log, "stderr": log, "cwd": self.dir, **self.as_user, **more})
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
        """Waits until what a load left to do is done: its processes have become idle, and files are written back."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            before = self.cpu()
            time.sleep(0.2)
            if self.cpu() - before < 0.01:
                break
        os.sync()

    def cpu(self):
        return sum(seconds_of(pid) for node in self.nodes for pid in family(node.pid))

    def wrk(self, port, clients, length, **settings):
        """Loads by HTTP; the settings are those of load.lua."""
        System.runs += 1
        settings = {name: str(value) for name, value in settings.items()}
        environment = {**os.environ, "RUN": f"r{System.runs:04}", **settings}
        flags = ["-t1", f"-c{clients}", f"-d{length}s", "--timeout", "10s", "-s", os.path.join(HERE, "load.lua")]
        text = out("wrk", *flags, f"http://{LOCAL}:{port}/do", env=environment)
        return json.loads(text.splitlines()[-1])

    def bench_load(self, clients, length):
        tool = self.options.load or os.path.join(RELEASE, "examples/bench_load")
        figures = json.loads(out(tool, self.name, f"{LOCAL}:{self.port}", str(clients), str(length)))
        histogram, expected = figures.pop("histogram_us"), clients * figures["seconds"] / max(figures["ops"], 1)
        return {**figures, **percentiles(histogram, expected)}


class Rig(System):
    name, label = "rig", "Rig, `sync`"

    def version(self):
        return out(self.options.rig, "--version").strip()

    def start(self):
        self.port = self.serve("n1", "--role", "primary", "--replication", "sync")
        self.replica_port = self.serve("n2", "--role", "replica", "--peer", f"http://{LOCAL}:{self.port}")
        until("the replica", lambda: len(self.status()["replication"]["in_sync"]) == 2)
        call(self.port, "POST", "/do", {"method": "schema_set", "data": {"type": "item", "unique": ["email"]}})

    def serve(self, name, *flags):
        environment = {**os.environ, "XDG_STATE_HOME": os.path.join(self.dir, "state")}
        directory = os.path.join(self.dir, name)
        out(self.options.rig, "init", directory, env=environment)
        command = [self.options.rig, "serve", "-D", directory, "--listen", f"{LOCAL}:0", "--json", *flags]
        node = self.spawn(*command, env=environment, stdout=subprocess.PIPE, text=True)
        return int(json.loads(node.stdout.readline())["http"].rpartition(":")[2])

    def status(self):
        return call(self.port, "GET", "/status")["data"]

    def load(self, clients, length, **settings):
        return self.wrk(self.port, clients, length, **settings)


class Yardstick(System):
    name, label = "yardstick", "the yardstick"

    def version(self):
        return None

    def start(self):
        tool = self.options.limit or os.path.join(RELEASE, "examples/bench_limit")
        self.port, replica = free_port(), f"{LOCAL}:{free_port()}"
        for command in (["replica", replica, "r.log"], ["primary", f"{LOCAL}:{self.port}", "p.log", replica]):
            # It says that it is ready.
            self.spawn(tool, *command, stdout=subprocess.PIPE, text=True).stdout.readline()

    load = Rig.load


class Postgres(System):
    name, label, user = "postgres", "PostgreSQL, `synchronous_commit = on`", "postgres"
    bin = max(glob.glob("/usr/lib/postgresql/*/bin"), default="")
    conf = f"""
listen_addresses = '{LOCAL}'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 512MB
max_wal_size = 8GB
checkpoint_timeout = 1h
autovacuum = off
synchronous_commit = on
"""

    def version(self):
        return "PostgreSQL " + re.search(r"\) ([\d.]+)", out(f"{self.bin}/postgres", "--version"))[1]

    def start(self):
        first, second, self.port = self.dir + "/1", self.dir + "/2", free_port()
        self.command("initdb", "-D", first, "-A", "trust", "-U", "postgres")
        with open(first + "/postgresql.conf", "a") as conf:
            conf.write(self.conf)
        self.serve(first, self.port)
        self.command("pg_basebackup", *self.at(self.port), "-D", second, "-R", "-c", "fast")
        with open(second + "/postgresql.auto.conf", "a") as conf:
            where = f"host={LOCAL} port={self.port} user=postgres application_name=s1"
            conf.write(f"primary_conninfo = '{where}'\n")
        self.serve(second, free_port())
        self.sql("create table item (id bigserial primary key, doc json)")
        self.sql("alter system set synchronous_standby_names = 's1'")
        self.sql("select pg_reload_conf()")
        until("the standby", lambda: "sync" in self.sql("select sync_state from pg_stat_replication").split())
        with open(self.dir + "/insert.sql", "w") as script:
            script.write("insert into item (doc) values (:doc);\n")

    def serve(self, directory, port):
        self.spawn(f"{self.bin}/postgres", "-D", directory, "-p", str(port), end=signal.SIGINT)
        until("postgres", lambda: self.command("pg_isready", *self.at(port)))

    def command(self, name, *arguments):
        return out(f"{self.bin}/{name}", *arguments, cwd=self.dir, **self.as_user)

    def at(self, port):
        return ["-h", LOCAL, "-p", str(port), "-U", "postgres"]

    def sql(self, text):
        return self.command("psql", *self.at(self.port), "-AtX", "-c", text)

    def load(self, clients, length):
        document = '{"id":"item-000000000","name":"item","pad":"'
        document += "x" * (254 - len(document)) + '"}'
        what = ["-n", "-M", "prepared", "-f", "insert.sql", "-D", f"doc={document}"]
        # Its time begins before it is connected, and so many processes take a second to start; its rate does not.
        length += clients // 100
        much = ["-c", str(clients), "-j", str(min(clients, 2)), "-T", str(length), "-l", "--log-prefix=times"]
        text = self.command("pgbench", *self.at(self.port), *what, *much, "postgres")
        times = []
        for path in glob.glob(self.dir + "/times.*"):
            with open(path) as lines:
                times += [int(line.split()[2]) for line in lines]
            os.remove(path)
        rate = float(re.search(r"^tps = ([\d.]+)", text, re.M)[1])
        failed = re.search(r"failed transactions: (\d+)", text)
        histogram = collections.Counter(times).items()
        return {"ops": len(times), "seconds": len(times) / rate, **percentiles(histogram, clients / rate),
                "errors": int(failed[1]) if failed else 0}


class Etcd(System):
    name, label = "etcd", "etcd, 2 members"

    def version(self):
        return out("etcd", "--version").splitlines()[0].replace(" Version:", "")

    def start(self):
        peers = {name: f"http://{LOCAL}:{free_port()}" for name in ("n1", "n2")}
        ports = {name: free_port() for name in peers}
        cluster = ",".join(f"{name}={url}" for name, url in peers.items())
        for name, peer in peers.items():
            client = f"http://{LOCAL}:{ports[name]}"
            self.spawn("etcd", "--name", name, "--data-dir", f"{self.dir}/{name}", "--initial-cluster", cluster,
                       "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                       "--listen-client-urls", client, "--advertise-client-urls", client,
                       "--quota-backend-bytes", "8000000000", "--logger", "zap", "--log-level", "error")
        until("a leader", lambda: self.find_leader(ports.values()))

    def find_leader(self, ports):
        for port in ports:
            status = call(port, "POST", "/v3/maintenance/status", {})
            if status.get("leader", "0") == status["header"]["member_id"]:
                self.port = port
                return True
        return False

    load = System.bench_load


class Redis(System):
    name, label = "redis", "Redis, AOF `always`, `WAIT 1`"

    def version(self):
        return "Redis " + re.search(r"v=([\d.]+)", out("redis-server", "--version"))[1]

    def start(self):
        self.port = free_port()
        for port, more in ((self.port, []), (free_port(), ["--replicaof", LOCAL, str(self.port)])):
            os.mkdir(f"{self.dir}/{port}")
            self.spawn("redis-server", "--port", str(port), "--bind", LOCAL, "--dir", f"{self.dir}/{port}",
                       "--appendonly", "yes", "--appendfsync", "always", "--auto-aof-rewrite-percentage", "0",
                       "--save", "", "--repl-diskless-sync-delay", "0", *more)
            until("redis", lambda: "PONG" in self.cli("ping"))
        until("the replica", lambda: "state=online" in self.cli("info", "replication"))

    def cli(self, *command):
        return out("redis-cli", "-p", str(self.port), *command)

    load = System.bench_load


class MariaDb(System):
    name, label, user = "mariadb", "MariaDB semi-sync, `sync_relay_log = 1`", "mysql"
    relay = 1

    def version(self):
        return "MariaDB " + re.search(r"([\d.]+)-MariaDB", out("mariadbd", "--version"))[1]

    def start(self):
        ports = {1: free_port(), 2: free_port()}
        self.port = ports[1]
        for number, port in ports.items():
            directory = f"{self.dir}/{number}"
            out("mariadb-install-db", "--no-defaults", *self.owner, f"--datadir={directory}", "--skip-test-db",
                "--auth-root-authentication-method=normal")
            self.spawn("mariadbd", "--no-defaults", f"--datadir={directory}", f"--socket={directory}.sock",
                       f"--port={port}", f"--bind-address={LOCAL}", f"--server-id={number}",
                       "--log-bin=bin", "--binlog-format=ROW", "--sync-binlog=1", "--relay-log=relay",
                       "--innodb-flush-log-at-trx-commit=1", "--innodb-buffer-pool-size=512M",
                       "--innodb-log-file-size=1G", "--max-connections=400", "--thread-cache-size=300",
                       "--rpl-semi-sync-master-wait-point=AFTER_SYNC", "--rpl-semi-sync-master-timeout=600000",
                       f"--rpl-semi-sync-slave-enabled={number - 1}", f"--sync-relay-log={self.relay}")
            until("mariadb", lambda: self.sql(number, "select 1"))
        self.sql(1, "create user r@'127.0.0.1' identified by 'r'; grant all on *.* to r@'127.0.0.1'; "
                    "create database b; "
                    "create table b.item (id bigint auto_increment primary key, doc json) engine=innodb")
        self.sql(2, f"change master to master_host='{LOCAL}', master_port={self.port}, master_user='r', "
                    "master_password='r', master_use_gtid=slave_pos; start slave")
        self.sql(1, "set global rpl_semi_sync_master_enabled=1")
        until("the replica", lambda: "\t1" in self.sql(1, "show status like 'Rpl_semi_sync_master_clients'"))

    def sql(self, node, text):
        return out("mariadb", "--no-defaults", "-uroot", "-N", "-S", f"{self.dir}/{node}.sock", "-e", text)

    def load(self, clients, length):
        where = [f"--mysql-host={LOCAL}", f"--mysql-port={self.port}", "--mysql-user=r", "--mysql-password=r"]
        much = [f"--threads={clients}", f"--time={length}", "--percentile=99", "--histogram=on"]
        text = out("sysbench", f"{HERE}/mariadb.lua", "--db-driver=mysql", *where, "--mysql-db=b", *much, "run")
        histogram = re.findall(r"^ *([\d.]+) \|.* (\d+)$", text, re.M)
        times = [(round(float(milliseconds) * 1000), int(count)) for milliseconds, count in histogram]
        ops, seconds = int(re.search(r"transactions: +(\d+)", text)[1]), float(re.search(r"total time: +([\d.]+)s", text)[1])
        return {"ops": ops, "seconds": seconds, **percentiles(times, clients * seconds / ops), "errors": int(re.search(r"ignored errors: +(\d+)", text)[1])}

    def settle(self):
        until("the replica", lambda: self.sql(1, "select @@gtid_binlog_pos") == self.sql(2, "select @@gtid_slave_pos"))
        super().settle()


class MariaDbDefaults(MariaDb):
    name, label, relay = "mariadb-defaults", "MariaDB semi-sync, defaults (**not** durable on both)", 10000


ALL = [Rig, Yardstick, Postgres, Redis, Etcd, MariaDb, MariaDbDefaults]


def percentiles(histogram, expected):
    """Of times in microseconds, and how often each was seen. As `wrk` does it, and for everybody alike: a time of more than twice
    what is expected, in seconds, stands for the requests too that could not be sent meanwhile."""
    counts, expected = collections.Counter(), round(expected * 1e6)
    for time, count in histogram:
        counts[time] += count
        if time >= 2 * expected:
            for missed in range(time - expected, expected, -expected):
                counts[missed] += count
    return {"p50_us": below(counts, 0.5), "p99_us": below(counts, 0.99)}


def below(counts, share):
    """The time below which this share lies."""
    left = sum(counts.values()) * share
    for time in sorted(counts):
        left -= counts[time]
        if left <= 0:
            return time
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


def seconds_of(pid):
    """What a process has used of the processors."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0
