UPDATE groups SET context = json(:context), version = version + 1, updated_at = :now
 WHERE owner = :owner AND name = :name AND (:version IS NULL OR version = :version);
