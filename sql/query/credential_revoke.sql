-- in: id int, now int
UPDATE credentials SET revoked_at = :now WHERE id = :id;
