UPDATE tasks
   SET progress = coalesce(:percent, progress), phase = coalesce(:phase, phase),
       message = coalesce(:message, message), remaining = :remaining, updated_at = :now
 WHERE n = :n;
