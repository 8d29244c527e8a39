#!/usr/bin/perl
# Several runners, several owners: who runs what, and when.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "workers = 3\n");
my $dir = $l->dir;
$l->job(mark => "#!/bin/sh\necho \$LEAT_TASK_ID >>$dir/ran\nsleep 0.02\n");
$l->job(order => "#!/bin/sh\necho \$LEAT_OWNER \$(cat) >>$dir/order\n");
$l->job(crowd => "#!/bin/sh\nread n\necho + >>$dir/crowd\nuntil [ -e $dir/go ]; do sleep 0.02; done\n");

# three runners, no task twice
my @runners = map { $l->start } 1 .. 3;
my @ids = map { $l->task('mark', owner => 'o' . $_ % 4) } 1 .. 120;
ok wait_until {
    my ($row) = $l->sql("SELECT count(*) AS n FROM tasks WHERE status = 'completed';");
    $row->{n} == 120;
}, 'three runners finish 120 tasks';
is_deeply [sort split /\n/, slurp("$dir/ran")], [sort @ids], 'each ran once';
my @shares = $l->sql('SELECT count(*) AS n FROM events WHERE type = \'task.status_changed\''
        . ' AND json_extract(payload, \'$.to\') = \'running\';');
is $shares[0]{n}, 120, '... and was claimed once';
my %by = map { $_ => scalar(() = $l->log =~ /pid=$_ level|pid=$_ msg="task_end"/g) } @runners;
is scalar(grep { $by{$_} } @runners), 3, 'all three worked';
is $l->stop($_), 0, 'and stop' for @runners[1, 2];

# at capacity it claims nothing
my @crowd = map { $l->task('crowd', input => "$_\n") } 1 .. 5;
ok wait_until { slurp("$dir/crowd") eq "+\n" x 3 }, 'as many run as there are workers';
my ($waiting) = $l->sql("SELECT count(*) AS n FROM tasks WHERE status = 'pending';");
is $waiting->{n}, 2, '... and the others wait for their turn';
Leatd::spew("$dir/go", '');
$l->finished($_) for @crowd;
is slurp("$dir/crowd"), "+\n" x 5, 'a free place is taken at once';
is $l->stop($runners[0]), 0, 'it stops';

# one worker: priority, then owners in turn, then age
$l->conf("workers = 1\n");
for my $n (1 .. 3) { $l->task('order', owner => 'many', input => $n) }
$l->task('order', owner => 'few', input => 1);
$l->task('order', owner => 'many', input => 'urgent', priority => 5);
is $l->once, 0, 'one worker does all';
my @order = split /\n/, slurp("$dir/order");
is $order[0], 'many urgent', 'the highest priority first';
is_deeply [grep {/many \d/} @order], ['many 1', 'many 2', 'many 3'], 'of one owner the oldest first';
my ($few) = grep { $order[$_] eq 'few 1' } 0 .. $#order;
cmp_ok $few, '<=', 2, 'and owners take turns';

# ten thousand of one owner do not keep another's single task waiting
$l->conf("workers = 3\n");
$l->job(short => "#!/bin/sh\nsleep 0.05\n");
$l->sql("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 10000)"
        . " INSERT INTO tasks (id, owner, type, request_id, created_at, updated_at)"
        . " SELECT printf('q%05d', i), 'many', 'short', 'r', 1, 1 FROM c;");
my $runner = $l->start;
ok wait_until { my ($r) = $l->sql("SELECT count(*) AS n FROM tasks WHERE type = 'short' AND status = 'completed';"); $r->{n} > 10 },
    'one owner keeps all workers busy';
my $single = $l->task('short', owner => 'single');
is $l->finished($single)->{status}, 'completed', "... and another's single task runs";
my ($between) = $l->sql("SELECT count(*) AS n FROM events e WHERE e.owner = 'many' AND json_extract(e.payload, '\$.to') = 'running'"
        . " AND e.seq > (SELECT min(seq) FROM events WHERE task_id = '$single')"
        . " AND e.seq < (SELECT min(seq) FROM events WHERE task_id = '$single' AND json_extract(payload, '\$.to') = 'running');");
cmp_ok $between->{n}, '<=', 3, '... after at most one task a worker';
is $l->stop($runner), 0, 'the runner stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
