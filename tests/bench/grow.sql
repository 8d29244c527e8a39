-- A site of some age, for tests/bench/run growth: into a database without tasks, TASKS of 100 owners that have ended long
-- ago, most of them OWNER's, in 1000 group names, of three types and one that is rare, with four events each. Rows are
-- written without their triggers, which would take an hour, and counted afterwards as migrations do. DIR is a folder.
PRAGMA synchronous = OFF;
PRAGMA cache_size = -400000;
BEGIN IMMEDIATE;
.output DIR/drop.sql
SELECT 'DROP TRIGGER ' || name || ';' FROM sqlite_schema WHERE type = 'trigger';
.output DIR/make.sql
SELECT sql || ';' FROM sqlite_schema WHERE type = 'trigger';
.output
.read DIR/drop.sql

INSERT INTO tasks (n, id, owner, type, group_id, request_id, status, progress, attempt, created_at, started_at,
                   completed_at, updated_at, error_code, error_message, error_retryable)
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < TASKS), d AS (
    SELECT i, 1700000000000 + i * 1000 AS t,
           CASE WHEN i <= 30 THEN 'rare' WHEN i % 5 = 0 THEN 'render' WHEN i % 5 = 1 THEN 'mail' ELSE 'words' END AS type,
           CASE WHEN i <= 30 OR i % 10 < 7 THEN 'OWNER' ELSE 'owner' || (i % 99) END AS owner,
           CASE WHEN i <= 30 THEN 'timeout' WHEN i % 50 = 0 THEN 'failed' ELSE 'completed' END AS status,
           CASE WHEN i <= 30 THEN 'rare' WHEN i % 3 THEN 'g' || (i % 1000) END AS group_id FROM c)
SELECT i, printf('%08x-%04x-7%03x-8000-%012x', t >> 16, t & 65535, i & 4095, i), owner, type, group_id, 'req-' || i,
       status, iif(status = 'completed', 100, 0), 1, t, t + 100, t + 500, t + 500,
       iif(status = 'completed', NULL, 'exit_status'), iif(status = 'completed', NULL, 'it failed'),
       iif(status = 'completed', NULL, 0)
  FROM d;

INSERT INTO events (task, task_seq, owner, group_id, task_id, request_id, type, ts, payload)
SELECT t.n, k.value, t.owner, t.group_id, t.id, t.request_id,
       CASE k.value WHEN 1 THEN 'task.created' WHEN 3 THEN 'task.progress' ELSE 'task.status_changed' END,
       t.created_at + k.value * 100,
       CASE k.value WHEN 1 THEN json_object('status', 'pending', 'type', t.type)
                    WHEN 3 THEN '{"percent":50,"message":"half of it is done","elapsed_seconds":0.2}'
                    WHEN 2 THEN json_object('from', 'pending', 'to', 'running', 'attempt', 1, 'started_at', t.started_at)
                    ELSE json_object('from', 'running', 'to', t.status, 'attempt', 1, 'started_at', t.started_at,
                                     'completed_at', t.completed_at) END
  FROM tasks t CROSS JOIN json_each('[1,2,3,4]') k;

INSERT INTO results (task, content_type, inline, url, body)
SELECT n, 'text/plain', '"12"', '/api/tasks/' || id || '/result', CAST('12' AS BLOB) FROM tasks WHERE status = 'completed';
INSERT INTO inputs (task, content_type, body) SELECT n, 'application/json', CAST('"some words"' AS BLOB) FROM tasks;

INSERT INTO groups (owner, name, completed, failed, timeout, created_at, updated_at)
SELECT owner, group_id, sum(status = 'completed'), sum(status = 'failed'), sum(status = 'timeout'), min(created_at),
       max(updated_at)
  FROM tasks WHERE group_id IS NOT NULL GROUP BY owner, group_id;
UPDATE groups SET (type, error) =
    (SELECT r.type, r.error FROM group_records r WHERE r.owner = groups.owner AND r.name = groups.name);
INSERT INTO task_counts SELECT type, status, count(*) FROM tasks WHERE true GROUP BY type, status
    ON CONFLICT DO UPDATE SET tasks = tasks + excluded.tasks;
UPDATE tasks SET event_bytes = (SELECT sum(200 + length(payload)) FROM events e WHERE e.task = tasks.n AND e.task_seq > 1);
INSERT INTO owners (name, bytes)
SELECT owner, sum(bytes) FROM (
    SELECT owner, 200 + length(payload) AS bytes FROM events
    UNION ALL SELECT t.owner, length(i.body) FROM inputs i JOIN tasks t ON t.n = i.task
    UNION ALL SELECT t.owner, length(r.body) + length(r.inline) FROM results r JOIN tasks t ON t.n = r.task)
 WHERE true GROUP BY owner
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes;

.read DIR/make.sql
COMMIT;
PRAGMA wal_checkpoint(TRUNCATE);
