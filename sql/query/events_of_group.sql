-- in: owner text, group_id text, after int, limit int
-- rows: like events_all
SELECT seq, task, task_seq, owner, group_id, task_id, request_id, type, ts, payload
  FROM events WHERE owner = :owner AND group_id = :group_id AND seq > :after ORDER BY seq LIMIT :limit;
