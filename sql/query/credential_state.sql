SELECT expires_at, revoked_at FROM credentials WHERE id = :id;
