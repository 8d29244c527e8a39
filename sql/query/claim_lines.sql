-- Events of a task, of one type and time, with their envelope, and weighed: see task_lines in schema/022.
-- in: n int, seq int, owner text, group_id text?, id text, request_id text, type text, now int, payloads text, bytes int
INSERT INTO task_lines VALUES (:n, :seq, :owner, :group_id, :id, :request_id, :type, :now, :payloads, :bytes);
