#!/usr/bin/perl
# The write-ahead log stays small however much is written, while a thousand streams are open: none of them
# holds a snapshot while it waits.
use strict;
use warnings;
use ByHand;
use IPC::Open2 qw(open2);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use Leat;
use Socket qw(pack_sockaddr_in inet_aton SOCK_STREAM AF_INET);
use Test::More;
use Time::HiRes qw(sleep time);

my ($streams, $rounds, $events) = (1000, 80, 1500);
my $l = Leat->start(conf => "[stream]\nstream_seconds = 300\nheartbeat = 2\n[limits]\nstreams_per_owner = 0\n");
my $wal = $l->state . '/leat.db-wal';

sub megabytes { return (-s $wal) / 1048576 }

# Streams of a task that waits, of groups, and of everything; each is read as far as its head.
my $idle = by_hand($l, group => 'idle');
my @sockets;
for my $n (1 .. $streams) {
    my $path = $n % 3 ? "/api/groups/quiet-$n/events" : $idle->path('/events');
    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
    connect $socket, pack_sockaddr_in($l->port, inet_aton('127.0.0.1')) or die "connect: $!";
    syswrite $socket, "GET $path HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n" or die "write: $!";
    push @sockets, $socket;
}
my $connected = 0;
for my $socket (@sockets) {
    my $in = '';
    my $poll = IO::Poll->new;
    $poll->mask($socket => POLLIN);
    while ($in !~ /stream\.connected/) {
        last unless $poll->poll(30) > 0 && sysread $socket, $in, 65536, length $in;
    }
    $connected++ if $in =~ /stream\.connected/;
}
is $connected, $streams, "$streams streams are open";

# A task that says much beside a runner that has work of its own, and then beside one that has none.
my $talks = by_hand($l, group => 'loud');
$talks->run;
my ($worst, $written) = (0, 0);
for my $round (1 .. $rounds) {
    $talks->say('doc.created', {text => 'x' x 1000}, $events);
    $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => "a b $round"}) if $round <= $rounds / 2 && $round % 5 == 0;
    $worst = megabytes() if megabytes() > $worst;
    $written += $events;
}
$talks->finish;
my $database = (-s $l->state . '/leat.db') / 1048576;
cmp_ok $database, '>', 50, sprintf '%d events, %.0f MB of database', $written, $database;
cmp_ok $worst, '<', 64, sprintf 'and never more than %.0f MB of write-ahead log', $worst;

# they are still there, and hear what happens
my $alive = grep {
    my $poll = IO::Poll->new;
    $poll->mask($_ => POLLIN);
    $poll->poll(5) > 0 && sysread $_, my $in, 65536;
} @sockets;
is $alive, $streams, 'every stream lives';
close $_ for @sockets;

# Whoever commits keeps it short, where no runner does.
my $runner = $l->stop_runner;
($worst, $written) = (0, 0);
my $large = {type => 'doc.created', payload => {text => 'x' x 900_000}};
for (1 .. 160) {
    $written++ if $l->http(POST => '/api/groups/large/events', json => $large)->status == 202;
    $worst = megabytes() if megabytes() > $worst;
}
kill CONT => $runner;
is $written, 160, '144 MB without a runner';
cmp_ok $worst, '<', 64, sprintf '... and never more than %.0f MB of write-ahead log', $worst;

# Who keeps it from being cut is named.
sub readers { return $l->http(GET => '/api/health')->json->{log_readers} }
is readers(), undef, 'nobody holds it up';
my $reader = open2(my $from, my $to, qw(sqlite3 -readonly -batch -init /dev/null), $l->state . '/leat.db');
print {$to} "BEGIN; SELECT 'reads ' || count(*) FROM tasks;\n";
$to->flush;
like scalar(readline $from), qr/^reads \d+$/, 'a program reads in a transaction';
$l->http(POST => '/api/groups/large/events', json => $large) for 1 .. 24;
my $named = readers() // [];
is_deeply [map { $_->{pid} } @$named], [$reader], '... and is named by health once the log is long because of it';
cmp_ok $named->[0]{bytes} // 0, '>=', 16 << 20, '... with how much that is';
like $l->http(GET => '/api/metrics')->body, qr/^leat_wal_held_bytes\{pid="$reader"\} [1-9]\d{7,}$/m, '... and by metrics';
like $l->leat('check')->{out}, qr/^problem +log +process $reader keeps \d+ MiB/m, '... and by leat check';
close $to;
waitpid $reader, 0;
ok wait_until(sub { !readers() }, 30), 'until it has ended';
$l->stop;
done_testing;
