-- The group has a row.
-- in: owner text, name text, context text, now int
INSERT INTO contexts (owner, name, json, updated_at) VALUES (:owner, :name, json(:context), :now)
    ON CONFLICT (owner, name) DO UPDATE SET json = excluded.json, updated_at = excluded.updated_at;
