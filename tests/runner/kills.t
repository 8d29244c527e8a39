#!/usr/bin/perl
# Two runners are killed with SIGKILL at random moments, KILLS (500) times, while TASKS (2000) tasks run:
# each ends exactly once, none is lost, and none runs in two processes at a time.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;
use Time::HiRes qw(sleep time);

my $kills = $ENV{KILLS} || 500;
my $count = $ENV{TASKS} || 2000;
my $seed  = $ENV{SEED}  || time ^ $$;
srand $seed;
diag "SEED=$seed";

my $l   = Leatd->new(conf => "lease_seconds = 30\n");
my $dir = $l->dir;
mkdir "$dir/locks" or die;
# The lock is the task's: the job takes it, and its child holds it too. Whoever finds it taken says so.
$l->job(locks => <<"EOS", "backoff = 0\nlost_attempts = 100\n");
#!/bin/sh
exec 9>>$dir/locks/\$LEAT_TASK_ID
flock -n 9 || { echo "\$LEAT_TASK_ID \$LEAT_ATTEMPT" >>$dir/twice; exit 1; }
echo "10 begun" >&3
sleep 0.0\$((\${#LEAT_TASK_ID} % 10))5 &
wait
echo "\$LEAT_TASK_ID" >>$dir/did
echo done
EOS

my $made = 0;

sub make {
    my ($n) = @_;
    $l->sql(<<"EOT");
WITH RECURSIVE c(i) AS (SELECT $made + 1 UNION ALL SELECT i + 1 FROM c WHERE i < $made + $n)
INSERT INTO tasks (id, owner, type, group_id, request_id, created_at, updated_at)
SELECT printf('t%06d', i) || substr('xxxxxxxxxx', 1, i % 10), 'o' || i % 5, 'locks', iif(i % 3, NULL, 'g' || i % 7), 'r', 1, 1 FROM c;
EOT
    $made += $n;
    $l->ring;
}

sub unfinished {
    my ($row) = $l->sql("SELECT count(*) AS n FROM tasks WHERE status IN ('pending', 'running');");
    return $row->{n};
}

make($count);
my @runners = map { $l->launch } 1, 2;
my ($killed, $both) = (0, 0);
while ($killed < $kills) {
    sleep rand 0.12;
    my @victims = rand() < 0.1 ? (0, 1) : int rand 2;
    $both++ if @victims == 2;
    for (@victims) {
        kill KILL => $runners[$_];
        my $status = $l->ended($runners[$_]) // die 'a killed runner does not end';
        die "a runner ended by itself: $status\n" . $l->log if $status != 9;
        $killed++;
    }
    $runners[$_] = $l->launch for @victims;
    make(200) if $killed % 50 < 2 && unfinished() < 100;
}
cmp_ok $killed, '>=', $kills, "$killed runners were killed, $both times both";
cmp_ok $made, '>=', $count, "... while $made tasks ran";
ok wait_until(sub { !unfinished() }, 120), 'in the end every task is finished';
is $l->stop($_), 0, 'the last runners stop' for @runners;

is slurp("$dir/twice"), '', 'no task ran in two processes at the same moment';
my ($row) = $l->sql("SELECT count(*) AS n, sum(status = 'completed') AS done, max(lost) AS most, sum(lost) AS lost FROM tasks;");
is $row->{n},    $made, 'no task is gone';
is $row->{done}, $made, '... and each completed';
cmp_ok $row->{lost}, '>', 0, "... although $row->{lost} attempts were lost with their runner, up to $row->{most} of one task";
my @ends = $l->sql("SELECT task, count(*) AS n FROM events WHERE type = 'task.status_changed'"
        . " AND json_extract(payload, '\$.to') NOT IN ('pending', 'running') GROUP BY task HAVING n <> 1;");
is scalar @ends, 0, 'each ended exactly once in its log';
($row) = $l->sql("SELECT count(DISTINCT task) AS n FROM events WHERE json_extract(payload, '\$.to') = 'completed';");
is $row->{n}, $made, '... and none without saying so';
($row) = $l->sql("SELECT count(*) AS n FROM (SELECT payload, lag(json_extract(payload, '\$.to'), 1, 'pending')"
        . " OVER (PARTITION BY task ORDER BY seq) AS was FROM events WHERE type = 'task.status_changed') c"
        . " WHERE json_extract(c.payload, '\$.from') <> c.was;");
is $row->{n}, 0, '... and every status follows from the one before it';
my %did;
$did{$_}++ for split /\n/, slurp("$dir/did");
is scalar(keys %did), $made, 'each did its work';
$l->gapless;
($row) = $l->sql("SELECT (SELECT count(*) FROM groups g WHERE g.completed <> (SELECT count(*) FROM tasks t"
        . " WHERE t.group_id = g.name AND t.owner = g.owner)) + (SELECT count(*) FROM queues) + (SELECT count(*) FROM queue_owners) AS n;");
is $row->{n}, 0, 'groups and queues count what there is';
is_deeply [$l->work], [], 'no working folder is left';
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
