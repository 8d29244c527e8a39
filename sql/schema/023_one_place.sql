-- A place in the queue is counted in one place, sql/query/queue_before.sql, also for a single task.
DROP VIEW task_rows;
