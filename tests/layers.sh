#!/bin/sh
# The floors: includes point down only, and what one floor alone should know stays there. TAP.
#
#     base < task < store < { metrics, ops, render } < { web < server < cgi-bin | spawn < runner | cli }
#
# Looks at C sources outside tests/, without their comments.
set -eu
cd "$(dirname "$0")/.."

exec perl - <<'PERL'
use strict;
use warnings;
use Test::More;

my %may_include = (
    'lib/base'   => [qw(base)],
    'lib/task'   => [qw(base task)],
    'lib/store'  => [qw(base task store gen)],
    'lib/metrics' => [qw(base task store metrics)],
    'lib/ops'    => [qw(base task store ops)],
    'lib/render' => [qw(base task render)],
    'lib/web'    => [qw(base task store web gen)],
    'lib/man'    => [qw(base)],
    'lib/server' => [qw(base task store metrics ops render web server)],
    'lib/spawn'  => [qw(base task spawn)],
    'lib/runner' => [qw(base task store metrics ops render spawn runner)],
    'lib/cli'    => [qw(base task store metrics ops render cli)],
    'cgi-bin'    => [qw(base task store metrics ops render web server)],    # and its own, without a folder
);

# [what the rule says, what must not appear, where it may all the same]; looked for in the code
# (string literals blanked) unless the rule says `strings`
my @mains = qw(cgi-bin/leat\.c lib/runner/main\.c lib/cli/main\.c);
my @rules = (
    ['only store/sqlite.c knows SQLite', qr/\bsqlite3_\w+|\bsqlite3\.h/, qr{^lib/store/sqlite\.c$}],
    ['only web/fcgi.c knows libfcgi', qr/\bFCGX_\w+|\bfcgiapp\.h|\bfcgi_stdio\.h/, qr{^lib/web/fcgi\.c$}],
    ['the environment is read in mains, base/conf.c and web/fcgi.c',
        qr/\b(?:secure_)?getenv\s*\(/, qr{^(?:@{[join '|', @mains]}|lib/base/conf\.c|lib/web/fcgi\.c)$}],
    ['clocks are read in base/clock.c',
        qr/\b(?:time|gettimeofday|clock_gettime|timespec_get|clock|ftime)\s*\(/, qr{^lib/base/clock\.c$}],
    ['the web wing signals nobody', qr/\b(?:kill|killpg|tgkill|pidfd_send_signal)\s*\(/,
        qr{^lib/(?!web/|server/)}],
    ['SQL text stands in sql/',
        qr/(?-i:\bSELECT\b|\bUPDATE\s+\w+\s+SET\b)|\binsert\s+(?:or\s+\w+\s+)?into\b|\bdelete\s+from\b/i, undef, 'strings'],
);

my (%code, %strings, %includes);
for my $file (sort map { glob "$_/*.[ch]" } keys %may_include) {
    open my $in, '<', $file or die "$file: $!\n";
    my $text = do { local $/; <$in> };
    my @strings;
    $text =~ s{ ("(?:\\.|[^"\\\n])*") | '(?:\\.|[^'\\\n])*' | /\*.*?\*/ | //[^\n]* }
              { my ($s, $all) = ($1, $&);
                (my $lines = $all) =~ tr/\n//cd;
                defined $s ? $s : $all =~ /^'/ ? "' '" : " $lines" }gsex;
    $includes{$file} = [map { [$_->[0], $_->[1]] } lines_with($text, qr/^\s*#\s*include\s*"([^"]+)"/)];
    (my $joined = $text) =~ s{"[ \t]*(\n\s*)"(?!\s*\n\s*#)}{}g;    # adjacent literals are one
    $strings{$file} = join "\n", $joined =~ /("(?:\\.|[^"\\\n])*")/g;
    $text =~ s/^(?!\s*#\s*include)(.*)$/ (my $l = $1) =~ s{"(?:\\.|[^"\\\n])*"}{""}g; $l /gme;
    $code{$file} = $text;
}

sub lines_with {
    my ($text, $pattern) = @_;
    my ($n, @found) = (0);
    for my $line (split /\n/, $text) {
        $n++;
        push @found, [$n, $1 // $&] if $line =~ $pattern;
    }
    return @found;
}

for my $floor (sort keys %may_include) {
    my @wrong;
    for my $file (grep { m{^\Q$floor\E/} } sort keys %includes) {
        for (@{ $includes{$file} }) {
            my ($line, $header) = @$_;
            next if $floor eq 'cgi-bin' && -e "cgi-bin/$header" && $header !~ m{/};
            next if $header =~ m{^(\w+)/\w+\.h$} && grep { $_ eq $1 } @{ $may_include{$floor} };
            push @wrong, "$file:$line: includes \"$header\"";
        }
    }
    ok(!@wrong, "$floor includes only @{$may_include{$floor}}") or diag join "\n", @wrong;
}

for (@rules) {
    my ($says, $never, $except, $where) = @$_;
    my @wrong;
    for my $file (sort keys %code) {
        next if $except && $file =~ $except;
        push @wrong, map { "$file:" . ($where ? '' : "$_->[0]:") . " $_->[1]" }
            lines_with($where ? $strings{$file} : $code{$file}, $never);
    }
    ok(!@wrong, $says) or diag join "\n", @wrong;
}

# Circles of calls between files, as the linker sees them: a file and its parts (attempt.c, attempt_end.c) are
# one. What is measured are the objects of the last build.
my $build = ($ENV{BUILD} || 'build') . '/obj';
my @sources = grep { -e "$build/" . s/\.c$/.o/r } sort(map { glob "$_/*.c" } keys %may_include), 'gen/query.c';
my %stems = map { s/\.c$//r => 1 } @sources;

sub unit_of {
    my ($stem) = @_;
    (my $whole = $stem) =~ s/_[a-z]+$//;
    return $stems{$whole} ? $whole : $stem;
}

my (%defined_in, %needs, %calls);
for my $source (@sources) {
    my $unit = unit_of($source =~ s/\.c$//r);
    for (split /\n/, qx(nm "$build/@{[$source =~ s/\.c$/.o/r]}")) {
        my ($kind, $symbol) = /(\w) (\w+)$/ or next;
        $needs{$unit}{$symbol} = 1 if $kind eq 'U';
        $defined_in{$symbol} = $unit if $kind =~ /[TDBR]/;
    }
}
for my $unit (keys %needs) {
    $calls{$unit}{ $defined_in{$_} } = $_ for grep { defined $defined_in{$_} && $defined_in{$_} ne $unit } keys %{ $needs{$unit} };
}

# Whether `from` calls its way to `to`, and how.
sub way {
    my ($from, $to, $seen) = @_;
    for my $next (sort keys %{ $calls{$from} || {} }) {
        return "$from -> $next ($calls{$from}{$next})" if $next eq $to;
        next if $seen->{$next}++;
        my $rest = way($next, $to, $seen);
        return "$from -> $next ($calls{$from}{$next}), $rest" if $rest;
    }
    return undef;
}

SKIP: {
    skip 'nothing was built', 1 unless keys %calls;
    my @circles = grep { defined } map { way($_, $_, {}) } sort keys %calls;
    ok(!@circles, 'no circle of calls between files') or diag join "\n", @circles;
}
done_testing();
PERL
