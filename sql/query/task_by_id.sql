-- queue_position is 0 where the task has a place: queue_before finds it.
-- in: id text
-- rows: n int, id id, owner text, type text, group_id text?, request_id text, status status, priority int,
--     progress real, phase text?, message text?, attempt int, max_attempts int, timeout_ms int?,
--     run_at int?, created_at int, started_at int?, completed_at int?, updated_at int,
--     cancel_requested bool, error_code text?, error_message text?, error_retryable bool,
--     exit_status int?, signal int?,
--     queue_position int?, event_count int, cursor int, result text?, result_type text?,
--     result_bytes int?, tries int
SELECT * FROM task_page_rows WHERE id = :id;
