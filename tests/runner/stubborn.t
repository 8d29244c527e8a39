#!/usr/bin/perl
# One job does all that a job should not: it ignores SIGTERM, forks, floods every pipe, fills memory. Its
# neighbours in the same runner do not notice, and nothing is left of it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use List::Util qw(max sum);
use Test::More;
use Time::HiRes qw(sleep time);

my $l = Leatd->new(conf => "workers = 7\n[http]\nmax_result_bytes = 1000000\n[limits]\nevents_per_task = 5000\n");
my $dir = $l->dir;

# A neighbour says when it says something; the row says when it was written.
$l->job(neighbour => <<'EOS');
#!/usr/bin/perl
use Time::HiRes qw(sleep time);
open my $say, '>&=', 3 or die; $say->autoflush;
for (1 .. 120) { printf {$say} qq({"type":"page.tick","payload":{"at":%d}}\n), 1000 * time; sleep 0.05 }
print "ticked\n";
EOS
my $forks = <<'EOS';
#!/usr/bin/perl
# a tree of processes that ignore SIGTERM
$SIG{TERM} = $SIG{HUP} = 'IGNORE';
open my $list, '>>', "$ENV{HOME}/pids.$ENV{LEAT_TASK_ID}"; $list->autoflush;
sub tree { my ($n) = @_; syswrite $list, "$$\n"; return if !$n; for (1, 2) { if (!fork) { tree($n - 1); work(); exit } } }
EOS
# one of the tree floods descriptor 3 with 10 MB, all the others standard error
$l->job(floods => $forks . <<'EOS', "timeout = 3\nkill_grace = 1\n");
sub work { while (1) { print STDERR 'noise ' x 50, "\n" } }
if (!fork) {
    syswrite $list, "$$\n";
    open my $say, '>&=', 3;
    my $line = '{"type":"page.flood","payload":{"is":"' . 'x' x 1000 . "\"}}\n";
    for (1 .. 10_000) { print {$say} $line }
    syswrite $list, "said\n";
    sleep 1 while 1;
}
tree(3);
work();
EOS
$l->job(unending => $forks . "sub work { while (1) { print 'x' x 65536 } }\ntree(2);\nwork();\n", "timeout = 30\nkill_grace = 1\n");
$l->job(fat  => "#!/usr/bin/perl\nmy \$all = ''; while (1) { \$all .= 'x' x 1_000_000 }\n", "memory_mb = 150\ntimeout = 30\n");
$l->job(long => "#!/usr/bin/perl\nopen my \$say, '>&=', 3; print {\$say} 'x' x 1_000_000 for 1 .. 10; print \"long\\n\"\n", "timeout = 30\n");
# leaves folders beside and in one another, with more files than can be removed in passing
$l->job(litters => <<'EOS', "timeout = 30\n");
#!/usr/bin/perl
for my $folder (1 .. 40) { mkdir $folder or die; for (1 .. 50) { open my $file, '>', "$folder/$_" or die } }
for (1 .. 100) { mkdir 'deep' or die; chdir 'deep' or die }
print "littered\n";
EOS
# what leaves the group is beyond the runner: it cannot hold the task open, but it lives on
$l->job(leaves => <<'EOS', "timeout = 1\nkill_grace = 0.3\n");
#!/usr/bin/perl
$SIG{TERM} = 'IGNORE';
if (!fork) { exec 'setsid', 'sh', '-c', 'echo $$ >"$HOME/escaped"; exec sleep 1000' }
sleep 1 while 1;
EOS

my $home = "$dir/home";
mkdir $home or die;
my $runner = $l->start({%ENV, HOME => $home});
sub kilobytes { my ($what) = @_; return slurp("/proc/$runner/status") =~ /^$what:\s+(\d+)/m ? $1 : 0 }
sub alive { return slurp("/proc/$_[0]/stat") =~ /^\d+ \(.*\) [^ZX] /s }

# From what a neighbour said to its row, in ms: each event has the time in it at which the runner had it, so this
# looks at the log from outside, as a reader would.
sub delays {
    my (@ids) = @_;
    my (%seen, @delays);
    my $last = 0;
    my $in = join ', ', map {"'$_'"} @ids;
    wait_until {
        my @rows = $l->sql("SELECT seq, json_extract(payload, '\$.at') AS at FROM events WHERE seq > $last AND type = 'page.tick' AND task_id IN ($in) ORDER BY seq;");
        my $now = 1000 * time;
        push @delays, map { $now - $_->{at} } @rows;
        $last = $rows[-1]{seq} if @rows;
        my ($row) = $l->sql("SELECT count(*) AS n FROM tasks WHERE id IN ($in) AND status IN ('pending', 'running');");
        !$row->{n} && !@rows;
    } 50;
    return sort { $a <=> $b } @delays;
}
sub median { return $_[@_ / 2] }

# alone
my @alone = delays(map { $l->task('neighbour') } 1, 2);
is scalar(@alone), 240, 'two neighbours by themselves';
my ($usual, $before) = (median(@alone), kilobytes('VmRSS'));

# and beside the others
my %t = map { $_ => $l->task($_) } qw(floods unending fat long litters);
ok wait_until { $l->status($t{floods}) eq 'running' && -s "$home/pids.$t{floods}" }, 'a stubborn one runs';
my @beside = delays(map { $l->task('neighbour') } 1, 2);
is scalar(@beside), 240, 'the same beside it: all of what they said is there';
diag sprintf 'ms from said to seen: alone median %.0f, worst %.0f; beside %.0f, %.0f; runner %d KB before, at most %d KB',
    $usual, $alone[-1], median(@beside), $beside[-1], $before, kilobytes('VmHWM');
cmp_ok median(@beside), '<', 10 * $usual + 100, '... as quickly, nearly';
cmp_ok $beside[-1], '<', 20 * $alone[-1] + 1000, '... and none much later than the latest before';

my $row = $l->finished($t{floods}) // {};
is_deeply [@$row{qw(status error_code)}], ['timeout', 'timeout'], 'its time is up';
cmp_ok $row->{completed_at} - $row->{started_at}, '>=', 3800, '... SIGTERM does not end it';
cmp_ok $row->{completed_at} - $row->{started_at}, '<=', 12000, '... SIGKILL does, soon after its grace';
my @pids = grep {/^\d+$/} split /\n/, slurp("$home/pids.$t{floods}");
cmp_ok scalar(@pids), '>=', 10, 'it was ' . @pids . ' processes';
ok wait_until { !grep { alive($_) } @pids }, '... and none is left';
my ($count) = $l->sql("SELECT count(*) AS n, sum(type = 'log.append') AS log FROM events WHERE task_id = '$t{floods}';");
cmp_ok $count->{n}, '<', 5100, 'its log is bounded (events_per_task)';

$row = $l->finished($t{unending}) // {};
is_deeply [@$row{qw(status error_code)}], ['failed', 'result_too_large'], 'a result without end: result_too_large';
@pids = split /\n/, slurp("$home/pids.$t{unending}");
ok wait_until { !grep { alive($_) } @pids }, '... and nothing is left of ' . @pids . ' processes';
is $l->result($t{unending}), undef, '... nor of the result';
$row = $l->finished($t{fat}) // {};
is $row->{status}, 'failed', 'memory beyond memory_mb: failed';
like $row->{error_message}, qr/memory|signal/i, '... as its own program says';
$row = $l->finished($t{long}) // {};
is $row->{status}, 'completed', 'a line of 10 MB on descriptor 3: the job goes on';
like join("\n", $l->logged($t{long})), qr/cut off/, '... and the line was cut';

my $most = kilobytes('VmHWM');
cmp_ok $most - $before, '<', 64 * 1024, 'the runner took no more than 64 MB for all of it';

# what is more than can be removed in passing
my $litter = $l->task('litters');
is $l->finished($litter)->{status}, 'completed', 'a job left many files';
like $l->log, qr/"task_cleanup" task_id=$litter /, '... a process removed them';
ok wait_until { !$l->work }, '... and nothing is left of them';

# outside the group
my $left = $l->task('leaves');
is $l->finished($left)->{status}, 'timeout', 'a task of which a process left the group ends all the same';
chomp(my $escaped = slurp("$home/escaped"));
ok alive($escaped), '... that one is beyond the runner, and lives on';
kill KILL => $escaped;

is_deeply [$l->work], [], 'no working folder is left';
$l->job(quick => "#!/bin/sh\necho ok\n");
is $l->finished($l->task('quick'))->{status}, 'completed', 'the runner goes on';
is $l->stop($runner), 0, '... and stops';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
