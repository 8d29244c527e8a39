#!/usr/bin/perl
# One tenant does all that could cost others something, at once; the other is served: nothing of his fails, is
# lost or waits for long, and neither memory nor the write-ahead log grows by what the first one asks. How quick
# it is, tests/bench/run neighbours says. SECONDS (10) of it.
use strict;
use warnings;
use Leat;
use Neighbours;
use Test::More;

my $l = Leat->start(env => {ADMIN => 'no'}, conf => "[auth]\nanonymous =\n");
my $seen = Neighbours::meet($l, $ENV{SECONDS} || 10);

sub worst { return (sort { $a <=> $b } @{ $_[0] || [] })[-1] // 'none' }
cmp_ok scalar @{ $seen->{creates} }, '>', 10, 'the neighbour is served';
is_deeply $seen->{wrong} // {}, {}, '... and nothing that he asked failed';
is_deeply $seen->{lost}, [], 'his stream brought every event';
cmp_ok worst($seen->{creates}), '<', 10, 'none of his writes waited for long';
cmp_ok worst($seen->{reads}),   '<', 10, '... no read';
cmp_ok worst($seen->{late}),    '<', 10, '... and no event';
cmp_ok $seen->{memory}, '<', 64 << 20, sprintf 'the web processes grew by %.0f MB at most', $seen->{memory} / 1e6;
cmp_ok $seen->{wal},    '<', 64 << 20, sprintf 'the log had %.0f MB at most', $seen->{wal} / 1e6;

# she did what she was to do
for my $way (sort keys %{ $seen->{did} }) {
    my $did = $seen->{did}{$way};
    my $all = join ', ', map {"$_: $did->{$_}"} sort keys %$did;
    ok !(grep {/^died/} keys %$did) && %$did, "$way: $all";
}
is_deeply [grep { $seen->{did}{$_}{500} } keys %{ $seen->{did} }], [], 'and nothing that she asked broke anything';
$l->stop;
done_testing;
