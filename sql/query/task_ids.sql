-- The ids from :low to below :high, the newest first.
-- in: low text, high text, limit int
-- rows: id id
SELECT id FROM tasks WHERE id >= :low AND id < :high ORDER BY id DESC LIMIT :limit;
