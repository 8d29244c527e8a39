-- Whether any task waits, now or later, that is not held back by the pause of its type, or any runs.
-- value: wanted bool
SELECT EXISTS (SELECT 1 FROM task_counts c
                WHERE c.status = 'pending' AND c.tasks > 0
                  AND NOT EXISTS (SELECT 1 FROM paused_types p WHERE p.type = c.type))
    OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_running WHERE status = 'running' AND runner > 0) AS wanted;
