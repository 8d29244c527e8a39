INSERT INTO runners (id, pid, pid_start, session, boot_id, started_at, seen_until)
VALUES (:id, :pid, :pid_start, :session, :boot_id, :now, :seen_until);
