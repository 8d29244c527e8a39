SELECT id, program, started_at FROM processes ORDER BY id;
