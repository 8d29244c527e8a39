-- Tasks of one request; what follows from them waits for batch_created. A row of :cells is one of them: id, type, group,
-- priority, max_attempts, timeout_ms, run_at, serialize (and of input_create_batch content type and body).
-- in: cells cells, count int, owner text, request_id text, now int
-- gives: rowid
WITH RECURSIVE line(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM line WHERE i + 1 < :count)
INSERT INTO tasks (id, owner, type, group_id, request_id, priority, max_attempts, timeout_ms, run_at,
                   delayed, serialize, created_at, updated_at, batch)
SELECT cell(:cells, i, 0), :owner, cell(:cells, i, 1), cell(:cells, i, 2), :request_id, cell(:cells, i, 3),
       cell(:cells, i, 4), cell(:cells, i, 5), cell(:cells, i, 6), coalesce(cell(:cells, i, 6) > :now, 0),
       cell(:cells, i, 7), :now, :now, 1
  FROM line;
