-- What somebody asked for while a task ran: at most one of the two.
-- in: n int
-- row: cancel bool, restart bool
SELECT cancel_requested AS cancel, restart > 0 AS restart FROM tasks WHERE n = :n;
