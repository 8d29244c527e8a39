SELECT seq, task, task_seq, owner, group_id, task_id, request_id, type, ts, payload
  FROM events WHERE seq > :after ORDER BY seq LIMIT :limit;
