#!/usr/bin/perl
# What leatd tells its service manager, and what it reads again when told to.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IO::Select;
use Leatd;
use Socket qw(AF_UNIX SOCK_DGRAM pack_sockaddr_un);
use Test::More;
use Time::HiRes qw(time);

my $l   = Leatd->new(conf => "drain_seconds = 10\n");
my $dir = $l->dir;
$l->job(env => "#!/bin/sh\nenv\n");
$l->job(waits => "#!/bin/sh\nuntil [ -e $dir/go ]; do sleep 0.02; done\n");
$l->job(big => "#!/bin/sh\nhead -c 5000 /dev/zero\n");

# A socket like a service manager's. NAME: a path, or "@name".
sub manager {
    my ($name) = @_;
    socket my $socket, AF_UNIX, SOCK_DGRAM, 0 or die "socket: $!";
    (my $address = $name) =~ s/^@/\0/;
    bind $socket, pack_sockaddr_un($address) or die "$name: $!";
    return $socket;
}

# The next message, or undef.
sub message {
    my ($socket, $seconds) = @_;
    return undef unless IO::Select->new($socket)->can_read($seconds // 10);
    recv $socket, my $text, 4096, 0;
    return $text;
}

# Reads until a message matches; that, or undef.
sub told {
    my ($socket, $what, $seconds) = @_;
    my $end = time + ($seconds // 10);
    while (defined(my $text = message($socket, $end - time > 0 ? $end - time : 0))) {
        return $text if $text =~ $what;
    }
    return undef;
}

sub quiet { my ($socket) = @_; 1 while defined message($socket, 0) }

for my $name ("$dir/notify", "\@leat-test-$$") {
    my $socket = manager($name);
    my $pid = $l->start({ %ENV, NOTIFY_SOCKET => $name });
    ok told($socket, qr/^READY=1$/), "$name: READY";
    like told($socket, qr/^STATUS=/), qr/^STATUS=running, 0 of 4 workers busy$/, 'STATUS';
    my $task = $l->task('waits');
    like told($socket, qr/^STATUS=.*, 1 of/), qr/running, 1 of 4 workers busy/, '... changes';
    kill HUP => $pid;
    my $reloading = told($socket, qr/^RELOADING=1/);
    like $reloading, qr/^MONOTONIC_USEC=\d+$/m, 'RELOADING';
    my ($usec) = $reloading =~ /USEC=(\d+)/;
    my ($uptime) = slurp('/proc/uptime') =~ /^(\d+)/;
    cmp_ok abs($usec / 1e6 - $uptime), '<', 60, '... with the time of it';
    ok told($socket, qr/^READY=1$/), '... and READY again';
    kill TERM => $pid;
    ok told($socket, qr/^STOPPING=1$/), 'STOPPING';
    like told($socket, qr/^STATUS=/), qr/^STATUS=draining, 1 of/, '... and what it waits for';
    Leatd::spew("$dir/go", '');
    is $l->ended($pid), 0, 'it stops';
    unlink "$dir/go";
}

# the watchdog: a sign of life twice as often as asked for, while it lives and when it is meant
my $socket = manager("$dir/watch");
my %env = (%ENV, NOTIFY_SOCKET => "$dir/watch", WATCHDOG_USEC => 400_000);
my $pid = $l->start({%env});
ok told($socket, qr/^WATCHDOG=1$/), 'WATCHDOG';
my $begun = time;
ok told($socket, qr/^WATCHDOG=1$/, 5), '... again' for 1 .. 5;
my $took = time - $begun;
cmp_ok $took, '>', 0.5, sprintf '... every 200 ms (5 in %.2f s)', $took;
cmp_ok $took, '<', 4,   '... at least';
kill STOP => $pid;
quiet($socket);
is told($socket, qr/./, 1), undef, 'one that hangs gives none';
kill CONT => $pid;
ok told($socket, qr/^WATCHDOG=1$/), '... until it goes on';
my $task = $l->task('env');
ok $l->finished($task), 'a job runs';
unlike $l->result($task), qr/NOTIFY|WATCHDOG/, '... and knows nothing of this';
is $l->stop($pid), 0, 'it stops';
quiet($socket);
$pid = $l->start({ %env, WATCHDOG_PID => 1 });
ok told($socket, qr/^READY=1$/), 'WATCHDOG_PID of another';
is told($socket, qr/^WATCHDOG/, 1), undef, '... no WATCHDOG';
is $l->stop($pid), 0, 'it stops';

# nobody who listens, and no such place
for my $name ("$dir/nobody", 'relative', '@', '') {
    $pid = $l->start({ %ENV, NOTIFY_SOCKET => $name });
    ok $l->finished($l->task('env')), "NOTIFY_SOCKET=$name: it works all the same";
    is $l->stop($pid), 0, '... and stops';
}

# ---- SIGHUP ----

my $settings = "[http]\nmax_result_bytes = 1000\n";
$l->conf($settings);
$pid = $l->start;
is $l->finished($l->task('big'))->{error_code}, 'result_too_large', 'a result is too large';
my @waits = map { $l->task('waits') } 1 .. 6;
ok wait_until(sub { (grep { $l->status($_) eq 'running' } @waits) == 4 }), 'four of six run';
my $said = length $l->log;

sub hup {
    my ($text) = @_;
    $l->conf($text);
    $said = length $l->log;
    kill HUP => $pid;
    return wait_until(sub { substr($l->log, $said) =~ /^(.*settings (?:reread|not reread).*)$/m && $1 });
}

like hup("$settings\n[runner]\nworkers = none\n"), qr/settings not reread.*workers: 'none' is not a whole number/,
    'a bad file is refused, and the log says why';
ok $l->running($pid), '... and it runs on';
is scalar(grep { $l->status($_) eq 'running' } @waits), 4, '... as before';
like hup("[runner]\nworkers = 6\n[http]\nmax_result_bytes = 100000\n[log]\nlevel = debug\n"),
    qr/settings reread" signal=SIGHUP changed="\[http\] max_result_bytes, \[runner\] workers, \[log\] level"/,
    'a good one is taken, and the log says what is different';
ok wait_until(sub { (grep { $l->status($_) eq 'running' } @waits) == 6 }), 'more workers: all six run';
Leatd::spew("$dir/go", '');
ok $l->finished($_), 'and end' for @waits;
is $l->finished($l->task('big'))->{status}, 'completed', 'a larger result is taken';
hup("[runner]\nworkers = 1\njobs = /nowhere\n[database]\nbusy_ms = 77\n");
ok wait_until(sub { $l->log =~ /settings that need a restart" keys="\[database\] busy_ms, \[runner\] jobs"/ }),
    'what needs a restart is named';
unlink "$dir/go";
@waits = map { $l->task('waits') } 1 .. 3;
ok wait_until(sub { (grep { $l->status($_) eq 'running' } @waits) == 1 }), 'fewer workers: one runs';
Leatd::spew("$dir/go", '');
ok $l->finished($_), 'one after the other' for @waits;
is $l->stop($pid), 0, 'it stops';

# a log file that was moved away is begun anew
$l->conf("[log]\ntarget = file $dir/moves.log\n");
Leatd::spew("$dir/moves.log", '');
$pid = fork // die;
if (!$pid) {
    open STDERR, '>>', "$dir/leatd.log";
    exec(($ENV{BUILD} || 'build') . '/leatd', '--config', "$dir/leat.conf") or POSIX::_exit(127);
}
push @{ $l->{pids} }, $pid;
ok wait_until(sub { slurp("$dir/moves.log") =~ /runner_start/ }), 'a log file';
rename "$dir/moves.log", "$dir/moved.log";
kill HUP => $pid;
ok wait_until(sub { slurp("$dir/moves.log") =~ /settings reread/ }), 'that was moved away is begun anew';
unlike slurp("$dir/moved.log"), qr/settings reread/, '... and nothing more is written into the old one';
is $l->stop($pid), 0, 'it stops';

$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
