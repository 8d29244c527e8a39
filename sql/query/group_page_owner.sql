-- An owner's groups, latest change first, from below (:before, :before_name).
SELECT owner, name, updated_at FROM groups
 WHERE owner = :owner AND (updated_at, name) < (:before, :before_name)
 ORDER BY updated_at DESC, name DESC LIMIT :limit;
