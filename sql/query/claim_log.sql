-- The log of a claimed task: the envelope of its events, and what is bounded.
-- in: n int, runner int, attempt int
-- row: owner text, group_id text?, id id, request_id text, events int, event_bytes int, owner_bytes int, muted bool
SELECT t.owner, t.group_id, t.id, t.request_id,
       (SELECT e.task_seq FROM events e WHERE e.task = t.n ORDER BY e.seq DESC LIMIT 1) AS events,
       t.event_bytes, (SELECT o.bytes FROM owners o WHERE o.name = t.owner) AS owner_bytes, t.muted
  FROM tasks t
 WHERE t.n = :n AND t.status = 'running' AND t.runner = :runner AND t.attempt = :attempt;
