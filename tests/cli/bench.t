# What a bench of several contestants finds of Leat (tests/bench/leat.env, start), and what tests/bench/peers makes of its
# results. What is measured is no test's business.
use strict;
use warnings;
use Cwd qw(getcwd);
use Fcntl qw(:flock);
use File::Path qw(make_path);
use File::Spec;
use File::Temp ();
use Leat;
use Test::More;

my $dir = File::Temp::tempdir('leat-XXXXXX', DIR => '/tmp', CLEANUP => 1);

sub said { my $text = qx(@_ 2>&1); return ($? >> 8, $text) }

subtest 'peers: medians, spreads and ratios, the best first' => sub {
    my $bench = "$dir/a bench";
    make_path("$bench/contestants", "$bench/peers");
    Leat::write_file("$bench/contestants/fast.env", qq(RATE=2000 MODES="create hold"\n));
    Leat::write_file("$bench/contestants/slow.env", qq(RATE=500 MODES="create"\n));
    Leat::write_file("$bench/contestants/leat.env", "it is to be replaced\n");
    Leat::write_file("$bench/run.sh", <<'SH');
cd "$(dirname "$0")"; RUN=run B=data
while getopts r:m:o: f; do case $f in r) rounds=$OPTARG;; m) only=$OPTARG;; o) out=$OPTARG;; esac; done; shift $((OPTIND - 1))
for round in $(seq "$rounds"); do for name in "$@"; do
    LOAD_ARGS=() MODES="create hold" RATE=1000; . "contestants/$name.env" || exit 1
    for mode in $MODES; do
        [[ " $only " == *" $mode "* ]] || continue
        echo "{\"label\":\"$mode\",\"peer\":\"$name\",\"ok\":100,\"srv_cpu_s\":$RATE,\"rps\":$((RATE * round + ${#LOAD_ARGS[@]})),\"lat_p99\":4,\"non2xx\":$(case $name in slow*) echo 1 ;; *) echo 0 ;; esac)}" >>"$out"
    done
done; done
SH
    my ($status, $text) = said("env PEERS='$bench' ROUNDS=3 CONTESTANTS='slow fast' tests/bench/peers create");
    is $status, 0, 'it ends well' or diag $text;
    my %row = map { my @f = split / {2,}/; ("$f[0]|$f[1]|" . ($f[3] // '') => [@f[2, 4 .. 6]]) } grep { / {2}/ } split /\n/, $text;
    is_deeply $row{'create, 16 clients|a second|fast'}, ['2000 (1000-3000)', '4000 (2000-6000)', '0.50', '0.50'], 'half as much as one';
    is_deeply $row{'create, 16 clients|a second|slow'}, ['2000 (1000-3000)', '1000 (500-1500)', '2.00', '2.00'], 'twice as much as the other';
    is_deeply $row{'create, 16 clients|p99 ms|slow'}, ['4', '4', '1.00', '2.00'], 'what does not vary has no spread';
    is $row{'create, 64 clients|a second|fast'}[1], '4002 (2002-6002)', 'more clients are another option of the same contestant';
    like $text, qr/a second\s+2000.*fast.*\n.*a second\s+2000.*slow/, 'the best comes first';
    like $text, qr/^slow, create: non2xx 1, non2xx 1, non2xx 1$/m, 'what went wrong is said';
    is Leat::slurp("$bench/contestants/leat.env"), "it is to be replaced\n", 'nothing was written into the folder';

    my $lines = "$dir/lines";
    said("env PEERS='$bench' ROUNDS=1 RESULTS=$lines CONTESTANTS=fast tests/bench/peers create") for 1 .. 2;
    ($status, $text) = said("env PEERS='$bench' ROUNDS=0 RESULTS=$lines CONTESTANTS=fast tests/bench/peers create");
    is $status . ' ' . grep({/"peer":"leat"/} split /\n/, Leat::slurp($lines)), '0 2', 'results that are kept count again';
    like $text, qr/^create, 16 clients +a second +1000 +fast +2000 +0\.50/m, '... and can be shown alone';

    ($status, $text) = said("env PEERS='$bench' CONTESTANTS=none tests/bench/peers create");
    isnt $status, 0, 'a contestant that is not there ...';
    like $text, qr/no contestant none/, '... is named';
    ($status, $text) = said("env PEERS='$dir' tests/bench/peers");
    like $text, qr/no run\.sh/, 'a folder that is no bench is refused';
};

subtest 'start: a site of its own, whose jobs wait where nobody is to work' => sub {
    my ($run, $data, $port) = ("$dir/run", "$dir/data", Leat::free_port());
    # from elsewhere, as a bench does; a build that is named as `make` names it is the tree's
    my ($tree, $build) = (getcwd(), File::Spec->abs2rel($ENV{BUILD} || 'build'));
    my ($status, $text) = said("cd $dir && env BUILD=$build RUN=$run DATA=$data PORT=$port NOWORKER=1 BENCH_EMIT='echo hello' $tree/tests/bench/start");
    is $status, 0, 'it starts' or diag $text;
    my ($pid, $since) = Leat::slurp("$run/leat.pids") =~ /^(\d+) (\d+)$/ or return fail 'its pid file';
    is $since, (split ' ', Leat::slurp("/proc/$pid/stat") =~ s/.*\) //sr)[19], 'its pid with the time of its start';
    my $l = bless {port => $port, dir => $dir, owner => 0}, 'Leat';
    my %type = map { $_->{type} => $_ } @{ $l->http(GET => '/api/types')->json->{types} };
    is join(' ', map {"$_=" . ($type{$_}{paused} ? 'paused' : 'runs')} sort keys %type), 'emit=paused hold=paused noop=paused spawn=paused',
        'no type is run';
    $l->http(POST => '/api/types/emit/resume');
    my $id = $l->http(POST => '/api/tasks', json => {type => 'emit'})->json->{task_id};
    is $l->reaches($id)->{status}, 'completed', 'a type that is let go is';
    my @said = grep {/log\.append/} split /\n/, $l->http(GET => "/api/tasks/$id/events", headers => {Accept => 'application/x-ndjson'})->body;
    like "@said", qr/hello/, '... and says what it was told to';
    kill TERM => $pid;
    open my $lock, '+<', "$data/state/lock" or return fail 'its lock';
    ok wait_until(sub { flock $lock, LOCK_EX | LOCK_NB }, 40), 'TERM ends it, and all of its processes';
};

done_testing;
