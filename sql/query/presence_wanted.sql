-- Whether any task waits or runs, now or later.
SELECT EXISTS (SELECT 1 FROM queues WHERE pending > 0)
    OR EXISTS (SELECT 1 FROM tasks WHERE status = 'running' AND runner > 0);
