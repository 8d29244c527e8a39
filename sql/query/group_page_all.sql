-- As group_page_owner, for everyone's groups.
SELECT owner, name, updated_at FROM groups
 WHERE (updated_at, owner, name) < (:before, :before_owner, :before_name)
 ORDER BY updated_at DESC, owner DESC, name DESC LIMIT :limit;
