-- What sysbench does for each event: one row with a document of 256 bytes, prepared, its own transaction.

function thread_init()
  connection = sysbench.sql.driver():connect()
  insert = connection:prepare("insert into item (doc) values (?)")
  document = insert:bind_create(sysbench.sql.type.CHAR, 300)
  insert:bind_param(document)
  count = 0
end

function event()
  count = count + 1
  local start = string.format('{"id":"%d-%d","name":"item","pad":"', sysbench.tid, count)
  document:set(start .. string.rep("x", 254 - #start) .. '"}')
  insert:execute()
end

function thread_done()
  insert:close()
  connection:disconnect()
end
