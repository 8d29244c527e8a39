INSERT INTO tasks (id, owner, type, group_id, request_id, priority, max_attempts, timeout_ms, run_at,
                   serialize, created_at, updated_at)
VALUES (:id, :owner, :type, :group_id, :request_id, :priority, :max_attempts, :timeout_ms, :run_at,
        :serialize, :now, :now);
