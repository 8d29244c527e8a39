-- rows: id int, program text, started_at int
SELECT id, program, started_at FROM processes ORDER BY id;
