-- in: n int
DELETE FROM tasks WHERE n = :n;
