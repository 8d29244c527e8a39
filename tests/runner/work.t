#!/usr/bin/perl
# [runner] work: working folders somewhere else, on another filesystem where there is one.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use File::Temp qw(tempdir);
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $place = tempdir('leat-work-XXXXXX', DIR => -w '/dev/shm' ? '/dev/shm' : '/tmp', CLEANUP => 1);
my $l     = Leatd->new(conf => "work = $place\n");
my $dir   = $l->dir;
diag "$place is on the filesystem of the database" if (stat $place)[0] == (stat $dir)[0];

$l->job(files => <<'EOS');
#!/bin/sh
pwd
echo 50 >"$LEAT_EVENTS"
head -c 3000000 /dev/zero | tr '\0' x >"$LEAT_FILES/large.txt"
echo small >"$LEAT_FILES/small.csv"
ln -s /etc/passwd "$LEAT_FILES/link"
EOS
$l->job(waits => "#!/bin/sh\n: >left\necho 1 >&3\nuntil [ -e $dir/go ]; do sleep 0.02; done\n", "backoff = 0\n");

my $task = $l->task('files');
is $l->once, 0, 'a job with files';
my $row = $l->row($task);
is $row->{status}, 'completed', 'it completes';
like $l->result($task), qr{^\Q$place\E/leat-[0-9a-f]{16}/}, 'it worked in the folder that the site chose';
is scalar($l->events($task, 'task.progress')), 1, '... where its pipe is';
is_deeply [map { "$_->{payload}{name} $_->{payload}{bytes}" } $l->events($task, 'file.created')],
    ['large.txt 3000000', 'small.csv 6'], 'its files are kept';
is sha256_hex(slurp("$dir/files/$task/large.txt")), sha256_hex('x' x 3000000), '... byte for byte';
is sprintf('%o', (stat "$dir/files/$task/small.csv")[2] & 0777), '640', '... for the web server to read';
is_deeply [grep {/link/} $l->logged($task)], ['warn: file "link" is not kept: it is a symbolic link'], '... and no link';
is_deeply [glob("$place/*/*"), $l->work], [], 'nothing is left, here or there';

# what a killed runner left is removed by the next
my $held = $l->task('waits');
my $pid  = $l->start;
ok wait_until { $l->row($held)->{progress} == 1 }, 'a task runs';
my @left = glob "$place/*/*/left";
is scalar @left, 1, '... and leaves something in its folder';
kill KILL => $pid;
$l->ended($pid);
Leatd::spew("$dir/go", '');
is $l->once, 0, 'its runner is killed, another one comes';
is $l->status($held), 'completed', 'the task is done';
is_deeply [glob("$place/*/*")], [], '... and nothing of it is left';

$l->conf("work = $dir/missing\n");
isnt $l->ended($l->launch), 0, 'a folder that is not there is refused';
like $l->log, qr{\[runner\] work: \Q$dir\E/missing}, '... by name';
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
