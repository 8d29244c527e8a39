-- A task that is gone and whose log is not.
SELECT coalesce(min(task), 0) FROM remains;
