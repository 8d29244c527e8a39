#!/usr/bin/perl
# A forced retry: a completed task runs anew, a running one is stopped first. It begins with nothing, and what was
# stopped for it leaves no mark of a failure.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use JSON::PP qw(decode_json);
use Leatd;
use Test::More;

my $l   = Leatd->new(conf => "lease_seconds = 1\n");
my $dir = $l->dir;

# Says so each time it begins, keeps a file, and ends at once if DIR/open-NAME is there; NAME is its input. What it
# does when it is told to end is in DIR/NAME.
my $script = <<SH;
#!/bin/sh
name=\$(cat)
case \$name in stubborn) trap '' TERM;; polite) trap 'echo half >\$LEAT_FILES/half; echo half; exit 0' TERM;; esac
echo x >>$dir/runs-\$name
if [ -e "\$LEAT_CHECKPOINT_FILE" ]; then echo "goes on" >>$dir/runs-\$name; fi
echo '{"checkpoint":{"at":1}}' >&3
echo '{"progress":40,"message":"on it"}' >&3
until [ -e $dir/open-\$name ]; do sleep 0.02; done
n=\$(wc -l <$dir/runs-\$name)
echo "\$n" >\$LEAT_FILES/run-\$n.txt
echo "run \$n"
SH
$l->job(works => $script, "kill_grace = 0.3\n");
my $runner = $l->start;

sub retry {
    my ($id, $query) = @_;
    my $r = $l->cgi(POST => "/api/tasks/$id/retry" . ($query // '?force=1'), '');
    return ($r->{status}, decode_json($r->{body}));
}

sub document { return decode_json($l->cgi(GET => "/api/tasks/$_[0]")->{body}) }

sub opens { Leatd::spew("$dir/open-$_[0]", '') }

sub runs { return slurp("$dir/runs-$_[0]") =~ tr/x// }

sub begins { my ($id, $name, $times) = @_; return wait_until { $l->status($id) eq 'running' && runs($name) == $times } }

# What was stopped to run anew must not look as if it had failed.
sub no_errors {
    my ($id, $name) = @_;
    is scalar(grep { $_->{payload}{error} } $l->events($id, 'task.status_changed')), 0, $name // 'no event tells of an error';
}

subtest 'a completed task' => sub {
    opens('done');
    my $id = $l->task('works', input => 'done', group => 'g');
    is $l->finished($id)->{status}, 'completed', 'it completes';
    is_deeply [map { $_->{name} } @{ document($id)->{files} }], ['run-1.txt'], 'with a file';
    is((retry($id, ''))[0], 409, 'without force it is not retried');
    is((retry($id, '?force=0'))[0], 409, '... nor with none');
    is((retry($id, '?force=yes'))[0], 422, 'force is 1 or 0');
    is $l->status($id), 'completed', 'all that changes nothing';

    unlink "$dir/open-done" or die;
    my ($status, $task) = retry($id);
    is "$status $task->{status}", '202 pending', 'with it, it is';
    is_deeply [@$task{qw(result result_type result_bytes files progress error started_at completed_at)}],
        [undef, undef, undef, [], 0, undef, undef, undef], '... and shows nothing of the earlier run';
    ok begins($id, 'done', 2), 'it runs anew';
    is $l->cgi(GET => "/api/tasks/$id/result")->{status}, 409, '... without the result of the earlier run';
    is $l->cgi(GET => "/api/tasks/$id/files/run-1.txt")->{status}, 404, '... nor its file';
    opens('done');
    my $row = $l->finished($id);
    is "$row->{status} $row->{attempt} " . $l->result($id), "completed 2 run 2\n", 'and completes again, with a result of its own';
    is_deeply [map { $_->{name} } @{ document($id)->{files} }], ['run-2.txt'], '... and a file';
    is_deeply [glob "$dir/files/$id/*"], ["$dir/files/$id/run-2.txt"], '... which alone is on the disk';
    is $l->path($id), 'pending running completed pending running completed', 'the log has both runs';
    unlike slurp("$dir/runs-done"), qr/goes on/, 'no checkpoint was left';
    my @group = map { $_->{payload} = decode_json($_->{payload}); "$_->{payload}{from}>$_->{payload}{to}" }
        $l->sql("SELECT payload FROM events WHERE type = 'group.status_changed' ORDER BY seq;");
    is "@group", 'idle>pending pending>running running>completed completed>pending pending>running running>completed',
        'its group follows';
};

# However the job takes it.
for my $name (qw(plain stubborn polite)) {
    subtest "a running task, whose job is $name" => sub {
        my $id = $l->task('works', input => $name);
        ok begins($id, $name, 1), 'it runs';
        my ($status, $task) = retry($id);
        is "$status $task->{status}", '202 running', 'it is to be stopped' or diag $l->log;
        ok wait_until { $l->path($id) =~ /^pending running pending/ }, 'then it waits';
        ok begins($id, $name, 2), 'and runs anew';
        is $l->row($id)->{attempt}, 2, 'attempts count on';
        opens($name);
        is $l->finished($id)->{status} . ' ' . $l->result($id), "completed run 2\n", 'to its end';
        is_deeply [map { $_->{name} } @{ document($id)->{files} }], ['run-2.txt'], '... and leaves its own files';
        is $l->path($id), 'pending running pending running completed', 'the log says so';
        no_errors($id);
        unlike slurp("$dir/runs-$name"), qr/goes on/, 'no checkpoint was left';
        is_deeply [$l->work], [], 'nor a folder';
    };
}

subtest 'of a cancel and a forced retry the later one counts' => sub {
    $l->job(works => $script =~ s/stubborn\)/stubborn-2)/r, "kill_grace = 2\n");
    unlink "$dir/open-stubborn-2";
    my ($back, $on) = map { $l->task('works', input => 'stubborn-2') } 1 .. 2;
    ok wait_until { $l->status($back) eq 'running' && $l->status($on) eq 'running' }, 'they run';
    ok wait_until { runs('stubborn-2') == 2 }, 'both';
    is((retry($back))[0], 202, 'one is to run anew');
    is $l->cgi(POST => "/api/tasks/$back/cancel", '')->{status}, 202, '... and is cancelled after all';
    is $l->cgi(POST => "/api/tasks/$on/cancel", '')->{status}, 202, 'one is cancelled';
    my ($status, $task) = retry($on);
    is "$status $task->{status} $task->{cancel_requested}", '202 running 0', '... and is to run anew after all';
    is $l->finished($back)->{status}, 'cancelled', 'the one is cancelled';
    ok wait_until { $l->path($on) eq 'pending running pending running' }, 'the other runs anew';
    opens('stubborn-2');
    is $l->finished($on)->{status}, 'completed', '... to its end';
    no_errors($on);
};

subtest 'a runner that is killed before the job has stopped' => sub {
    $l->job(works => $script, "kill_grace = 30\n");
    unlink "$dir/open-stubborn";
    unlink "$dir/runs-stubborn";
    my $id = $l->task('works', input => 'stubborn');
    ok begins($id, 'stubborn', 1), 'it runs';
    is((retry($id))[0], 202, 'it is to run anew');
    kill KILL => $runner;
    $l->ended($runner);
    $runner = $l->start;
    ok begins($id, 'stubborn', 2), 'another runner sees to it';
    opens('stubborn');
    is $l->finished($id)->{status}, 'completed', '... to its end';
    is $l->path($id), 'pending running pending running completed', 'the log says so';
    is $l->row($id)->{lost}, 0, 'the lost runner is forgotten with the earlier run';
    no_errors($id);
};

subtest 'what waits is not retried' => sub {
    my $id = $l->task('works', input => 'later', run_at => 9_000_000_000_000);
    is((retry($id))[0], 409, 'a pending task');
    is((retry('00000000-0000-7000-8000-000000000000'))[0], 404, 'none');
};

is $l->stop($runner), 0, 'the runner stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left';
done_testing;
