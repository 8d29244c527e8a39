-- in: owner text, name text
-- row: version int, context text?
SELECT g.version, c.json AS context
  FROM groups g LEFT JOIN contexts c ON c.owner = g.owner AND c.name = g.name
 WHERE g.owner = :owner AND g.name = :name;
