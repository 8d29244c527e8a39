# Bodies that are too large for memory: they go to a file and into the database by portions, cost nobody else anything,
# and whatever becomes of them in the middle, nothing of them stays.
use strict;
use warnings;
use ByHand qw(sql);
use Digest::SHA qw(sha256_hex);
use Fcntl qw(:flock);
use IO::Socket::INET;
use JSON::PP ();
use Leat;
use Test::More;
use Time::HiRes qw(time);
use Wire;

my $MB = 1_000_000;
my $l  = Leat->start;
$l->job(ok      => "#!/bin/sh\necho 1\n");
$l->job(capped  => "#!/bin/sh\nexec cat\n", "max_input_bytes = 400000\n");
$l->job(waits   => "#!/bin/sh\nexec sleep 600\n");

my $zeros = "$l->{dir}/zeros";
sub filled {
    my ($path, $bytes) = @_;
    open my $in, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    read($in, my $data, $bytes) == $bytes or die '/dev/urandom is short';
    Leat::write_file($path, $data);
    return sha256_hex($data);
}

sub count { return (sql($l, "SELECT count(*) FROM $_[0]"))[0][0] }

# Files without a name that leat.fcgi has open in the folder of the database.
sub spools {
    my $state = $l->state;
    return scalar grep { (readlink // '') =~ m{^\Q$state\E/[^/]+ \(deleted\)$} && !/-shm/ }
        map { glob "/proc/$_/fd/*" } $l->pids('web');
}

sub memory {
    my $sum = 0;
    Leat::slurp("/proc/$_/status") =~ /^VmRSS:\s+(\d+) kB$/m and $sum += $1 for $l->pids('web');
    return $sum / 1024;
}

# What a request that sends only its head is told.
sub told {
    my ($target, %headers) = @_;
    my $head = "POST $target HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    $head .= "$_: $headers{$_}\r\n" for sort keys %headers;
    return Wire::raw($l->port, "$head\r\n", 15);
}

subtest 'eight uploads of sixty megabytes arrive byte for byte, in little memory, and nobody waits for them' => sub {
    my $file  = "$l->{dir}/random";
    my $sum   = filled($file, 60 * $MB);
    my $start = memory();
    my @pids;
    for my $i (1 .. 8) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            open STDOUT, '>', "$l->{dir}/answer$i" or die;
            exec qw(curl -q -s -S --noproxy * -H Expect: --max-time 100 --data-binary), "\@$file",
                $l->url . '/api/tasks?type=sha256' or POSIX::_exit(127);
        }
        push @pids, $pid;
    }
    my ($most, $longest, $creates, $spools, $refused) = (0, 0, 0, 0, 0);
    my $left = @pids;
    while ($left) {
        my $begin = time;
        $refused++ if $l->http(POST => '/api/tasks', json => {type => 'ok'})->status != 202;
        my $took = time - $begin;
        $longest = $took if $took > $longest;
        $creates++;
        my ($now, $open) = (memory(), spools());
        $most   = $now  if $now > $most;
        $spools = $open if $open > $spools;
        $left-- while $left && waitpid(-1, POSIX::WNOHANG()) > 0;
    }
    cmp_ok $spools, '>', 1, 'they lay in files';
    cmp_ok $most - $start, '<', 64, 'in less than 64 MiB of all processes together';
    is $refused, 0, "all $creates others were made";
    cmp_ok $longest, '<', 5, 'and soon';
    diag sprintf 'memory +%.1f MiB, %d small creates, the longest %.3f s', $most - $start, $creates, $longest;
    for my $i (1 .. 8) {
        my $answer = Leat::decode(Leat::slurp("$l->{dir}/answer$i"));
        my $task = $l->reaches($answer->{task_id} // 'none');
        is $task->{result}, $sum, "the sum of $i";
    }
    is spools(), 0, 'no file is left';
    is count('uploads WHERE task IS NULL'), 0, 'and no portion of no task';
};

subtest 'what can be refused on the parameters is, before any of the body comes' => sub {
    my @large = ('Content-Length' => 60 * $MB);
    is told('/api/tasks?type=none', @large)->status, 422, 'an unknown type';
    is told('/api/tasks?type=ok&priority=1000', @large)->status, 422, 'a value that is none';
    is told('/api/tasks?type=capped', @large)->json->{code}, 'body_too_large', 'more than max_input_bytes of the type';
    is told('/api/tasks?type=ok', 'Content-Length' => 68 * $MB)->status, 413, 'more than max_raw_bytes';
    is told('/api/tasks', 'Content-Type' => 'application/json', 'Content-Length' => 2 * $MB)->status, 413, 'more than max_body_bytes';
    is told('/api/tasks?type=ok', @large, Authorization => 'Bearer nobody')->status, 401, 'an unknown credential';
    is spools(), 0, 'nothing was kept';
};

subtest 'a client that leaves in the middle leaves nothing' => sub {
    my $tasks = count('tasks');
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) or die "connect: $@";
    print {$socket} "POST /api/tasks?type=sha256 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\n", 'x' x 2_000_000;
    $socket->flush;
    ok scalar(wait_until { spools() == 1 } 10), 'its bytes lie in a file';
    close $socket;
    ok scalar(wait_until { spools() == 0 } 10), 'which is gone with it';
    is count('tasks'), $tasks, 'no task';
    is count('uploads WHERE task IS NULL'), 0, 'no upload';
};

subtest 'a process that is killed among the portions leaves nothing that is seen, or that stays' => sub {
    my $tasks = count('tasks');
    my $file  = "$l->{dir}/random";
    open my $lock, '+<', $l->state . '/leat.db.lock' or die "the write lock: $!";
    my $mid;
    for my $try (1 .. 5) {
        my $pid = fork // die "fork: $!";
        if (!$pid) {
            open STDOUT, '>', '/dev/null' or die;
            exec qw(curl -q -s -S --noproxy * -H Expect: --max-time 60 --data-binary), "\@$file",
                $l->url . '/api/tasks?type=sha256' or POSIX::_exit(127);
        }
        my $ended;
        wait_until {
            flock $lock, LOCK_EX or die "flock: $!";
            my $stored = qx(sqlite3 -readonly "@{[$l->state]}/leat.db" "SELECT stored FROM uploads WHERE task IS NULL AND stored BETWEEN 1 AND bytes - 1" 2>/dev/null);
            kill KILL => $l->pids('web') if $mid = $stored =~ /^\d+$/;
            flock $lock, LOCK_UN;
            $ended = waitpid($pid, POSIX::WNOHANG()) == $pid;
            $mid || $ended
        } 30;
        waitpid $pid, 0 unless $ended;
        last if $mid;
        $tasks = count('tasks');
    }
    ok $mid, 'it was killed there';
    ok scalar(wait_until { $l->http(GET => '/api/health')->status == 200 } 20), 'others answer';
    is count('tasks'), $tasks, 'there is no task';
    is count('uploads WHERE task IS NULL'), 1, 'what was stored waits for somebody to go on with it';
    my $said = $l->leat('gc', '--json');
    is Leat::decode($said->{out})->{uploads}, 0, 'for a minute it is left alone';
    sql($l, 'UPDATE uploads SET touched_at = touched_at - 60000 WHERE task IS NULL');
    $said = $l->leat('gc', '--json');
    is Leat::decode($said->{out})->{uploads}, 1, 'then retention removes it';
    is count('uploads WHERE task IS NULL'), 0, 'the upload';
    is count('portions WHERE upload NOT IN (SELECT id FROM uploads)'), 0, 'and its portions';
};

subtest 'a key, and the bytes of an owner, are those of the whole' => sub {
    my $file = "$l->{dir}/some";
    my $sum  = filled($file, 3 * $MB);
    my @ask  = (POST => '/api/tasks?type=sha256', headers => ['Idempotency-Key' => 'large']);
    my $one  = $l->http(@ask, body_file => $file);
    my $same = $l->http(@ask, body_file => $file);
    is $one->status, 202, 'made';
    is $same->json->{task_id}, $one->json->{task_id}, 'the same key and body: the same task';
    is $l->reaches($one->json->{task_id})->{result}, $sum, 'with its input';
    filled($file, 3 * $MB);
    is $l->http(@ask, body_file => $file)->status, 422, 'another body: refused';
    is count('uploads WHERE task IS NULL'), 0, 'no second input was stored';
};

subtest 'a JSON request is as large as max_body_bytes' => sub {
    my $text = join ' ', 1 .. 120_000;
    my $r = $l->http(POST => '/api/tasks', json => {type => 'sha256', input => $text});
    is $r->status, 202, length($text) . ' bytes of text';
    is $l->reaches($r->json->{task_id})->{result}, sha256_hex($text), 'arrive';
};

subtest 'of many lines with large inputs all are made, or none and nothing is left' => sub {
    my @texts = map { "$_ " x 60_000 } 'a' .. 'l';
    my $lines = join '', map { JSON::PP->new->encode({type => 'sha256', input => $_}) . "\n" } @texts;
    my @how   = (headers => ['Content-Type' => 'application/x-ndjson', 'Idempotency-Key' => 'lines'], body => $lines);
    my $r     = $l->http(POST => '/api/tasks', @how);
    is $r->status, 202, length($lines) . ' bytes of lines';
    my @ids = map { $_->{task_id} } @{ $r->json->{tasks} };
    is_deeply [map { $l->reaches($_)->{result} } @ids], [map { sha256_hex($_) } @texts], 'each has its own';
    is_deeply [map { $_->{task_id} } @{ $l->http(POST => '/api/tasks', @how)->json->{tasks} }], \@ids, 'the same key: the same tasks';

    my $tasks = count('tasks');
    for my $wrong ([qq({"type":"none"}\n), 422, 13], ['{', 400, 13], [('x' x 1_100_000) . "\n", 413, 13]) {
        my $refused = $l->http(POST => '/api/tasks', headers => ['Content-Type' => 'application/x-ndjson'], body => $lines . $wrong->[0]);
        is_deeply [$refused->status, $refused->json->{line}], [@$wrong[1, 2]], 'the last line is refused';
    }
    is count('tasks'), $tasks, 'and none was made';
    ok scalar(wait_until { count('uploads WHERE task IS NULL AND touched_at > 0') == 0 } 10), 'what was stored is given up';
};

subtest 'the space of a deleted input is there for the next one at once' => sub {
    my $body = 'y' x 3_000_000;
    my $id = $l->http(POST => '/api/tasks?type=sha256', body => $body)->json->{task_id};
    is $l->reaches($id)->{status}, 'completed', 'a large input';
    is $l->http(DELETE => "/api/tasks/$id")->status, 204, '... whose task is deleted';
    ok scalar(wait_until { count('uploads WHERE task IS NULL') == 0 } 30), '... goes';
    is count('portions WHERE upload NOT IN (SELECT id FROM uploads)'), 0, '... whole';
};

done_testing;
