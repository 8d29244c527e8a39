#!/usr/bin/perl
# What a job is given besides its pipes, and what is left of it.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new;
$l->job(env => "#!/bin/sh\ncat /proc/\$\$/environ | tr '\\0' '\\n'\n");
$l->job(fds => "#!/bin/sh\nls -l /proc/\$\$/fd\n");
$l->job(folder => <<'EOS');
#!/bin/sh
pwd
ls -A | wc -l
stat -c %a .
mkdir -p deep/er && echo x >deep/er/file && ln -s /etc/passwd link && chmod 0 deep
EOS
$l->job(status => "#!/bin/sh\ngrep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/\$\$/status | tr -d '\\t'\nulimit -n\nulimit -c >/dev/null\n");
$l->job(limited => "#!/bin/sh\nulimit -v\nulimit -t\nulimit -f\nnice\n", "memory_mb = 512\ncpu_seconds = 9\nfile_mb = 3\nnice = 5\n");
$l->job(parent => <<'EOS');
#!/bin/sh
sleep 1000 &
echo $! >"$HOME/child"
(sleep 1000 & echo $! >"$HOME/grandchild")
echo parent
EOS
$l->job(trails => "#!/bin/sh\n(sleep 0.3; echo late; echo late >&2) &\necho early\n");
$l->job(holder => "#!/bin/sh\nsetsid sh -c 'echo \$\$ >\"\$HOME/escaped\"; exec sleep 1000' &\nwhile ! [ -s \"\$HOME/escaped\" ]; do sleep 0.01; done\necho done\n");
$l->job(bare => "#!/bin/sh\n:\n");
$l->job(busy => "#!/bin/sh\nwhile ! [ -e \"\$HOME/enough\" ]; do sleep 0.05; done\n");
$l->job(gusher => "#!/bin/sh\nsetsid yes \$(printf %0500d) >&2 &\nsleep 0.1\n");

my $home = $l->dir . '/home';
mkdir $home;
my %t;
$t{env} = $l->task('env', input => '{}', content_type => 'application/json', owner => "o'brien", group => "g\n1", max_attempts => 7);
$t{bare} = $l->task('env');
$t{$_} = $l->task($_) for qw(fds folder status limited parent trails holder gusher);
my $runner = $l->start({PATH => $ENV{PATH}, TZ => 'Europe/Vienna', HOME => $home, SECRET => 'x', LEAT_CONF => '/x',
    map { $_ => $ENV{$_} } grep {/SAN_OPTIONS/} keys %ENV});
$l->finished($_) for values %t;

my %env = map { /^([^=]*)=(.*)/s ? ($1, $2) : () } split /\n(?=[A-Z_]+=)/, $l->result($t{env}) =~ s/\n\z//r;
is_deeply \%env, {
    PATH => $ENV{PATH}, LANG => 'C.UTF-8', TZ => 'Europe/Vienna', HOME => $home,
    LEAT_TASK_ID => $t{env}, LEAT_TYPE => 'env', LEAT_ATTEMPT => 1, LEAT_MAX_ATTEMPTS => 7,
    LEAT_GROUP => "g\n1", LEAT_OWNER => "o'brien", LEAT_REQUEST_ID => 'request-1',
    LEAT_CONTENT_TYPE => 'application/json', LEAT_DEADLINE => $env{LEAT_DEADLINE},
    LEAT_EVENTS => $l->dir . "/work/$t{env}.1.events",
    LEAT_FILES => $l->dir . "/work/$t{env}.1.files",
    LEAT_CONTEXT_FILE => $l->dir . "/work/$t{env}.1.context",
    LEAT_CHECKPOINT_FILE => $l->dir . "/work/$t{env}.1.checkpoint",
}, 'the environment is cleared, then what the contract lists';
like $l->result($t{bare}), qr/^LEAT_GROUP=\nLEAT_OWNER=alice\nLEAT_REQUEST_ID=request-1\nLEAT_CONTENT_TYPE=\n/m,
    'what a task has not is set but empty';
is_deeply [sort { ($a =~ /(\d+)/)[0] <=> ($b =~ /(\d+)/)[0] } map { / (\d+) -> (.*)/ ? "$1 " . $2 =~ s/:.*//r : () } grep { !/\.fds/ } split /\n/, $l->result($t{fds})],
    ['0 /dev/null', '1 pipe', '2 pipe', '3 ' . $l->dir . "/work/$t{fds}.1.events", '10 ' . $l->dir . '/jobs/fds'],
    'descriptors 0 to 3, and the script that the shell itself has opened';
is $l->result($t{folder}), $l->dir . "/work/$t{folder}.1\n0\n700\n", 'the working folder is private and empty';
is_deeply [$l->work], [], '... and removed with all that is in it';
my ($soft) = `sh -c 'ulimit -n'`;
# glibc keeps 32 and 33 to itself: who descends from its posix_spawn, as from make, has them ignored.
is $l->result($t{status}) =~ s/^SigIgn:0000000180000000$/SigIgn:0000000000000000/mr, "SigBlk:0000000000000000\nSigIgn:0000000000000000\nNoNewPrivs:1\n$soft",
    'no new privileges, no signal blocked or ignored, the usual limit of open files';
is $l->result($t{limited}), "524288\n9\n6144\n5\n", "the type's limits count";

sub alive { return Leatd::slurp("/proc/$_[0]/stat") =~ /^\d+ \(.*\) [^ZX] /s }
is $l->result($t{parent}), "parent\n", 'a task ends when its process exits';
chomp(my @left = map { Leatd::slurp("$home/$_") } qw(child grandchild));
is scalar(@left), 2, '... though it left a child and a grandchild';
ok wait_until { !grep { alive($_) } @left }, '... and both are killed';
is_deeply [$l->result($t{trails}), [$l->logged($t{trails})]], ["early\n", []], 'what would be said later is not waited for';
my $row = $l->row($t{holder});
cmp_ok $row->{completed_at} - $row->{started_at}, '<', 5000, 'one that left its group cannot hold the task open';
is $l->row($t{gusher})->{status}, 'completed', '... nor one that goes on writing: only what is in the pipe then is read';
chomp(my $escaped = Leatd::slurp("$home/escaped"));
like readlink("/proc/$escaped/cwd"), qr/ \(deleted\)$/, '... and its folder is not handed on to another job';
kill KILL => $escaped;
ok wait_until { !-e "/proc/$escaped" }, '... and when it ends, notice is taken';

# folders that are as they were made are handed on while more tasks may come
sub spares { return scalar(() = glob $l->dir . '/work/.spare-*') }
my $busy = $l->task('busy');
$l->finished($l->task('bare')) for 1, 2;
is spares(), 3, 'a folder that nobody has changed is handed on, with that of its files and its pipe';
Leatd::spew("$home/enough", '');
$l->finished($busy);
ok wait_until { !spares() }, '... until there is nothing to do';
is $l->stop($runner), 0, 'the runner stops';

# as it is found
my $again = $l->task('env');
my $other = $l->start({map { $_ => $ENV{$_} } grep {/SAN_OPTIONS/} keys %ENV});
$l->finished($again);
my %default = map {/^([^=]*)=(.*)/} split /\n/, $l->result($again);
is_deeply [@default{qw(PATH LANG HOME TZ)}],
    ['/usr/local/bin:/usr/bin:/bin', 'C.UTF-8', $l->dir . "/work/$again.1", undef], 'defaults where the runner itself has none';
is $l->stop($other), 0, 'the runner stops';
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
