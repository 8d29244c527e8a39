#!/usr/bin/perl
# Runners that die, and runners that only slept.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "lease_seconds = 1\n");
my $dir = $l->dir;

# A job that leaves its pids, a child among them, and ends when it may; what it did is in a file.
my $script = <<EOS;
#!/bin/sh
sleep 1000 >/dev/null 2>&1 &
echo "\$\$ \$!" >>$dir/pids.\$LEAT_TASK_ID
echo "10 attempt \$LEAT_ATTEMPT" >&3
until [ -e $dir/go.\$LEAT_TASK_ID ]; do sleep 0.02; done
echo "end \$LEAT_ATTEMPT" >>$dir/did.\$LEAT_TASK_ID
echo "attempt \$LEAT_ATTEMPT of \$LEAT_MAX_ATTEMPTS"
EOS
$l->job(works  => $script, "backoff = 0\n");
$l->job(cursed => "#!/bin/sh\nkill -KILL \$PPID\nsleep 1000\n", "backoff = 0\nlost_attempts = 2\n");
sub alive { return slurp("/proc/$_[0]/stat") =~ /^\d+ \(.*\) [^ZX] /s }
sub pids { return map { split ' ' } split /\n/, slurp("$dir/pids.$_[0]") }
sub go { Leatd::spew("$dir/go.$_[0]", '') }
sub told { my ($id, $n) = @_; return wait_until { scalar(() = $l->events($id, 'task.progress')) >= $n } }

# killed in the middle
my $first = $l->start;
my $task = $l->task('works', max_attempts => 1);
ok told($task, 1), 'a task runs and says so';
my @old = pids($task);
is scalar(grep { alive($_) } @old), 2, '... with a child of its own';
kill KILL => $first;
is $l->ended($first), 9, 'its runner is killed';
ok alive($old[1]), 'the child of the job survives that';
is $l->status($task), 'running', 'the task looks as if it ran';
my $second = $l->start;
ok told($task, 2), 'another runner begins it again';
is scalar(grep { alive($_) } @old), 0, '... when nothing of the old job runs any more';
go($task);
is $l->finished($task)->{status}, 'completed', 'it completes';
is $l->path($task), 'pending running pending running completed', '... after having been lost once';
is slurp("$dir/did.$task"), "end 2\n", '... and did its work once';
my $row = $l->row($task);
is_deeply [@$row{qw(attempt max_attempts lost)}], [2, 2, 1], 'the lost attempt is counted apart';
my ($lost) = map { $_->{payload} } grep { $_->{payload}{to} eq 'pending' } $l->events($task, 'task.status_changed');
is $lost->{error}{code}, 'runner_lost', 'the event of it says why';
is $l->stop($second), 0, 'the second runner stops';
is_deeply [$l->work], [], 'no working folder is left, not even the lost one';

# lost again and again
my $cursed = $l->task('cursed', max_attempts => 1);
for (1, 2) {
    my $victim = $l->start;
    is $l->ended($victim), 9, 'a job that kills its runner';
}
is $l->once, 0, 'the next one survives';
$row = $l->row($cursed);
is_deeply [@$row{qw(status error_code error_retryable lost)}], ['failed', 'runner_lost', 1, 2],
    '... because the task has lost enough of them: runner_lost';

# cancelled and lost
my $third = $l->start;
my $gone = $l->task('works');
ok told($gone, 1), 'a task runs';
kill KILL => $third;
$l->ended($third);
$l->cancel($gone);
is $l->once, 0, 'its cancelling was asked for when its runner was dead';
is $l->status($gone), 'cancelled', '... and is done by the next';

# another boot: nothing of it can live
my $boot = $l->task('works');
my ($runner) = $l->sql("INSERT INTO runners (pid, pid_start, boot_id, started_at, seen_until)"
        . " VALUES (1, 1, '00000000-0000-4000-8000-000000000000', 1, 9e15) RETURNING id;");
$l->sql("UPDATE tasks SET status = 'running', attempt = 1, runner = $runner->{id}, lease_until = 9000000000000000,"
        . " started_at = 1, pid = $$, pid_start = 1 WHERE id = '$boot';");
go($boot);
is $l->once, 0, 'a runner of another boot is gone whatever its lease says';
is $l->status($boot), 'completed', '... and its task is done';

# a living runner is left alone
my $mine = $l->start;
my $held = $l->task('works');
ok told($held, 1), 'a task runs';
is $l->once, 0, 'a second runner comes and goes';
is $l->path($held), 'pending running', '... and leaves the task of a living one alone';

# forgotten by the database
$l->sql('DELETE FROM runners;');
ok wait_until { my ($row) = $l->sql("SELECT count(*) AS n FROM runners WHERE pid = $mine;"); $row->{n} },
    'a living runner that is no longer registered registers again';
is $l->path($held), 'pending running', '... and keeps its task';

# asleep past its lease
kill STOP => $mine;
my $thief = $l->start;
ok told($held, 2), 'when its lease ended, the task is taken from a runner that sleeps';
my @held = pids($held);
is scalar(grep { alive($_) } @held[0, 1]), 0, '... its job is dead first';
ok alive($held[2]), '... and runs anew';
kill CONT => $mine;
ok wait_until { $l->log =~ /pid=$mine msg="task_fenced" task_id=$held/ }, 'the sleeper wakes and finds itself fenced';
go($held);
is $l->finished($held)->{status}, 'completed', 'the task completes';
is $l->result($held), "attempt 2 of 2\n", '... as the other left it';
is $l->path($held), 'pending running pending running completed', '... and nobody wrote into it';
is slurp("$dir/did.$held"), "end 2\n", 'its work was done once';
my $after = $l->task('works');
go($after);
is $l->finished($after)->{status}, 'completed', 'both go on';
is $l->stop($_), 0, 'and stop' for $mine, $thief;
is_deeply [$l->work], [], 'no working folder is left';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
