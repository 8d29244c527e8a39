-- in: runner int, type text, why text, since int
INSERT INTO broken_types (runner, type, why, since) VALUES (:runner, :type, :why, :since);
