# Files of node:test as tests of a `.t`.
package NodeTest;

use strict;
use warnings;
use Exporter qw(import);
use File::Basename qw(basename);
use Test::More;

our @EXPORT = qw(node_test);

# Runs a file; each of its tests is one here. Those within are what it says if it fails. `dir` is the folder of a
# server (Leat.pm): what the file leaves behind is found with it.
sub node_test {
    my ($path, $dir, %environment) = @_;
    my $file = basename($path);
    my $pid  = open(my $out, '-|') // die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        # it ends with this test, however that ends, and what it started with it
        %ENV = (%ENV, %environment, TESTED_IN => $dir);
        exec qw(setpriv --pdeathsig TERM node --test-reporter=tap), $path;
        die "node: $!";
    }
    my ($tests, @said) = (0);
    while (my $line = <$out>) {
        push @said, $line;
        note $1 if $line =~ /^# (?!Subtest|(?:tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) )(.*)/; # t.diagnostic
        next unless $line =~ /^(not )?ok \d+(?: - (.*?))?\s*$/;
        my ($failed, $name) = ($1, $2 // '');
        $tests++;
        while ($failed && defined(my $why = <$out>)) {    # what is wrong follows, as YAML
            push @said, $why;
            last if $why =~ /^\s*\.\.\.$/;
        }
        ok !$failed, "$file: $name" or diag @said;
        @said = ();
    }
    close $out;
    is $?, 0, "$file: $tests tests, and a clean end" or diag @said;
    cmp_ok $tests, '>', 0, "$file: it has tests";
}

1;
