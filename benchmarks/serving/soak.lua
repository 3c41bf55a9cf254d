-- wrk sends raw requests from REQUESTS (each: a line with its length, then its bytes) in the order they stand there;
-- @@@@@@@@@ in one becomes a number that never comes twice. One JSON line to OUT: how often each status came.
local requests, varied, at, number = {}, {}, 0, 0
local threads = {}
statuses = ""

function setup(thread)
  threads[#threads + 1] = thread
end

function init()
  local file = assert(io.open(os.getenv("REQUESTS"), "rb"))
  local line = file:read("*l")
  while line do
    local text = file:read(tonumber(line))
    requests[#requests + 1] = text
    varied[#varied + 1] = text:find("@@@@@@@@@", 1, true) ~= nil
    line = file:read("*l")
  end
  number = tonumber(os.getenv("FIRST"))
  at = tonumber(os.getenv("FIRST")) % #requests
end

function request()
  at = at % #requests + 1
  if not varied[at] then return requests[at] end
  number = number + 1
  return (requests[at]:gsub("@@@@@@@@@", string.format("%09d", number)))
end

local seen = {}
function response(status)
  seen[status] = (seen[status] or 0) + 1
  if seen[status] % 64 == 1 or status >= 500 then
    local parts = {}
    for code, count in pairs(seen) do parts[#parts + 1] = string.format('"%d": %d', code, count) end
    statuses = table.concat(parts, ", ")
  end
end

function done(summary, latency)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("OUT"), "w"))
  file:write(string.format(
    '{"requests": %d, "seconds": %.2f, "lost": %d, "p99_ms": %.3f, "statuses": {%s}}\n',
    summary.requests, summary.duration / 1e6, errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(99) / 1e3, threads[1]:get("statuses")))
  file:close()
end
