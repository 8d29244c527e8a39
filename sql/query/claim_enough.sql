-- Says, once, that the job of a task may say no more: unless an event beyond the limit is this one.
INSERT INTO task_says (task, type, ts, payload)
SELECT :n, 'log.append', :now, w.payload
  FROM (SELECT json_object('level', 'warn', 'message', 'the task has ' || :max
            || ' events: nothing more that its job says is written (events_per_task)') AS payload) w
 WHERE NOT EXISTS (SELECT 1 FROM
           (SELECT e.payload FROM events e WHERE e.task = :n ORDER BY e.seq DESC LIMIT :beyond) b
        WHERE b.payload = w.payload);
