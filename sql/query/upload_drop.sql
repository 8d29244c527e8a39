-- in: id int
UPDATE uploads SET bytes = 0, touched_at = 0 WHERE id = :id AND task IS NULL;
