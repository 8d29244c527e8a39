-- The unfinished task of an owner, type and unique text, the oldest where there are several.
-- in: owner text, type text, unique text
-- value: n int
SELECT min(n) AS n FROM tasks
 WHERE owner = :owner AND type = :type AND unique_text = :unique
   AND (status = 'pending' OR status = 'running');
