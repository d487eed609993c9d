"""A service on a pipe that counts, and misbehaves as its first argument says."""
import json, os, random, sys, time

MODE = sys.argv[1]
DIR = os.environ["RIG_SERVICE_DIR"]
STATE = os.path.join(DIR, "count.json")


def load():
    try:
        with open(STATE) as file:
            return json.load(file)
    except FileNotFoundError:
        return {"applied": 0, "total": 0}


def store(state):
    with open(STATE + ".new", "w") as file:
        json.dump(state, file)
    os.replace(STATE + ".new", STATE)


def validate(params):
    if MODE == "mute":
        time.sleep(3600)
    if MODE == "eager":
        state = load()
        store({"applied": state["applied"], "total": state["total"] + 1})
    results = []
    for op in params["ops"]:
        if op["method"] != "count_add" or not isinstance(op["data"].get("n"), int):
            problem = {"status": 418, "code": "teapot", "detail": "I count, and nothing else", "spout": {"length": 3}}
            results.append({"ok": False, "problem": problem})
        else:
            results.append({"ok": True, "resources": [f"count/{op['data'].get('id', 0)}"]})
    return {"results": results}


def apply(params):
    if MODE == "hang" and params["ops"][-1]["method"] == "count_add":
        time.sleep(3600)
    state, results = load(), []
    for op in params["ops"]:
        if op["version"] <= state["applied"] and MODE != "again":
            results.append({"version": op["version"], "duplicate": True})
            continue
        if op["version"] > state["applied"] + 1 and MODE != "leaps":
            raise Gap(state["applied"])
        state["applied"] = op["version"]
        if op["method"].startswith("rig_"):
            results.append({"version": op["version"], "result": None})
            continue
        state["total"] += op["data"]["n"] * (2 if MODE == "twice" else 1)
        result = {"total": state["total"]}
        if MODE == "differs" and random.random() < 0.5:
            result["luck"] = random.random()
        if MODE != "skips" or op["version"] % 3:
            results.append({"version": op["version"], "result": result})
    store(state)
    return {"applied_version": state["applied"], "results": results}


def state_file(call, params):
    if call == "snapshot":
        state = load()
        with open(params["path"], "w") as file:
            json.dump(state, file)
        return {"version": state["applied"]}
    with open(params["path"]) as file:
        text = file.read()
    store(json.loads(text) if text else {"applied": 0, "total": 0})
    return {"applied_version": params["version"]}


class Gap(Exception):
    pass


def answer(call, params):
    if call == "info":
        applied = 1_000_000 if MODE == "ahead" else load()["applied"]
        return {"protocol": 1, "name": "count", "applied_version": applied, "max_batch": 64}
    if call == "validate":
        return validate(params)
    if call == "apply":
        return apply(params)
    if call in ("snapshot", "restore"):
        return state_file(call, params)
    return {}


def main():
    with open(os.path.join(DIR, "pid"), "w") as file:
        file.write(str(os.getpid()))
    if MODE == "exits":
        sys.exit("count: no counter here")
    if MODE == "garbage":
        print("Starting up, please wait...", flush=True)
    while MODE == "flood":
        sys.stdout.write("x" * 65536)
    for line in sys.stdin:
        call = json.loads(line)
        try:
            said = {"id": call["id"], "result": answer(call["call"], call["params"])}
        except Gap as gap:
            said = {"id": call["id"], "error": {"status": 409, "code": "gap", "applied_version": gap.args[0]}}
        print(json.dumps(said), flush=True)


main()
