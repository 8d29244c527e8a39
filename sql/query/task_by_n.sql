SELECT * FROM task_rows WHERE n = :n;
