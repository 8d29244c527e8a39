-- The few facts about the database itself.
-- rows: key text, value text
SELECT key, value FROM meta;
