#!/usr/bin/perl
# concurrency and user: how many of a type run at a time, and as whom.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "workers = 6\n");
my $dir = $l->dir;
# takes one of the numbered locks: no more of them run than there are
$l->job(import => "#!/usr/bin/perl\nuse Fcntl ':flock'; use Time::HiRes 'sleep';\n"
        . "open my \$f, '>>', \"$dir/locks\" or die; flock \$f, LOCK_SH or die;\n"
        . "open my \$log, '>>', \"$dir/log\" or die; \$log->autoflush;\n"
        . "syswrite \$log, \"+\\n\"; sleep 0.1; syswrite \$log, \"-\\n\";\n", "concurrency = 2\n");
$l->job(mail => "#!/bin/sh\nuntil [ -e $dir/go ]; do sleep 0.02; done\n");

# how many ran at a time, as the job itself saw it
sub most {
    my ($now, $most) = (0, 0);
    for (split /\n/, slurp("$dir/log")) {
        $now += $_ eq '+' ? 1 : -1;
        $most = $now if $now > $most;
    }
    return $most;
}

my @import = map { $l->task('import', owner => 'o' . $_ % 3, priority => 5) } 1 .. 30;
my @mail   = map { $l->task('mail') } 1 .. 3;
my @pids   = map { $l->start } 1 .. 2;
ok wait_until { my ($r) = $l->sql("SELECT count(*) AS n FROM tasks WHERE type = 'mail' AND status = 'running';"); $r->{n} == 3 },
    'a type at its bound keeps no other waiting, however high its priority';
ok wait_until { my ($r) = $l->sql("SELECT count(*) AS n FROM tasks WHERE type = 'import' AND status = 'completed';"); $r->{n} == 30 },
    'all of it is done in the end';
is most(), 2, 'two at a time ran, on two runners';
Leatd::spew("$dir/go", '');
$l->finished($_) for @mail;

# the bound may change while they run
unlink "$dir/log";
Leatd::spew("$dir/jobs/import.conf", "concurrency = 4\n");
@import = map { $l->task('import') } 1 .. 20;
ok wait_until { my ($r) = $l->sql("SELECT count(*) AS n FROM tasks WHERE type = 'import' AND status = 'completed';"); $r->{n} == 50 },
    'a new bound counts from the next start on';
cmp_ok most(), '>', 2, 'more ran at a time';
cmp_ok most(), '<=', 4, '... and not more than it says';
is $l->stop($_), 0, 'a runner stops' for @pids;

# whom a job runs as; what is wrong with that fails at once
$l->conf("workers = 6\nbroken_type_seconds = 0\n");
$l->job(who => "#!/bin/sh\nid -un\nid -Gn\necho \$HOME\n: >mine && echo wrote\necho 50 >&3\necho 60 >\"\$LEAT_EVENTS\"\n", "user = nobody\n");
$l->job(nobody => "#!/bin/sh\n:\n", "user = no-such-user\n");
my ($who, $nobody) = map { $l->task($_) } qw(who nobody);
if ($> == 0) {
    chmod 0755, $dir or die;
    is $l->once, 0, 'root runs a job as somebody else';
    is $l->status($who), 'completed', '... who completes';
    is $l->result($who), "nobody\nnogroup\n/nonexistent\nwrote\n", '... with his groups and home, and a folder of his own';
    is scalar($l->events($who, 'task.progress')), 2, '... and both ways to tell of progress';
    chmod 0700, $dir or die;
    my $locked = $l->task('who');
    $l->once;
    is $l->row($locked)->{error_code}, 'exec_failed', 'one who cannot reach his folder';
    like $l->row($locked)->{error_message}, qr/working folder: Permission denied/, '... is reported as that';
} else {
    is $l->once, 0, 'not root';
    is $l->row($who)->{error_code}, 'exec_failed', 'only root can have a job run as somebody else';
    like $l->row($who)->{error_message}, qr/root/, '... which is said';
    pass 'no other user here' for 1 .. 3;
}
is $l->row($nobody)->{error_code}, 'exec_failed', 'a user that is not there';
like $l->row($nobody)->{error_message}, qr/user: there is no user 'no-such-user'/, '... is reported by name';

# none of a paused type, and no runner stays for it
$l->sql("INSERT INTO paused_types VALUES ('mail', 1);");
my ($paused, $later) = ($l->task('mail'), $l->task('mail', run_at => 9_000_000_000_000));
is $l->once, 0, 'a runner that has only tasks of a paused type to do ends';
is $l->ended($l->start('--idle-exit', '0.1')), 0, '... at once, or when it has been idle for long enough';
is $l->status($_), 'pending', 'they wait' for $paused, $later;
my $runner = $l->start;
ok $l->finished($l->task('import')), 'others run';
is $l->status($paused), 'pending', 'they wait';
$l->sql("DELETE FROM paused_types;");
$l->ring;
is $l->finished($paused)->{status}, 'completed', 'it is resumed: they run';
is $l->stop($runner), 0, 'the runner stops';

$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
