-- How many due tasks of an owner and priority lie behind task :after, up to task :until.
-- in: owner text, priority int, after int, until int
-- value: tasks int
SELECT count(*) AS tasks FROM tasks b
 WHERE b.status = 'pending' AND b.delayed = 0 AND b.owner = :owner
   AND b.priority = :priority AND b.n > :after AND b.n <= :until;
