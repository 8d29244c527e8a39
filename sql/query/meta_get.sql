-- The few facts about the database itself.
SELECT key, value FROM meta;
