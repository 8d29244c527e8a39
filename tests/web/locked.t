# A process that has stopped inside the write lock: health names it, and who may ends it; nobody else is touched.
use strict;
use warnings;
use Fcntl qw(LOCK_EX LOCK_NB);
use Leat;
use POSIX qw(:sys_wait_h);
use Test::More;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

my $l    = Leat->start(conf => "[database]\nbusy_ms = 1000\n");
my $path = $l->state . '/leat.db.lock';

sub start_of { my ($rest) = Leat::slurp("/proc/$_[0]/stat") =~ /.*\) (.*)/s; return (split ' ', $rest)[19] }
sub health { return $l->http(GET => '/api/health') }

# Takes the write lock, if nobody has it, as a program of Leat does, and says that PID has it.
sub lock_as {
    my ($pid, $start) = @_;
    open my $file, '+<', $path or die "$path: $!";
    flock $file, LOCK_EX | LOCK_NB or return;    # somebody has it at this moment
    my $line = sprintf '%d %d %d %d write', $pid, $start, (stat '/proc/self/ns/pid')[1], clock_gettime(CLOCK_MONOTONIC) * 1e6;
    syswrite $file, sprintf "%-95s\n", $line;
    return $file;
}

# One that forgets the lock: nothing of what it said stands there any more.
sub unlock {
    sysseek $_[0], 0, 0;
    syswrite $_[0], '-';
    close $_[0];
}

ok wait_until(sub { health()->status == 200 }, 30), 'at first all is well';

subtest 'one that stopped in it' => sub {
    my $holder = fork // die "fork: $!";
    if (!$holder) {
        my $lock = wait_until(sub { lock_as($$, start_of($$)) }, 30);
        kill STOP => $$;
        POSIX::_exit(0);
    }
    my $r;
    ok wait_until(sub { $r = health(); $r->status == 503 && $r->json->{write_lock} }, 30), 'health says so' or return;
    is $r->json->{write_lock}{pid}, $holder, '... with its pid';
    like $r->json->{detail}, qr/the write lock has been held for \d+ s by process $holder\b/, '... in words';
    my $ended = wait_until(sub { waitpid($holder, WNOHANG) == $holder }, 60);
    ok $ended, 'it is ended' or kill KILL => $holder;
    is WTERMSIG($?), POSIX::SIGKILL(), '... by leatd, which is of the same user';
    like $l->log, qr/ended a process that held the write lock.* pid=$holder\b/, '... and says so';
    ok wait_until(sub { health()->status == 200 }, 30), 'all is well again';
    is $l->http(POST => '/api/tasks?type=wordcount', body => 'a b', headers => ['Content-Type' => 'text/plain'])->status, 202, '... and tasks are taken';
};

subtest 'a later process of the same pid' => sub {
    my $innocent = fork // die "fork: $!";
    if (!$innocent) { sleep 3600; POSIX::_exit(0) }
    my $lock = wait_until(sub { lock_as($innocent, start_of($innocent) - 1) }, 30);
    ok wait_until(sub { my $lock = health()->json->{write_lock}; $lock && $lock->{seconds} >= 14 }, 60), 'is named for long';
    is waitpid($innocent, WNOHANG), 0, '... and left alone';
    unlock($lock);
    kill KILL => $innocent;
    waitpid $innocent, 0;
};

subtest 'a program of the supervisor, while the runner can do nothing' => sub {
    my $runner = $l->stop_runner;
    my $lock = wait_until(sub { lock_as($runner, start_of($runner)) }, 30);
    my $other = wait_until(sub { my ($pid) = $l->pids('runner'); $pid && $pid != $runner && $pid }, 60);
    ok $other, 'it is killed, and started again' or kill CONT => $runner;
    unlock($lock);
    like $l->log, qr/supervise: runner: pid $runner has held the write lock for 10 s; killing it/, '... with a word';
    ok wait_until(sub { health()->status == 200 }, 60), 'all is well again';
};

done_testing;
