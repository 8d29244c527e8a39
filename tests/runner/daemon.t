#!/usr/bin/perl
# leatd as a program: options, settings, stopping.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;
use Time::HiRes qw(time);

my $l = Leatd->new(conf => "[runner]\ndrain_seconds = 20\n");
my $leatd = ($ENV{BUILD} || 'build') . '/leatd';
my $conf = $l->dir . '/other.conf';

# Runs it to its end: exit status, stdout, stderr.
sub run {
    my ($options, $text) = @_;
    Leatd::spew($conf, $text) if defined $text;
    my $out = `LEAT_X=1 $leatd $options 2>$conf.err </dev/null`;
    return ($? >> 8, $out, slurp("$conf.err"));
}

sub exits {
    my ($options, $text, $status, $says, $name) = @_;
    my ($got, $out, $err) = run($options, $text);
    is $got, $status, "$name: status $status";
    like $out . $err, $says, '... and says why';
}
exits('--version', undef, 0, qr/^leatd \d+\.\d+/, '--version');
exits('--help', undef, 0, qr/^usage: leatd/, '--help');
exits('--bogus', undef, 64, qr/usage: leatd/, 'an unknown option');
exits('extra', undef, 64, qr/unexpected argument 'extra'/, 'an argument');
exits("--config $conf --idle-exit soon", "[database]\npath = /tmp/x\n", 78, qr/--idle-exit: 'soon'/, 'a bad --idle-exit');
exits("--config $conf --check", "[runner]\nworkers = 3\n", 0, qr/^$/, '--check of a valid file');
exits("--config $conf --check", "[runner]\n\nworkers = none\n", 78, qr/\Q$conf\E:3: \[runner\] workers: 'none'/, '--check of a bad value');
exits("--config $conf --check", "[runer]\nworkers = 3\n", 78, qr/\Q$conf\E:2: unknown section \[runer\]/, '--check of an unknown section');
exits("--config $conf.missing --check", undef, 78, qr/cannot read \Q$conf\E\.missing: No such file/, '--check of no file');
exits("--config $conf", "[runner]\njobs = /tmp\n", 78, qr/\[database\] path is not set/, 'no database');
exits("--config $conf", "[database]\npath = " . $l->dir . "/x.db\n", 78, qr/\[runner\] jobs is not set/, 'no jobs folder');
exits("--config $conf", "[database]\npath = " . $l->dir . "/x.db\n[runner]\njobs = /nowhere\n", 78, qr{jobs: /nowhere: No such file}, 'a missing jobs folder');
exits("--config $conf", "[database]\npath = " . $l->dir . "/x.db\n[runner]\njobs = $conf\n", 78, qr/is not a folder/, 'a jobs folder that is a file');
exits("--config $conf", "[database]\npath = /nowhere/x.db\n[runner]\njobs = /tmp\n", 74, qr{/nowhere/x\.db}, 'a database that cannot be made');
exits("--config $conf", "[database]\npath = /tmp/x.db\n[runner]\njobs = /tmp\n[log]\nlevel = loud\n", 78, qr/'loud' is not debug/, 'a bad log level');
ok !-e $l->dir . '/x.db', 'a bad setting makes no database';

$l->job(quick => "#!/bin/sh\necho ok\n");
$l->job(waits => "#!/bin/sh\nwhile ! [ -e " . $l->dir . "/go ]; do sleep 0.02; done\necho went\n", "kill_grace = 10\n");
$l->job(polite => "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.02; done\n", "kill_grace = 10\n");
$l->job(deaf => "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.02; done\n", "kill_grace = 0.3\n");

# --once leaves what is not due
my $later = $l->task('quick', run_at => int(1000 * time) + 3600_000);
is $l->once, 0, '--once ends';
is $l->status($later), 'pending', '... and leaves what is not due';
my $begun = time;
is $l->once('--idle-exit', '5'), 0, '--once goes before --idle-exit';
cmp_ok time - $begun, '<', 4, '... at once';

# --idle-exit stays while a task waits for its time
my $idle = $l->start('--idle-exit', '0.7');
ok $l->finished($l->task('quick')), 'a task runs';
ok !defined $l->ended($idle, 1), '--idle-exit stays for a task that is due later';
$begun = time;
$l->sql("UPDATE tasks SET status = 'cancelled', completed_at = updated_at, run_at = NULL WHERE id = '$later';");
is $l->ended($idle), 0, '... and goes when it is no longer';
cmp_ok time - $begun, '>', 0.4, '... but no sooner than that';

# --idle-exit counts from the last task
$idle = $l->start('--idle-exit', '0.7');
my $task = $l->task('quick');
my $done = $l->finished($task);
is $done->{status}, 'completed', 'a task runs';
$begun = $done->{completed_at} / 1000;
is $l->ended($idle), 0, '--idle-exit ends it when nothing came for so long';
cmp_ok time - $begun, '>', 0.4, '... not before';

# SIGTERM: what runs may finish, nothing new begins
my $runner = $l->start;
my $slow = $l->task('waits');
ok $l->reaches($slow, 'running'), 'a task runs';
kill TERM => $runner;
ok wait_until { $l->log =~ /msg="draining" busy=1/ }, 'SIGTERM: it drains';
my $new = $l->task('quick');
ok $l->running($runner), '... and waits';
Leatd::spew($l->dir . '/go', '');
is $l->ended($runner), 0, '... until its job has finished, and ends with 0';
is $l->path($slow), 'pending running completed', 'the job has completed';
is $l->status($new), 'pending', 'what came meanwhile is not begun';
my ($alive) = $l->sql('SELECT count(*) AS n FROM runners WHERE seen_until > ' . int(1000 * time) . ';');
is $alive->{n}, 0, 'it said goodbye';
is $l->once, 0, 'the next one goes on';
is $l->status($new), 'completed', '... with what is left';

# SIGTERM twice: the rest goes back, its attempt unspent
$runner = $l->start;
my $polite = $l->task('polite', max_attempts => 1);
my $deaf = $l->task('deaf', max_attempts => 1);
ok $l->reaches($_, 'running') for $polite, $deaf;
wait_until { $l->log =~ /task_start" task_id=$_ / } for $polite, $deaf;
kill TERM => $runner;
ok wait_until { $l->log =~ /msg="draining" busy=2/ }, 'SIGTERM: it drains';
kill INT => $runner;
is $l->ended($runner), 0, 'a second one: it does not wait for drain_seconds';
for ($polite, $deaf) {
    is $l->path($_), 'pending running pending', 'the task went back';
    is $l->row($_)->{attempt}, 0, '... without spending an attempt';
}
$l->job(polite => "#!/bin/sh\necho \$LEAT_ATTEMPT\n");
$l->job(deaf   => "#!/bin/sh\necho \$LEAT_ATTEMPT\n");
is $l->once, 0, 'the next runner';
is $l->result($_), "1\n", '... runs it as its first' for $polite, $deaf;

# drain_seconds
$l->conf("drain_seconds = 0.3\n");
$l->job(polite => "#!/bin/sh\ntrap 'exit 0' TERM\nwhile :; do sleep 0.02; done\n");
$runner = $l->start;
$polite = $l->task('polite');
ok wait_until { $l->log =~ /task_start" task_id=$polite / }, 'a task runs';
is $l->stop($runner), 0, 'after drain_seconds it stops its jobs';
is $l->path($polite), 'pending running pending', '... and puts them back';

# SIGHUP
$runner = $l->start;
kill HUP => $runner;
ok wait_until { $l->log =~ /signal=SIGHUP/ }, 'SIGHUP is noted';
ok $l->running($runner), '... and survived';
is $l->stop($runner), 0, 'the runner stops';
is_deeply [$l->work], [], 'no working folder is left';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
