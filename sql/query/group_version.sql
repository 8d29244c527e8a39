-- The version of a group's context.
-- in: owner text, name text
-- value: version int
SELECT version FROM groups WHERE owner = :owner AND name = :name;
