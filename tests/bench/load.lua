-- What wrk sends to a node (and to the yardstick), one new document of 256 bytes for each operation, with a key.
-- By the environment: RUN (a word that no other run has), MODE=create|put|get, DOCUMENTS (how many put and get share),
-- BATCH (operations in a request), PIPELINE (requests under way on a connection), PAUSE (milliseconds after an answer),
-- KEYS=no (without idempotency keys), FROM (how many put has gone through before: the next document is the one behind).
-- The answer is one line of JSON.

local run = os.getenv("RUN")
local mode = os.getenv("MODE") or "create"
local documents = tonumber(os.getenv("DOCUMENTS") or 1)
local batch, pipeline = tonumber(os.getenv("BATCH") or 0), tonumber(os.getenv("PIPELINE") or 1)
local keyed = os.getenv("KEYS") ~= "no"
local count, from = 0, tonumber(os.getenv("FROM") or 0)

local function document(id)
  local start = string.format('{"id":"%s","email":"%s@example.org","name":"item","pad":"', id, id)
  return start .. string.rep("x", 254 - #start) .. '"}'
end

local function operation()
  count = count + 1
  if mode == "put" then
    local id = string.format("fixed-%07d", (from + count) % documents)
    return run .. "-" .. count, '{"method":"item_put","data":' .. document(id) .. "}"
  end
  local key = string.format("%s-%09d", run, count)
  return key, '{"method":"item_create","data":' .. document(key) .. "}"
end

local function post(kind, key, body)
  return "POST /do HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: " .. kind .. key ..
    "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

local function one()
  if mode == "get" then
    return string.format("GET /data/item/fixed-%07d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", math.random(0, documents - 1))
  end
  local key, body = operation()
  return post("application/json", keyed and "\r\nIdempotency-Key: " .. key or "", body)
end

local pause = tonumber(os.getenv("PAUSE") or 0)
if pause > 0 then
  function delay() return pause end
end

function request()
  if batch > 0 then
    local lines = {}
    for i = 1, batch do
      local key, body = operation()
      lines[i] = body:sub(1, -2) .. ',"key":"' .. key .. '"}\n'
    end
    return post("application/x-ndjson", "", table.concat(lines))
  end
  local requests = {}
  for i = 1, pipeline do requests[i] = one() end
  return table.concat(requests)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format('{"ops":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    (summary.requests - errors.status) * math.max(batch, 1), summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
