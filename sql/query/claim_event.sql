-- in: n int, type text, now int, payload text
INSERT INTO task_says (task, type, ts, payload) VALUES (:n, :type, :now, json(:payload));
