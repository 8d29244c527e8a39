-- in: n int, runner int, attempt int
-- row: started_at int, progress real, events int, event_bytes int, owner_bytes int, muted bool, pid int, pid_start int
SELECT t.started_at, t.progress,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS events,
       t.event_bytes, (SELECT o.bytes FROM owners o WHERE o.name = t.owner) AS owner_bytes, t.muted,
       t.pid, t.pid_start
  FROM tasks t
 WHERE t.n = :n AND t.status = 'running' AND t.runner = :runner AND t.attempt = :attempt;
