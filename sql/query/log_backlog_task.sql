-- A task that is gone and whose log is not.
-- value: task int
SELECT coalesce(min(task), 0) AS task FROM remains;
