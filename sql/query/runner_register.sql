-- in: id int?, pid int, pid_start int, session int, boot_id text, now int, seen_until int
-- gives: rowid
INSERT INTO runners (id, pid, pid_start, session, boot_id, started_at, seen_until)
VALUES (:id, :pid, :pid_start, :session, :boot_id, :now, :seen_until);
