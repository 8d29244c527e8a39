-- in: owner text, group_id text, request_id text, type text, now int, payload text
-- gives: rowid
INSERT INTO events (owner, group_id, request_id, type, ts, payload)
VALUES (:owner, :group_id, :request_id, :type, :now, json(:payload));
