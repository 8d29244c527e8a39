INSERT INTO task_says (task, type, ts, payload) VALUES (:n, :type, :now, json(:payload));
