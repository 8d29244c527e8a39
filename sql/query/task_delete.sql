DELETE FROM tasks WHERE n = :n;
