-- in: id text, owner text, type text, group_id text?, request_id text, priority int, max_attempts int,
--     timeout_ms int?, run_at int?, serialize bool, unique text?, now int
-- gives: rowid
INSERT INTO tasks (id, owner, type, group_id, request_id, priority, max_attempts, timeout_ms, run_at,
                   delayed, serialize, unique_text, created_at, updated_at)
VALUES (:id, :owner, :type, :group_id, :request_id, :priority, :max_attempts, :timeout_ms, :run_at,
        coalesce(:run_at > :now, 0), :serialize, :unique, :now, :now);
