-- What wrk asks of a gateway, and how it judges the answers: `wrk -s bench_gateway.lua URL -- KEYS ROUTED THINK_MS`.
-- KEYS: a file with an API key a line. ROUTED: 1 behind a gateway's paths, 0 straight to an engine.
-- THINK_MS: how long a user waits before each request on average, evenly spread from 0 to twice that; 0 never waits.

local SESSION = "0f8fad5b-d9cb-469f-a165-70867728950e"
local threads, questions, last = {}, {}, 0

-- Globals, because wrk hands over these alone.
broken = 0
example = ""

function setup(thread)
  table.insert(threads, thread)
end

-- The same mix for everybody: a plain generation, one streamed as NDJSON, one as SSE, the models, a prompt, its result.
function init(arguments)
  local routed, think = arguments[2] == "1", tonumber(arguments[3])
  local ollama, comfyui = routed and "/ollama" or "", routed and "/comfyui" or ""
  local prompt = '{"model":"tinyllama","prompt":"' .. string.rep("say it again ", 20) .. '"}'
  local graph = '{"client_id":"bench","prompt":{"1":{"class_type":"X","inputs":{"text":"' .. string.rep("x", 1500) .. '"}}}}'
  local mix = {
    { "POST", ollama .. "/api/generate", prompt },
    { "POST", ollama .. "/api/chat", prompt },
    { "POST", ollama .. "/v1/chat/completions", prompt },
    { "GET", ollama .. "/api/tags" },
    { "POST", comfyui .. "/api/prompt", graph },
    { "GET", comfyui .. "/api/history/" .. SESSION },
  }
  local number = 0
  for key in io.lines(arguments[1]) do
    number = number + 1
    for _, asked in ipairs(mix) do
      local headers = { ["Authorization"] = "Bearer " .. key, ["Cookie"] = "ipex_comfyui=gpu-0" .. number % 3 + 1 }
      if asked[3] then headers["Content-Type"] = "application/json" end
      table.insert(questions, wrk.format(asked[1], asked[2], headers, asked[3]))
    end
  end
  math.randomseed(os.time())
  last = math.random(#questions)
  if think > 0 then
    delay = function() return math.random(0, 2 * think) end
  end
end

function request()
  last = last % #questions + 1
  return questions[last]
end

-- Every whole answer of the bench's engine ends in one of two ways.
function response(status, _, body)
  if status ~= 200 or not (body:find('"end":true}\n?$') or body:find("%[DONE%]\n\n$")) then
    broken = broken + 1
    example = status .. " " .. body:sub(-80)
  end
end

function done(summary, latency)
  local errors, count, shown = summary.errors, 0, ""
  for _, thread in ipairs(threads) do
    count = count + thread:get("broken")
    if thread:get("example") ~= "" then shown = thread:get("example") end
  end
  local failed = errors.connect + errors.read + errors.write + errors.timeout + count
  io.write(string.format(
    '\nREPORT {"requests": %d, "seconds": %.3f, "errors": %d, "p50_ms": %.3f, "p95_ms": %.3f}\n',
    summary.requests, summary.duration / 1e6, failed, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3
  ))
  if shown ~= "" then io.write("EXAMPLE " .. shown:gsub("%c", " ") .. "\n") end
end
