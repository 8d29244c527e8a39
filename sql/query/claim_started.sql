UPDATE tasks SET pid = :pid, pid_start = :pid_start
 WHERE n = :n AND status = 'running' AND runner = :runner AND attempt = :attempt;
