-- What there is to read of a result, and when its task ended, which tells one result from the next.
-- in: task int
-- row: content_type text, bytes int, of int?
SELECT r.content_type, length(r.body) AS bytes, t.completed_at AS of
  FROM results r JOIN tasks t ON t.n = r.task WHERE r.task = :task;
