-- json() puts the inline value on one line; documents and events show it as it is.
-- in: task int, content_type text, inline_json text?, url text, body blob
INSERT INTO results (task, content_type, inline, url, body)
VALUES (:task, :content_type, json(:inline_json), :url, :body)
    ON CONFLICT (task) DO UPDATE SET content_type = excluded.content_type,
       inline = excluded.inline, url = excluded.url, body = excluded.body;
