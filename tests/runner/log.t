#!/usr/bin/perl
# The write-ahead log stays short, whatever makes it long: a runner that has much to remove and nothing else to do, leat gc,
# requests that are processes; while nobody else is there, or somebody is who keeps it from being cut.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use IPC::Open2;
use Leatd;
use POSIX qw(WNOHANG);
use Test::More;

my $l    = Leatd->new(conf => "retain_hours = 1\nlease_seconds = 600\n");
my $log  = "$l->{db}-wal";
my @leat = (($ENV{BUILD} || 'build') . '/leat', '--config', $l->dir . '/leat.conf');

sub size { return -s $log // 0 }

sub tasks { my ($row) = $l->sql('SELECT count(*) AS n FROM tasks;'); return $row->{n} }

# Tasks that have ended long ago, and an empty log.
sub backlog {
    my ($count) = @_;
    $l->sql(<<"SQL");
BEGIN IMMEDIATE;
WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $count)
INSERT INTO tasks (id, owner, type, group_id, request_id, created_at, updated_at)
SELECT printf('%08x-0000-7000-8000-%012x', i * 7919 % 20011, i), 'o' || i % 97, 'x', 'g' || i % 997, 'r', 1, 1 FROM c;
UPDATE tasks SET status = 'running', runner = 1, lease_until = 1, started_at = 2, attempt = 1, updated_at = 2;
UPDATE tasks SET status = 'completed', runner = NULL, lease_until = NULL, completed_at = 3, updated_at = 3;
COMMIT;
SQL
    $l->sql('PRAGMA wal_checkpoint(TRUNCATE);');
    cmp_ok size(), '==', 0, 'the log is empty';
    return;
}

# The longest that the log is, in MiB, until the condition holds or so many seconds are over.
sub longest {
    my ($condition, $seconds) = @_;
    my $most = 0;
    wait_until { my $now = size(); $most = $now if $now > $most; $condition->() } $seconds;
    return $most / 1048576;
}

backlog(20_000);
my $pid  = $l->launch;
my $most = longest(sub { !tasks() }, 120);
is tasks(), 0, 'all of the backlog goes';
cmp_ok $most, '>', 4,  'that made the log long';
cmp_ok $most, '<', 64, '... and no longer than a few checkpoints leave it';
$l->stop($pid);

# one who reads in one transaction, so that no checkpoint gets through
backlog(20_000);
my $reader = open2(my $said, my $ask, 'sqlite3', $l->{db});
print {$ask} "BEGIN;\nSELECT count(*) FROM tasks;\n";
$ask->flush;
is scalar <$said>, "20000\n", 'somebody reads';
$pid = $l->launch;
cmp_ok longest(sub { size() > 64 << 20 }, 120), '>', 64, 'the log becomes long';
cmp_ok longest(sub { size() > 120 << 20 }, 3), '<', 120, '... and then hardly longer';
cmp_ok tasks(), '>', 0, '... though there is more to remove';
$l->stop($pid);
is $l->once, 0, 'leatd --once does not wait for who reads';
my $gc = qx(@leat gc 2>&1);
is $? >> 8, 75, 'neither does leat gc: 75';
like $gc, qr/process $reader keeps the write-ahead log from being cut/, '... naming who reads';
cmp_ok size() >> 20, '<', 120, '... and the log is hardly longer';
cmp_ok tasks(), '>', 0, '... though there is more to remove';
$pid = $l->start;
print {$ask} "COMMIT;\n.quit\n";
waitpid $reader, 0;
ok((wait_until { !tasks() } 120), 'once nobody reads, the rest goes');
$l->stop($pid);

# a runner that was killed a moment ago: its lease says that it lives
kill KILL => $pid = $l->start;
$l->ended($pid);
backlog(20_000);
my $gone = fork // die;
exec @leat, 'gc' or POSIX::_exit(127) if !$gone;
$most = longest(sub { waitpid $gone, WNOHANG }, 120);
is tasks(), 0, 'leat gc removes all beside a runner that does not run';
cmp_ok $most, '<', 64, '... and moves the log into the database itself';

# a host on which each request is a process, and nothing else runs: each opens a database that nobody has open
$l->job(waits => "#!/bin/sh\ncat\n");
my $input = 'x' x 900_000;
($most, my $made) = (0, 0);
for (1 .. 30) {
    $made++ if $l->cgi(POST => '/api/tasks?type=waits', $input)->{status} == 202;
    $most = size() if size() > $most;
}
is $made, 30, '27 MB by requests that are processes';
cmp_ok $most, '<', 16 << 20, '... each of which takes the log up where the one before has left it';

is_deeply [$l->sql('PRAGMA integrity_check;')], [{integrity_check => 'ok'}], 'the database is whole';
done_testing;
