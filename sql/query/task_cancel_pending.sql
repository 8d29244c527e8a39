-- in: n int, now int
UPDATE tasks
   SET status = 'cancelled', completed_at = :now, updated_at = :now, cancel_requested = 1,
       run_at = NULL, error_code = 'cancelled', error_message = 'cancelled while it waited',
       error_retryable = 0, exit_status = NULL, signal = NULL
 WHERE n = :n AND status = 'pending';
