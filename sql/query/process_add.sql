INSERT INTO processes (program, started_at) VALUES (:program, :now);
