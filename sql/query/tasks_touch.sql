-- As task_touch, for several.
-- in: tasks text, now int
UPDATE tasks SET updated_at = max(updated_at, :now) WHERE n IN (SELECT value FROM json_each(:tasks));
