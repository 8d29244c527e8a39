-- A group exists by being named.
-- in: owner text, name text, now int
INSERT INTO groups (owner, name, created_at, updated_at) VALUES (:owner, :name, :now, :now)
    ON CONFLICT DO UPDATE SET updated_at = max(updated_at, excluded.updated_at);
