-- Pages of tasks. The place of one in its queue is found by counting those behind it, which for a page of a long
-- queue is the same count again and again.

-- As task_rows, but queue_position is 0 where a task has one: who reads a page counts from one task to the next.
CREATE VIEW task_page_rows AS
SELECT t.n, t.id, t.owner, t.type, t.group_id, t.request_id, t.status, t.priority, t.progress,
       t.phase, t.message, t.attempt, t.max_attempts, t.timeout_ms, t.run_at, t.created_at,
       t.started_at, t.completed_at, t.updated_at, t.cancel_requested, t.error_code,
       t.error_message, t.error_retryable, t.exit_status, t.signal,
       CASE WHEN t.status = 'pending' AND t.delayed = 0 THEN 0 END AS queue_position,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS event_count,
       (SELECT e.seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS cursor,
       r.inline AS result, r.content_type AS result_type, length(r.body) AS result_bytes,
       t.attempt - t.earlier - t.lost AS tries
  FROM tasks t LEFT JOIN results r ON r.task = t.n;
