-- Notes whether the lines of a task's job are being dropped.
-- in: n int, muted bool
UPDATE tasks SET muted = :muted WHERE n = :n;
