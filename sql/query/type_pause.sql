-- in: type text, now int
INSERT INTO paused_types (type, paused_at) VALUES (:type, :now) ON CONFLICT DO NOTHING;
