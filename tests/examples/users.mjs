// Users and their goals in memory, as a service of Rig. V1, A2 and so on are the rules of rig-service-protocol(7).
//
//     USERS_PORT=9001 rig serve --service 'exec:node users.mjs' --proxy http://127.0.0.1:9001
//
// Nothing is kept on the disk: it starts at version 0, and Rig sends the log again (A2). Rig asks `validate` whether
// an operation may be logged, and hands to `apply` what is. Both ask `judge`, so they do not disagree. Reads do not
// pass through the log: GET /users/ID, /users/ID/goals, /users?email=ADDRESS on 127.0.0.1 at USERS_PORT or --port.
import { randomUUID } from "node:crypto";
import { promises as files, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { unescape } from "node:querystring";
import { parseArgs } from "node:util";

const FIELDS = { user: ["id", "name", "email"], goal: ["id", "user", "title"] };
const METHODS = Object.keys(FIELDS).flatMap((kind) => ["create", "update", "delete"].map((verb) => `${kind}_${verb}`));
const ID = /^[A-Za-z0-9_-]{1,64}$/, TEXT = /^[^\x00-\x1f\ud800-\udfff]{1,200}$/u;
const EMAIL = new RegExp(`(?=^[^@ ]+@[^@ ]+$)${TEXT.source}`, "u");
const FORMS = { id: ID, user: ID, name: TEXT, title: TEXT, email: EMAIL };
const EXAMPLES = JSON.parse(readFileSync(new URL("users.json", import.meta.url), "utf8"));

const nothing = () => ({ version: 0, hash: undefined, user: new Map(), goal: new Map(), idOf: new Map() }); // by email
let state = nothing();

const problem = (status, code, detail, more) => ({ problem: { status, code, detail, ...more } });
const isObject = (data) => data !== null && typeof data === "object" && !Array.isArray(data);
const sorted = (docs) => [...docs].sort((one, other) => (one.id < other.id ? -1 : 1));

// What the document becomes, and the names of all that this depends on (V3). Changes nothing (V1).
function judge(state, method, data) {
  if (!METHODS.includes(method)) return problem(422, "unknown_method", `${method} is not a method of this service`);
  const [kind, verb] = method.split("_"), given = {};
  for (const field of verb === "delete" ? ["id"] : FIELDS[kind]) {
    if (isObject(data) && Object.hasOwn(data, field)) given[field] = data[field];
    else if (verb !== "create" && field !== "id") continue;
    const right = typeof given[field] === "string" && FORMS[field].test(given[field]);
    if (!right) return problem(422, "invalid", `${field} is missing, or not what it should be`);
  }
  const { id, email } = given, name = `${kind}/${id}`, old = state[kind].get(id), resources = [name];
  if (old && verb === "create") return problem(409, "exists", `there is a ${name}`);
  if (!old && verb !== "create") return problem(404, "not_found", `there is no ${name}`);
  const doc = Object.fromEntries(FIELDS[kind].map((field) => [field, given[field] ?? old[field]]));
  if (email !== undefined) {
    const other = state.idOf.get(email) ?? id;
    if (other !== id) return problem(409, "unique", `${email} is the email of user/${other}`);
    resources.push(`email/${email}`);
  }
  // The user of a goal must stay: user_delete wants the same name for itself.
  for (const user of kind === "goal" ? [...new Set([doc.user, (old ?? doc).user])].sort() : []) {
    if (!state.user.has(user)) return problem(404, "not_found", `there is no user/${user}`);
    resources.push({ name: `user/${user}`, shared: true });
  }
  return { kind, verb, old, doc, resources };
}

function validate({ method, data }) {
  // V2: chosen here, so that it is the same everywhere.
  const whole = method.endsWith("_create") && isObject(data) ? { id: randomUUID(), ...data } : data;
  const { problem, resources } = judge(state, method, whole);
  return problem ? { ok: false, problem } : { ok: true, data: whole, resources };
}

// It is decided: what cannot be done now is a result (A5).
function perform(state, method, data) {
  const { problem, kind, verb, old, doc } = judge(state, method, data);
  if (problem) return { error: problem };
  if (kind === "user") state.idOf.delete(old?.email);
  if (verb === "delete") {
    state[kind].delete(doc.id);
    for (const goal of state.goal.values()) if (kind === "user" && goal.user === doc.id) state.goal.delete(goal.id);
  } else {
    state[kind].set(doc.id, doc);
    if (kind === "user") state.idOf.set(doc.email, doc.id);
  }
  return { id: doc.id };
}

const linesOf = (state) =>
  ["user", "goal"].flatMap((kind) => sorted(state[kind].values())).map((doc) => JSON.stringify(doc) + "\n").join("");

const calls = {
  info: () => ({ protocol: 1, name: "users", applied_version: state.version, applied_hash: state.hash,
    methods: METHODS, examples: EXAMPLES }),
  validate: ({ ops }) => ({ results: ops.map(validate) }),
  apply({ ops }) {
    const results = ops.map(({ version, method, data, hash }) => {
      const applied_version = state.version, next = applied_version + 1;
      if (version < next) return { version, duplicate: true };
      if (version > next) throw problem(409, "gap", `version ${next} is next`, { applied_version });
      const result = method.startsWith("rig_") ? null : perform(state, method, data);
      Object.assign(state, { version, hash });
      return { version, result };
    });
    return { applied_version: state.version, results };
  },
  async snapshot({ path }) {
    const { version } = state;
    await files.writeFile(path, linesOf(state)); // as they are now, whatever is applied meanwhile
    return { version };
  },
  restore({ path, version }) {
    const bytes = readFileSync(path), next = { ...nothing(), version };
    for (const line of bytes.toString().split("\n").slice(0, -1)) {
      const doc = JSON.parse(line);
      perform(next, "email" in doc ? "user_create" : "goal_create", doc);
    }
    if (!bytes.equals(Buffer.from(linesOf(next)))) throw problem(422, "invalid", "not a snapshot of users and goals");
    state = next;
    return { applied_version: version };
  },
  health: () => ({}),
};

async function answer(line) {
  const { id, call, params } = JSON.parse(line); // a line that is no call ends the command, and Rig starts it again
  const reply = (what) => process.stdout.write(JSON.stringify({ id, ...what }) + "\n");
  try {
    if (!Object.hasOwn(calls, call)) throw problem(404, "not_found", `there is no call ${call}`);
    reply({ result: await calls[call](params) });
  } catch (error) {
    reply({ error: error.problem ?? { status: 500, code: "internal", detail: error.stack } });
  }
}

function read(request) {
  const [, id, goals, email] = /^GET \/users(?:\/([A-Za-z0-9_-]{1,64})(\/goals)?|\?email=(.+))$/.exec(request) ?? [];
  const user = state.user.get(id ?? state.idOf.get(unescape(email ?? "")));
  if (email !== undefined) return { items: user ? [user] : [] };
  if (!user) return problem(404, "not_found", `there is nothing at ${request}`);
  return goals ? { items: sorted(state.goal.values()).filter((goal) => goal.user === id) } : user;
}

const { port = process.env.USERS_PORT } = parseArgs({ options: { port: { type: "string" } } }).values;
if (port !== undefined) {
  const server = createServer((request, response) => {
    const body = read(`${request.method} ${request.url}`), type = body.problem ? "problem+json" : "json";
    response.writeHead(body.problem?.status ?? 200, { "Content-Type": `application/${type}` });
    response.end(JSON.stringify(body.problem ?? body));
  });
  server.listen(port, "127.0.0.1", () => console.error(`http://127.0.0.1:${server.address().port}`));
}

let begun = "";
for await (const chunk of process.stdin.setEncoding("utf8")) {
  const lines = chunk.split("\n"); // not readline: it also ends a line at U+2028, which JSON may hold
  lines[0] = begun + lines[0];
  begun = lines.pop();
  lines.forEach(answer);
}
process.exit(); // E1
