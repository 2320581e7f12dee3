-- For wrk: GET of random unaligned Ranges. Arguments: length of the resource, length of a Range, bearer token, seed.
local size, length, token

function init(args)
  size, length, token = tonumber(args[1]), tonumber(args[2]), args[3]
  math.randomseed(tonumber(args[4]))
end

function request()
  -- An odd first byte is on no boundary of anything.
  local first = math.random(0, (size - length) / 2 - 1) * 2 + 1
  local headers = {
    ["Authorization"] = "Bearer " .. token,
    ["Range"] = string.format("bytes=%d-%d", first, first + length - 1),
  }
  return wrk.format("GET", nil, headers)
end
