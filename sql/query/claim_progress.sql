-- in: n int, now int, percent real?, phase text?, message text?, remaining real?
UPDATE tasks
   SET progress = coalesce(:percent, progress), phase = coalesce(:phase, phase),
       message = coalesce(:message, message), remaining = :remaining, updated_at = :now
 WHERE n = :n;
