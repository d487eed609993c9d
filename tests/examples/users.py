"""Users and their goals in SQLite, as a service of Rig. V1, A2 and so on are the rules of rig-service-protocol(7).

    python3 users.py --port 9000 --dir users-db              (port 0 picks one; the address is printed)
    rig serve --service http://127.0.0.1:9000 --proxy

Rig asks `validate` whether an operation may be logged, and hands to `apply` what is. Both ask `judge`, so they do
not disagree. Reads do not pass through the log: GET /users/ID, /users/ID/goals, /users?email=ADDRESS."""
import argparse, contextlib, http.server, json, pathlib, re, sqlite3, urllib.parse, uuid

SCHEMA = """PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, name TEXT, email TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS goals (id TEXT PRIMARY KEY, user TEXT REFERENCES users ON DELETE CASCADE, title TEXT);
CREATE INDEX IF NOT EXISTS goals_user ON goals (user);
CREATE TABLE IF NOT EXISTS applied AS SELECT 0 AS version, NULL AS hash;"""
SAVE = "INSERT INTO {0}s VALUES (:id, :{1}, :{2}) ON CONFLICT (id) DO UPDATE SET {1} = :{1}, {2} = :{2}"
FIELDS = {"user": ("id", "name", "email"), "goal": ("id", "user", "title")}
METHODS = [f"{kind}_{verb}" for kind in FIELDS for verb in ("create", "update", "delete")]
ID, TEXT = "[A-Za-z0-9_-]{1,64}", r"[^\x00-\x1f\ud800-\udfff]{1,200}"
EXAMPLES = json.loads(pathlib.Path(__file__).with_name("users.json").read_text())
FORMS = {"id": ID, "user": ID, "name": TEXT, "title": TEXT, "email": r"(?=[^@ ]+@[^@ ]+\Z)" + TEXT}

class Problem(Exception): pass
def refuse(when, status, code, detail, **more):
    if when: raise Problem({"status": status, "code": code, "detail": detail, **more})

def find(db, kind, field="1", value=1):
    rows = db.execute(f"SELECT * FROM {kind}s WHERE {field} = ? ORDER BY id", (value,))
    return [dict(zip(FIELDS[kind], row)) for row in rows]

def judge(db, method, data):
    """What the document becomes, and the names of all that this depends on (V3). Changes nothing (V1)."""
    refuse(method not in METHODS, 422, "unknown_method", f"{method} is not a method of this service")
    kind, verb = method.split("_")
    fields = FIELDS[kind][:1] if verb == "delete" else FIELDS[kind]
    data = {field: data[field] for field in fields if field in data} if isinstance(data, dict) else {}
    for field in fields if verb == "create" else {"id": None, **data}:
        right = isinstance(data.get(field), str) and re.fullmatch(FORMS[field], data[field])
        refuse(not right, 422, "invalid", f"{field} is missing, or not what it should be")
    name, old = f"{kind}/{data['id']}", find(db, kind, "id", data["id"])
    refuse(old and verb == "create", 409, "exists", f"there is a {name}")
    refuse(not old and verb != "create", 404, "not_found", f"there is no {name}")
    new, resources = dict(*old, **data), [name]
    if "email" in data:
        resources.append(f"email/{new['email']}")
        for other in find(db, "user", "email", new["email"]):
            refuse(other["id"] != new["id"], 409, "unique", f"{new['email']} is the email of user/{other['id']}")
    for user in sorted({new["user"], *(goal["user"] for goal in old)}) if kind == "goal" else ():
        refuse(not find(db, "user", "id", user), 404, "not_found", f"there is no user/{user}")
        resources.append({"name": f"user/{user}", "shared": True})  # it must stay: user_delete wants this name alone
    return kind, verb, new, resources

def validate(db, method, data, **_):
    if method.endswith("_create") and isinstance(data, dict):
        data = {"id": str(uuid.uuid4()), **data}  # V2: chosen here, so that it is the same everywhere
    try:
        return {"ok": True, "data": data, "resources": judge(db, method, data)[-1]}
    except Problem as problem:
        return {"ok": False, "problem": problem.args[0]}

def do(db, method, data):  # it is decided: what cannot be done now is a result (A5)
    try:
        kind, verb, new, _ = judge(db, method, data)
    except Problem as problem:
        return {"error": problem.args[0]}
    db.execute(f"DELETE FROM {kind}s WHERE id = :id" if verb == "delete" else SAVE.format(kind, *FIELDS[kind][1:]), new)
    return {"id": new["id"]}

def apply(db, ops, before):
    results = [{"version": op["version"], "duplicate": True} for op in ops if op["version"] <= before]
    for version, op in enumerate(ops[len(results):], before + 1):  # behind a gap nothing of this call stays
        refuse(op["version"] != version, 409, "gap", f"version {before + 1} is next", applied_version=before)
        result = None if op["method"].startswith("rig_") else do(db, op["method"], op["data"])
        results.append({"version": version, "result": result})
    last = max(before, ops[-1]["version"])  # A2: in the same transaction
    db.execute("UPDATE applied SET version = ?, hash = ? WHERE version < ?", (last, ops[-1].get("hash"), last))
    return {"applied_version": last, "results": results}

def snapshot(db):
    line = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return "".join(line(doc) + "\n" for kind in FIELDS for doc in find(db, kind)).encode()

def restore(db, body, version):
    db.execute("DELETE FROM users")  # and so the goals
    for doc in map(json.loads, body.decode().split("\n")[:-1]):
        do(db, "user_create" if "email" in doc else "goal_create", doc)
    refuse(snapshot(db) != body, 422, "invalid", "this is not a snapshot of users and goals")
    db.execute("UPDATE applied SET version = ?, hash = NULL", (version,))
    return {"applied_version": version}

def read(db, request):
    path = re.fullmatch(rf"GET /users(?:/({ID})(/goals)?|\?email=(.+))", request)
    if path and path[3]:
        return {"items": find(db, "user", "email", urllib.parse.unquote(path[3]))}
    user = path and find(db, "user", "id", path[1])
    refuse(not user, 404, "not_found", f"there is nothing at {request}")
    return {"items": find(db, "goal", "user", path[1])} if path[2] else user[0]

class Service(http.server.BaseHTTPRequestHandler):
    protocol_version, disable_nagle_algorithm, log_message = "HTTP/1.1", True, lambda *_: None

    def handle(self):  # all requests of one connection
        with contextlib.closing(sqlite3.connect(options.dir / "users.db", timeout=30, isolation_level=None)) as self.db:
            self.db.executescript("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON")
            super().handle()

    def call(self, request, body, applied, digest):
        known = {"name": "users", "applied_version": applied, **({"applied_hash": digest} if digest else {})}
        return {
            "POST /rig/v1/info": lambda: {"protocol": 1, **known, "methods": METHODS, "examples": EXAMPLES},
            "POST /rig/v1/validate": lambda: {"results": [validate(self.db, **op) for op in json.loads(body)["ops"]]},
            "POST /rig/v1/apply": lambda: apply(self.db, json.loads(body)["ops"], applied),
            "GET /rig/v1/snapshot": lambda: snapshot(self.db),
            "PUT /rig/v1/snapshot": lambda: restore(self.db, body, int(self.headers["Rig-Version"])),
            "GET /rig/v1/health": dict,
        }.get(request, lambda: read(self.db, request))()

    def answer(self):
        try:
            body = self.rfile.read(length := 0 if self.command == "GET" else int(self.headers["Content-Length"]))
            refuse(len(body) < length, 400, "bad_request", "the body is cut short")
            with self.db:  # one transaction, of which nothing stays if anything goes wrong
                self.db.execute("BEGIN IMMEDIATE" if self.command == "PUT" or self.path == "/rig/v1/apply" else "BEGIN")
                applied, digest = self.db.execute("SELECT version, hash FROM applied").fetchone()
                status, answer = 200, self.call(f"{self.command} {self.path}", body, applied, digest)
        except Problem as problem:
            status, answer = problem.args[0]["status"], problem.args[0]
        except Exception as error:
            status, answer = 500, {"status": 500, "code": "internal", "detail": repr(error)}
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if status == 200 else "application/problem+json")
        self.send_header("Content-Length", str(len(body)))
        if status == 500:
            self.send_header("Connection", "close")
        if isinstance(answer, bytes):
            self.send_header("Rig-Version", str(applied))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = do_PUT = answer

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, default=9000)
parser.add_argument("--dir", type=pathlib.Path, default="users-db")
options = parser.parse_args()
options.dir.mkdir(parents=True, exist_ok=True)
sqlite3.connect(options.dir / "users.db").executescript(SCHEMA)
server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Service)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
