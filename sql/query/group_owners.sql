-- Whose groups have a name, behind :after in the alphabet.
-- in: name text, after text, limit int
-- rows: owner text
SELECT owner FROM groups WHERE name = :name AND owner > :after ORDER BY owner LIMIT :limit;
