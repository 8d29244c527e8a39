#!/usr/bin/perl
# What a job may say: events_per_task and event_bytes_per_task of it, and always how it goes on and ends.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "[limits]\nevents_per_task = 20\n");
$l->job(chatter => <<'EOS', "attempts = 2\nbackoff = 0\n");
#!/bin/sh
read -r kind count status
i=0
while [ $i -lt $count ]; do
    i=$((i + 1))
    case $kind in
    log) echo "line $i" >&2 ;;
    event) echo "{\"type\":\"doc.created\",\"payload\":{\"n\":$i}}" >&3 ;;
    progress) echo "$i" >&3; sleep 0.11 ;;
    esac
done
echo done
exit $status
EOS

my $enough = 'warn: the task has 20 events: nothing more that its job says is written (events_per_task)';
sub owned { my ($row) = $l->sql('SELECT sum(bytes) AS bytes FROM owners;'); return $row->{bytes} }
sub types { return map { $_->{type} } $l->events($_[0]) }

# created and running come before what it says, completed after
my %t = map { ($_->[0] => $l->task('chatter', input => "$_->[1] 0\n")) } ['just enough', 'event 18'], ['one more', 'event 19'],
    ['many', 'event 3000'], ['log', 'log 3000'], ['progress', 'progress 30'], ['little', 'log 1'];
$t{again} = $l->task('chatter', input => "log 12 75\n", max_attempts => 3);
is $l->once, 0, 'all run to their end';

is join(' ', types($t{'just enough'})), join(' ', qw(task.created task.status_changed), ('doc.created') x 18, 'task.status_changed'),
    'up to the limit everything is written';
is join(' ', types($t{$_})),
    join(' ', qw(task.created task.status_changed), ('doc.created') x 18, qw(log.append task.status_changed)),
    "$_: then one warning, and the end"
    for 'one more', 'many';
is_deeply [$l->logged($t{many})], [$enough], 'the warning says so';
is $l->result($t{many}), "done\n", 'the result is there';
is $l->status($t{many}), 'completed', '... of a task that completed';

is_deeply [$l->logged($t{log})], [(map { "info: line $_" } 1 .. 18), $enough], 'lines of log';
my @progress = $l->events($t{progress}, 'task.progress');
is scalar @progress, 30, 'progress goes on';
is_deeply [$l->logged($t{progress})], [], '... without a warning';
my $row = $l->row($t{progress});
is "$row->{status} $row->{progress}", 'completed 100', '... and an end that sets it';

is $l->path($t{again}), 'pending running pending running pending running failed', 'every change of status is written';
is_deeply [$l->logged($t{again})], [(map { "info: line $_" } 1 .. 12, 1 .. 4), $enough], 'what earlier attempts said counts; it is said once';
is_deeply [$l->logged($t{little})], ['info: line 1'], 'who says little is not warned';

$l->conf("[limits]\nevents_per_task = 0\n");
my $free = $l->task('chatter', input => "event 200 0\n");
is $l->once, 0, 'without a limit';
is scalar(() = $l->events($free, 'doc.created')), 200, '... everything is written';

# Bytes: a line of the log is some 1000 here, and 200 beside it.
$l->job(flood => <<'EOS');
#!/bin/sh
line=$(printf '%01000d' 0)
i=0
while [ $i -lt 3000 ]; do
    i=$((i + 1))
    echo "$line" >&2
done
echo 100 said it all >&3
echo done
EOS
$l->conf("[limits]\nevent_bytes_per_task = 100000\n");
my $flood = $l->task('flood');
is $l->once, 0, 'a job that floods';
my @lines = $l->logged($flood);
cmp_ok scalar @lines, '<', 90, 'its log is bounded by bytes';
cmp_ok scalar @lines, '>', 70, '... and not before';

# A flood on one descriptor does not drown what another one says.
$l->job(drowns => <<'EOS');
#!/bin/sh
yes 'all work and no play' >&2 &
for i in 1 2 3 4 5 6 7 8 9 10; do
    sleep 0.3
    echo "{\"progress\":$i,\"message\":\"step $i\"}" >&3
done
kill $!
EOS
my $drowns = $l->task('drowns');
is $l->once, 0, 'a job that floods one descriptor and reports on another';
cmp_ok scalar(() = $l->events($drowns, 'task.progress')), '>=', 5, 'its reports are written while the flood goes on';
is $lines[-1],
    'warn: the log of the task takes 100000 bytes: nothing more that its job says is written (event_bytes_per_task)',
    '... with one warning at the end';
is scalar(grep { /^warn/ } @lines), 1, '... and only that one';
is $l->row($flood)->{message}, 'said it all', 'progress goes on';
is $l->result($flood), "done\n", '... and the result';
cmp_ok owned(), '<', 400_000, 'the owner has no more than that';

$l->conf("[limits]\nbytes_per_owner = " . (owned() + 50_000) . "\n");
my $full = $l->task('flood');
is $l->once, 0, 'a job whose owner is full';
@lines = $l->logged($full);
cmp_ok scalar @lines, '<', 60, 'its log is bounded too';
like $lines[-1], qr/^warn: what its owner has takes \d+ bytes: .*\(bytes_per_owner\)$/, '... and says so';
is $l->result($full), "done\n", '... and it ends as it would';

$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
