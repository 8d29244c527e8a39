-- Whether the time of a task has come that waits for it. Looking costs less than promoting none.
-- in: now int
-- value: any bool
SELECT EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_delayed WHERE status = 'pending' AND delayed = 1 AND run_at <= :now) AS any;
