-- in: task int, after int, limit int
-- rows: like events_all
SELECT seq, task, task_seq, owner, group_id, task_id, request_id, type, ts, payload
  FROM events WHERE task = :task AND seq > :after ORDER BY seq LIMIT :limit;
