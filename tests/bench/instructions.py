#!/usr/bin/env python3
"""Instructions per operation: two nodes in mode `sync` under callgrind, fixed work, 64 clients.

    tests/bench/instructions.py target/release/rig [operations]

Exact where times are not: the same program gives the same figure within half a percent, on a busy machine too. Callgrind
knows no SHA instructions, so SHA-256 runs in software there and costs fifty times what it costs in life: it is counted apart.
"""

import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import time

CLIENTS = 64
WARM_UP = 2_000
SCHEMA = b'{"method":"schema_set","data":{"type":"item","unique":["email"]}}'


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def post(body, key=None):
    head = f"POST /do HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return (head + (f"Idempotency-Key: {key}\r\n" if key else "") + "\r\n").encode() + body


def create(run, number):
    name = f"{run}-{number:09}"
    data = '"id":"%s","email":"%s@example.org","name":"item","pad":"%s"' % (name, name, "x" * 150)
    return post(('{"method":"item_create","data":{%s}}' % data).encode(), name)


def load(port, run, operations):
    """Sends so many creates over 64 connections, each with one request under way."""
    poll = selectors.DefaultSelector()
    sent = done = 0
    for _ in range(min(CLIENTS, operations)):
        client = socket.create_connection(("127.0.0.1", port))
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(client, selectors.EVENT_READ)
        client.sendall(create(run, sent))
        sent += 1
    while done < operations:
        for ready, _ in poll.select():
            answer = ready.fileobj.recv(1 << 16)
            if not answer.startswith(b"HTTP/1.1 200"):
                sys.exit(f"not done: {answer!r}")
            done += 1
            if sent < operations:
                ready.fileobj.sendall(create(run, sent))
                sent += 1


def answers(port, request, wanted, patience_s=60):
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
                client.sendall(request)
                if wanted in client.recv(1 << 16):
                    return
        except OSError:
            pass
        time.sleep(0.3)
    sys.exit(f"port {port} does not answer {wanted!r}")


def costs(path):
    """Own costs by function of one callgrind file."""
    names, own, function, is_call = {}, {}, None, False

    def name_of(text):
        number, name = re.match(r"\((\d+)\)(?: (.*))?$", text).groups()
        return names.setdefault(number, name)

    for line in open(path, encoding="utf-8"):
        if line.startswith("fn="):
            function = name_of(line[3:].strip())
        elif line.startswith("cfn="):
            name_of(line[4:].strip())
        elif line.startswith("calls="):
            is_call = True
        elif line[:1] in "0123456789+-*" and len(line.split()) > 1:
            if not is_call:
                own[function] = own.get(function, 0) + int(line.split()[1])
            is_call = False
    return own


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    rig, operations = os.path.abspath(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    with tempfile.TemporaryDirectory(prefix="rig-instructions-") as home:
        env = dict(os.environ, HOME=home, XDG_STATE_HOME=home)
        nodes, ports = [], [free_port(), free_port()]
        url = f"http://127.0.0.1:{ports[0]}"
        ways = [["--replication", "sync"], ["--role", "replica", "--peer", url]]
        try:
            for name, port, way in zip(("primary", "replica"), ports, ways):
                subprocess.run([rig, "init", f"{home}/{name}", "-q"], env=env, check=True, stdout=subprocess.DEVNULL)
                command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={home}/{name}.out", rig, "serve"]
                command += ["-D", f"{home}/{name}", "--listen", f"127.0.0.1:{port}", *way]
                nodes.append(subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
                answers(port, b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", b"200 OK")
            answers(ports[0], post(SCHEMA), b"200 OK")
            pids = [str(node.pid) for node in nodes]
            control = lambda what: subprocess.run(["callgrind_control", what, *pids], check=True, capture_output=True)
            load(ports[0], "warm", WARM_UP)
            control("-z")
            load(ports[0], "run", operations)
            time.sleep(1)
            control("-d")
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                node.wait()
        for name in ("primary", "replica"):
            own = costs(f"{home}/{name}.out.1")
            sha = sum(cost for function, cost in own.items() if "sha2::" in (function or "") and "compress" in function)
            rest = (sum(own.values()) - sha) / operations
            print(f"{name}: {rest:,.0f} instructions per operation, and {sha / operations:,.0f} of SHA-256 in software")


if __name__ == "__main__":
    main()
