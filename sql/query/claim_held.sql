-- in: n int, runner int, attempt int
-- row: started_at int, progress real, pid int, pid_start int
SELECT started_at, progress, pid, pid_start FROM tasks
 WHERE n = :n AND status = 'running' AND runner = :runner AND attempt = :attempt;
