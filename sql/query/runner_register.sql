INSERT INTO runners (pid, pid_start, session, boot_id, started_at, seen_until)
VALUES (:pid, :pid_start, :session, :boot_id, :now, :seen_until);
