-- As group_page_owner, for everyone's groups.
-- in: before int, before_owner text, before_name text, limit int
-- rows: owner text, name text, updated_at int
SELECT owner, name, updated_at FROM groups
 WHERE (updated_at, owner, name) < (:before, :before_owner, :before_name)
 ORDER BY updated_at DESC, owner DESC, name DESC LIMIT :limit;
