# Web servers that take their time: answers that nobody reads wait for their reader, in little memory, and half a request
# for its other half; others do not wait.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Socket::UNIX;
use Leat;
use POSIX ();
use Socket qw(SOCK_STREAM);
use Test::More;
use Time::HiRes qw(time);
use Wire;

# Leat sends files itself only where no web server does.
my $l = Leat->start(processes => 1, conf => "[http]\npage_size_max = 200\ninline_result_bytes = 40000\n");
$l->job(big   => "#!/bin/sh\nhead -c 8000000 /dev/urandom | tee \"\$LEAT_FILES/big\"\n");
$l->job(text  => "#!/bin/sh\nhead -c 30000 /dev/zero | tr '\\0' x\n");

my $task = $l->reaches($l->http(POST => '/api/tasks', json => {type => 'big'})->json->{task_id});
my $result = $l->http(GET => "/api/tasks/$task->{id}/result")->body;
is length $result, 8_000_000, 'a result of 8 MB';
my @small = map { $l->http(POST => '/api/tasks', json => {type => 'text'})->json->{task_id} } 1 .. 40;
$l->reaches($_) for @small;

sub memory { return Leat::slurp('/proc/' . ($l->pids('web'))[0] . '/status') =~ /^VmRSS:\s+(\d+) kB$/m ? $1 / 1024 : die }

sub dial { return IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $l->state . '/leat.sock') || die "leat.sock: $!" }

# The bytes of a FastCGI request.
sub request {
    my ($target) = @_;
    my %params = (REQUEST_METHOD => 'GET', REQUEST_URI => $target, REMOTE_ADDR => '127.0.0.1', HTTP_HOST => 'localhost');
    my $pairs  = join '', map { Wire::pair_length(length) . Wire::pair_length(length $params{$_}) . $_ . $params{$_} } sort keys %params;
    return Wire::record(1, pack 'nCx5', 1, 0) . Wire::records(4, $pairs) . Wire::records(5, '');
}

# One whose answer is left where it is.
sub unread {
    my ($target) = @_;
    my $socket = dial();
    print {$socket} request($target);
    $socket->flush;
    return $socket;
}

# All of it: the head and the body.
sub rest {
    my ($socket) = @_;
    my ($in, $out, $at) = ('', '', 0);
    1 while sysread $socket, $in, 1 << 20, length $in;
    while ($at + 8 <= length $in) {
        my (undef, $type, undef, $size, $pad) = unpack 'CCnnC', substr $in, $at, 8;
        $out .= substr $in, $at + 8, $size if $type == 6;
        $at += 8 + $size + $pad;
    }
    return split /\r\n\r\n/, $out, 2;
}

sub longest_create {
    my $longest = 0;
    for (1 .. 10) {
        my $begin = time;
        my $r = $l->http(POST => '/api/tasks', json => {type => 'text', delay => 3600});
        return 'refused' if $r->status != 202;
        my $took = time - $begin;
        $longest = $took if $took > $longest;
    }
    return $longest;
}

for (
    ['a result', "/api/tasks/$task->{id}/result"],
    ['a file',   "/api/tasks/$task->{id}/files/big"],
    ['a page',   '/api/tasks?page_size=40&type=text&status=completed'],
) {
    my ($what, $target) = @$_;
    subtest "$what that is not read keeps nobody waiting" => sub {
        my $start   = memory();
        my @sockets = map { unread($target) } 1 .. 6;
        cmp_ok longest_create(), '<', 3, 'others are served at once';
        cmp_ok memory() - $start, '<', $what eq 'a page' ? 32 : 16, 'and little is kept';
        close shift @sockets;    # one leaves
        my @answers = map { [rest($_)] } @sockets;
        like $answers[0][0], qr/^Status: 200 OK/, 'those that read on';
        my ($length) = $answers[0][0] =~ /^Content-Length: (\d+)/m;
        cmp_ok $length, '>', 1_000_000, "have $length bytes";
        is_deeply [map { sha256_hex($_->[1]) } @answers], [(sha256_hex($answers[0][1])) x 5], 'all the same';
        is length $answers[0][1], $length, 'to the last';
        ok $answers[0][1] eq $result, 'which are right' if $what ne 'a page';
        is $l->http(GET => '/api/health')->status, 200, 'and it goes on';
    };
}

subtest 'a request that comes in drops keeps nobody waiting, and is answered' => sub {
    my ($bytes, $socket) = (request('/api/health'), dial());
    $socket->autoflush;
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        for (split //, substr $bytes, 0, 60) { print {$socket} $_; select undef, undef, undef, 0.1 }
        POSIX::_exit(0);
    }
    cmp_ok longest_create(), '<', 3, 'others are served at once';
    waitpid $pid, 0;
    print {$socket} substr $bytes, 60;
    my ($head) = rest($socket);
    like $head, qr/^Status: 200 OK/, 'the answer';
};

subtest 'who takes nothing for ten seconds is given up' => sub {
    my ($pid) = $l->pids('web');
    my $connections = sub { return scalar grep { (readlink // '') =~ /^socket:/ } glob "/proc/$pid/fd/*" };
    my $before = $connections->();
    my @stuck  = map { unread($_) } "/api/tasks/$task->{id}/result", '/api/tasks?page_size=40&type=text&status=completed';
    ok scalar(wait_until { $connections->() == $before + 2 } 10), 'they are there';
    ok scalar(wait_until { $connections->() == $before } 60), 'and gone';
    is_deeply [grep { length((rest($_))[1]) > 1_000_000 } @stuck], [], 'their answers have no end';
};

done_testing;
