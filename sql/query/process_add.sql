-- in: program text, now int
-- gives: rowid
INSERT INTO processes (program, started_at) VALUES (:program, :now);
