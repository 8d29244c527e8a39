-- in: task int
-- value: json text?
SELECT json FROM checkpoints WHERE task = :task;
