-- Tasks whose time has come join their queues, at most :limit of them, those first that waited for the earliest.
-- in: now int, limit int
UPDATE tasks SET delayed = 0
 WHERE n IN (SELECT n FROM tasks INDEXED BY tasks_delayed WHERE status = 'pending' AND delayed = 1 AND run_at <= :now
              ORDER BY run_at LIMIT :limit);
