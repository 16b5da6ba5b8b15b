-- Asks the freshly built interpreter to do a little of everything, and prints what a reader can
-- compare. Nothing printed depends on the machine or the time.

local function check(name, got, expected)
  if got ~= expected then
    error(("%s: got %s, expected %s"):format(name, tostring(got), tostring(expected)), 0)
  end
  print(("ok  %-12s %s"):format(name, tostring(got)))
end

check("version", _VERSION, "Lua 5.4")
check("argument", arg[1], "from-the-spec")
check("integer", 7 // 2 + 2 ^ 10 // 1 | 0, 1027)
check("float", ("%.12f"):format(math.sin(1)), "0.841470984808")
check("string", ("partita"):rep(2, "-"):upper(), "PARTITA-PARTITA")
check("pattern", ("key=value"):gsub("(%w+)=(%w+)", "%2=%1"), "value=key")
check("utf8", utf8.len("große Fuge"), 10)

local words = {}
for word in ("theme variation fugue"):gmatch("%a+") do
  words[#words + 1] = word
end
table.sort(words)
check("table", table.concat(words, " "), "fugue theme variation")

local steps = coroutine.wrap(function()
  for i = 1, 3 do
    coroutine.yield(i * i)
  end
end)
check("coroutine", steps() + steps() + steps(), 14)

local object = setmetatable({}, { __index = function(_, key) return "<" .. key .. ">" end })
check("metatable", object.name, "<name>")

local fine, message = pcall(error, { code = 42 })
check("error", not fine and message.code, 42)

collectgarbage("collect")
check("collector", collectgarbage("count") < 1024, true)

do
  local closed = false
  do
    local guard <close> = setmetatable({}, { __close = function() closed = true end })
  end
  check("close", closed, true)
end
