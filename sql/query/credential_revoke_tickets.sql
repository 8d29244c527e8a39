-- Tickets do not outlive what they may have been made with.
-- in: owner text, now int
UPDATE credentials SET revoked_at = :now
 WHERE kind = 'ticket' AND expires_at > :now AND owner = :owner AND revoked_at IS NULL;
