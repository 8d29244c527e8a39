-- in: owner text
-- value: bytes int
SELECT bytes FROM owners WHERE name = :owner;
