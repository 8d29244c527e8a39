-- in: task int, json text
INSERT INTO checkpoints (task, json) VALUES (:task, json(:json))
    ON CONFLICT (task) DO UPDATE SET json = excluded.json;
