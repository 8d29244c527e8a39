#!/usr/bin/perl
# Jobs that are stopped: timeout and cancel.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use IO::Handle;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "[runner]\nworkers = 8\n");
my $deaf = "#!/bin/sh\ntrap '' TERM\necho \$\$ >\$HOME/\$LEAT_TASK_ID\nwhile :; do sleep 0.1; done\n";
my $polite = "#!/bin/sh\ntrap 'echo bye >&2; exit 0' TERM\necho \$\$ >\$HOME/\$LEAT_TASK_ID\nwhile :; do sleep 0.05; done\n";
$l->job(deaf   => $deaf,   "kill_grace = 0.4\ntimeout = 0.5\n");
$l->job(polite => $polite, "kill_grace = 10\ntimeout = 0.5\n");
$l->job(longer => $polite, "kill_grace = 10\n");
$l->job(deafer => $deaf,   "kill_grace = 0.4\n");
$l->job(frozen => "#!/bin/sh\ntrap 'exit 0' TERM\necho >\$HOME/\$LEAT_TASK_ID\nkill -STOP \$\$\n", "timeout = 0.5\nkill_grace = 10\n");
$l->job(quick  => "#!/bin/sh\necho \$LEAT_DEADLINE\n", "timeout = 60\n");
my $home = $l->dir . '/home';
mkdir $home;
my $runner = $l->start({%ENV, HOME => $home});
my $up = sub { my ($id) = @_; wait_until { -s "$home/$id" || -e "$home/$id" } };

my $deaf_id   = $l->task('deaf');
my $polite_id = $l->task('polite');
my $frozen_id = $l->task('frozen');
my $own_id    = $l->task('longer', timeout => 300);
my $cancelled = $l->task('longer');
my $stubborn  = $l->task('deafer', max_attempts => 3);
my $quick     = $l->task('quick');

my $row = $l->finished($deaf_id);
is_deeply [@$row{qw(status error_code error_message)}], ['timeout', 'timeout', 'not finished within 0.5 s'],
    'a job that ignores SIGTERM is killed after its grace: timeout';
cmp_ok $row->{completed_at} - $row->{started_at}, '>=', 850, '... not before';
cmp_ok $row->{completed_at} - $row->{started_at}, '<=', 5000, '... and soon';
$row = $l->finished($polite_id);
is_deeply [@$row{qw(status error_code)}], ['timeout', 'timeout'], 'one that exits with 0 when told to has timed out too';
cmp_ok $row->{completed_at} - $row->{started_at}, '<=', 5000, '... without waiting for the grace';
is scalar(grep { $_ eq 'info: bye' } $l->logged($polite_id)), 1, '... and its last words are kept';
is $l->path($polite_id), 'pending running timeout', '... once';
$row = $l->finished($frozen_id);
is $row->{status}, 'timeout', 'a stopped process is told as well';
cmp_ok $row->{completed_at} - $row->{started_at}, '<=', 5000, '... and hears it before its grace is over';
$row = $l->finished($own_id);
is_deeply [@$row{qw(status error_message)}], ['timeout', 'not finished within 0.3 s'], "the task's own timeout goes before the type's";

$up->($cancelled) or diag 'not up';
$l->cancel($cancelled);
$row = $l->finished($cancelled);
is_deeply [@$row{qw(status error_code error_retryable)}], ['cancelled', 'cancelled', 0],
    'a cancelled job that exits with 0 in its grace is cancelled';
is $l->result($cancelled), undef, '... without a result';
$up->($stubborn) or diag 'not up';
$l->cancel($stubborn);
is $l->finished($stubborn)->{status}, 'cancelled', 'one that ignores SIGTERM is killed';
is $l->path($stubborn), 'pending running cancelled', '... and not tried again';

$row = $l->finished($quick);
my $deadline = $l->result($quick);
cmp_ok abs($deadline - $row->{started_at} - 60000), '<', 2000, 'LEAT_DEADLINE is the wall-clock time in ms when the time is up';
$l->cancel($quick);
is $l->status($quick), 'completed', 'what has completed stays so';

# cancelled while it waits to be tried again
$l->job(again => "#!/bin/sh\nexit 75\n", "backoff = 0.6\n");
my $again = $l->task('again', max_attempts => 5);
ok wait_until { $l->path($again) =~ /running pending/ }, 'it waits to be tried again';
$l->cancel($again);
$row = $l->finished($again);
is $row->{status}, 'cancelled', 'a wish that came between two attempts is honoured by the next';

# cancelled at the moment at which it ends: the wish is on disk before the runner's write
$l->job(gives => "#!/bin/sh\necho \$\$ >\$HOME/gives\nuntil [ -e \$HOME/go ]; do sleep 0.02; done\nexit 75\n");
my $gives = $l->task('gives', max_attempts => 5);
ok wait_until { -s "$home/gives" }, 'a task runs';
chomp(my $pid = slurp("$home/gives"));
open my $shell, '|-', "sqlite3 -cmd '.timeout 10000' $l->{db}" or die;
$shell->autoflush;
print {$shell} "BEGIN IMMEDIATE;\nUPDATE tasks SET cancel_requested = 1 WHERE id = '$gives';\n.shell touch $home/go\n";
ok wait_until { !-e "/proc/$pid" }, 'its job ends while its cancelling is being written';
print {$shell} "COMMIT;\n";
close $shell;
is $l->finished($gives)->{status}, 'cancelled', 'it is cancelled';
is $l->path($gives), 'pending running cancelled', '... and does not go back to wait';
# cancelled while their large inputs are copied, a slice of each in turn: no job begins; one whose copying goes on is
# started with all of it
$l->job(sum => "#!/bin/sh\nexec sha256sum\n");
my $large = 'large input ' x 2_000_000;
# asked for as each begins; the runner looks when others have committed
$l->sql('CREATE TABLE noise (n INTEGER PRIMARY KEY); CREATE TRIGGER asks AFTER UPDATE OF status ON tasks WHEN new.type = \'longer\' AND new.status = \'running\''
        . ' BEGIN UPDATE tasks SET cancel_requested = 1 WHERE n = new.n; END;');
my @large = map { $l->task($_ == 1 ? 'sum' : 'longer', input => $large) } 1 .. 8;
wait_until { $l->sql('INSERT INTO noise DEFAULT VALUES'); $l->ring; $l->status($large[7]) eq 'cancelled' };
$l->sql('DROP TRIGGER asks');
is_deeply [map { $l->finished($_)->{status} } @large], ['completed', ('cancelled') x 7], 'those whose cancelling is asked for are cancelled';
is $l->result($large[0]), sha256_hex($large) . "  -\n", 'the other one has all of its input';
isnt scalar(grep { $l->log !~ /task_start" task_id=$_ / } @large), 0, '... and some of them before they were started';
is_deeply [$l->work], [], 'no working folder is left';
is $l->stop($runner), 0, 'the runner stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
