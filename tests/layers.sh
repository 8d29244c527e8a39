#!/bin/sh
# The floors: includes point down only, and what one floor alone should know stays there. TAP.
#
#     base < task < store < { web < sse | runner | cli },  cgi-bin on top of web and sse
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
    'lib/web'    => [qw(base task store web gen)],
    'lib/sse'    => [qw(base task store web sse)],
    'lib/runner' => [qw(base task store runner)],
    'lib/cli'    => [qw(base task store cli)],
    'cgi-bin'    => [qw(base task store web sse)],    # and its own, without a folder
);

# [what the rule says, what must not appear, where it may all the same]; looked for in the code
# (string literals blanked) unless the rule says `strings`
my @mains = qw(cgi-bin/api\.c cgi-bin/events\.c lib/runner/main\.c lib/cli/main\.c);
my @rules = (
    ['only the store knows SQLite', qr/\bsqlite3_\w+|\bsqlite3\.h/, qr{^lib/store/}],
    ['only web/fcgi.c knows libfcgi', qr/\bFCGX_\w+|\bfcgiapp\.h|\bfcgi_stdio\.h/, qr{^lib/web/fcgi\.c$}],
    ['the environment is read in mains, base/conf.c and web/fcgi.c',
        qr/\b(?:secure_)?getenv\s*\(/, qr{^(?:@{[join '|', @mains]}|lib/base/conf\.c|lib/web/fcgi\.c)$}],
    ['clocks are read in base/clock.c',
        qr/\b(?:time|gettimeofday|clock_gettime|timespec_get|clock|ftime)\s*\(/, qr{^lib/base/clock\.c$}],
    ['the web wing signals nobody', qr/\b(?:kill|killpg|tgkill|pidfd_send_signal)\s*\(/,
        qr{^lib/(?!web/|sse/)}],
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
done_testing();
PERL
