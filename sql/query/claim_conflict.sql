-- The context of a job, which its group did not get.
-- in: n int, context text, version int, now int
INSERT INTO events (owner, group_id, task_id, request_id, type, ts, payload)
SELECT owner, group_id, id, request_id, 'group.context_conflict', :now,
       json_object('task_id', id, 'version', :version, 'context', json(:context))
  FROM tasks WHERE n = :n;
