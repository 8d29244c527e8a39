SELECT started_at, progress FROM tasks
 WHERE n = :n AND status = 'running' AND runner = :runner AND attempt = :attempt;
