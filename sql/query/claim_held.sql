SELECT t.started_at, t.progress,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1),
       t.pid, t.pid_start
  FROM tasks t
 WHERE t.n = :n AND t.status = 'running' AND t.runner = :runner AND t.attempt = :attempt;
