-- wrk sends the bodies BODIES0, BODIES1, ... in turn, with the headers of HEADERS ("name: value" lines); one JSON line to OUT.
local requests, at = {}, 0

function init()
  local headers = {}
  for name, value in (os.getenv("HEADERS") or ""):gmatch("([^:\n]+): ([^\n]+)") do headers[name] = value end
  for place = 0, tonumber(os.getenv("COUNT")) - 1 do
    local file = assert(io.open(os.getenv("BODIES") .. place, "rb"))
    requests[#requests + 1] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local errors = summary.errors
  local file = assert(io.open(os.getenv("OUT"), "w"))
  file:write(string.format(
    '{"rps": %.2f, "p50_ms": %.4f, "p99_ms": %.4f, "max_ms": %.3f, "bad": %d}\n',
    summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency.max / 1e3,
    errors.status + errors.connect + errors.read + errors.timeout))
  file:close()
end
