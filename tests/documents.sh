#!/bin/sh
# The documents: what is generated stands where it is shown, links lead somewhere, and manual pages are
# well-formed. TAP. BUILD (build) holds the programs.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build}
number=0
failed=0

# result STATUS NAME [WHAT IS WRONG]
result() {
    number=$((number + 1))
    if [ "$1" = 0 ]; then
        echo "ok $number - $2"
    else
        failed=1
        echo "not ok $number - $2"
        printf '%s\n' "${3-}" | sed 's/^/# /'
    fi
}

shown=$(sed -n '/^<!-- settings -->$/,/^<!-- end -->$/p' README.md | sed -n 's/^\(| `.*\)/\1/p')
made=$("$build/settings" markdown)
if [ -n "$made" ] && [ "$shown" = "$made" ]; then
    result 0 "the README's table of settings is that of lib/base/settings.c"
else
    result 1 "the README's table of settings is that of lib/base/settings.c" \
        "put what '$build/settings markdown' prints between its heading and <!-- end -->"
fi

dead=$(git ls-files '*.md' 2>/dev/null | while read -r file; do
    grep -o '](\([^)#:]*\))' "$file" | sed 's/^](//; s/)$//' | while read -r link; do
        [ -e "$(dirname "$file")/$link" ] || echo "$file: $link"
    done
done)
[ -z "$dead" ]
result $? 'links between files lead somewhere' "$dead"

cmp LICENSE nginx/html/LICENSE
result $? 'the licence of the package for npm is that of the tree'
version=$(sed -n 's/^VERSION *:= *//p' Makefile)
grep -q "^  \"version\": \"$version\",\$" nginx/html/package.json
result $? "so is its version" "Makefile: $version"

if command -v mandoc >/dev/null; then
    wrong=$(mandoc -T lint lib/man/*.[1-8] "$build"/man/*.[1-8] 2>/dev/null |
        grep -v 'referenced manual not found')
    [ -z "$wrong" ]
    result $? 'manual pages are well-formed' "$wrong"
else
    number=$((number + 1))
    echo "ok $number # SKIP no mandoc"
fi
echo "1..$number"
exit $failed
