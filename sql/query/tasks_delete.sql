-- As task_delete, for several: one statement keeps each page that it changes once, not for each of them.
-- in: tasks text
DELETE FROM tasks WHERE n IN (SELECT value FROM json_each(:tasks));
