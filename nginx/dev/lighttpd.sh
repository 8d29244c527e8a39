# shellcheck shell=bash disable=SC2153,SC2154  # a part of nginx/dev/run, whose variables these are
# What lighttpd serves: nginx/lighttpd/*.conf with the paths, the prefix and the times of the settings.

# Drops the parts of lighttpd.conf that are for other cases: each goes on to the next line that begins with "# ".
dropped_parts() {
    [ -z "$PAGES" ] || printf '/^# without PAGES/,/^# /{/^[^#]/d};'
    # the front page may be a path of [routes]; with no prefix there is no other one
    if [ -n "$PAGES" ] || [ -n "$prefix" ] || grep -qxF '^/$' <<<"$paths"; then
        printf '/^# without a page/,/^# /{/^[^#]/d};'
    fi
    if [ -z "$prefix" ] || grep -qxF '^/$' <<<"$paths"; then printf '/^# without PAGES:/,/^# /{/^[^#]/d};'; fi
}

write_site() {
    local piece path where="^$prefix/"
    # with no prefix, all but this is for Leat
    [ -n "$prefix" ] || where='^/(?!$\|try\\.txt$)'
    sed "$(dropped_parts) s|@STATE@|$STATE|g; s|@PORT@|$PORT|g; s|@ROOT@|${PAGES:-$html}|; s|@PREFIX@|$prefix|" \
        "$here/lighttpd.conf" >"$site/lighttpd.conf"
    for piece in leat.conf leat-pass.conf pages.conf problems.conf; do
        sed "s|/run/leat/|$STATE/|g; s|/usr/local/share/leat/lighttpd|$site|g; s|/var/lib/leat/files|$files|g
            s|\"^/api/\"|\"$where\"|
            s|\(\"\(read\|write\)-timeout\" => \)[0-9]*|\1$patience|; s|^\(server.max-request-size =\) .*|\1 $((megabytes << 10))|" \
            "$top/nginx/lighttpd/$piece" >"$site/$piece"
    done
    cp -R "$top/nginx/lighttpd/problems" "$site/"
    # letters beyond ASCII as themselves, because lighttpd's expressions are of letters, not of bytes
    # shellcheck disable=SC2001  # a pattern that only sed has
    sed 's|\\x\([0-7]\)|\\\\x\1|g' <<<"$paths" | while read -r path; do
        # shellcheck disable=SC2016  # lighttpd's variable
        [ -z "$path" ] || printf '$HTTP["url"] =~ "%b" { include "%s/leat-pass.conf" }\n' "$path" "$site"
    done >"$site/leat-routes.conf"
}
