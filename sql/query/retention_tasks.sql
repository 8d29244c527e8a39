-- Tasks that finished before :before, or what :own says of their type (see retention_any); of each type the oldest
-- first, as the index has them.
-- in: before int?, own text?, limit int
-- rows: n int, id id, event_bytes int
SELECT t.n, t.id, t.event_bytes FROM (SELECT DISTINCT type FROM task_counts) c
 CROSS JOIN tasks t ON t.type = c.type AND t.completed_at <
       coalesce((SELECT j.value FROM json_each(:own) j WHERE j.key = c.type), :before)
 LIMIT :limit;
