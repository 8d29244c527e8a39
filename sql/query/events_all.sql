-- in: after int, limit int
-- rows: seq int, task int, task_seq int, owner text, group_id text?, task_id text?, request_id text?,
--     type text, ts int, payload text
SELECT seq, task, task_seq, owner, group_id, task_id, request_id, type, ts, payload
  FROM events WHERE seq > :after ORDER BY seq LIMIT :limit;
