-- Whether any task waits or runs, now or later.
-- value: wanted bool
SELECT EXISTS (SELECT 1 FROM queue_owners)
    OR EXISTS (SELECT 1 FROM tasks WHERE status = 'running' AND runner > 0) AS wanted;
