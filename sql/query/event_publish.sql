INSERT INTO events (owner, group_id, request_id, type, ts, payload)
VALUES (:owner, :group_id, :request_id, :type, :now, json(:payload));
