-- How many tasks of an owner are due and wait, and how many wait for their time.
-- in: owner text
-- row: pending int, delayed int
SELECT pending, delayed FROM queue_owners WHERE owner = :owner;
