#!/usr/bin/perl
# A host on which each request is a process, with room for 20 of them, and 60 pages that follow one group as
# EventSource does, only more impatient: who creates tasks is not kept waiting, and every page sees every event.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Leat;
use Socket qw(TCP_NODELAY IPPROTO_TCP);
use Test::More;
use Time::HiRes qw(time);

my ($POOL, $PAGES, $CREATES) = (20, 60, 100);
my $l = Leat->start(server => 'apache-cgi', conf => <<'CONF');
[stream]
cgi_streams = 12
retry_ms = 1000
heartbeat = 5
[runner]
workers = 1
CONF
$l->job(nothing => "#!/bin/sh\nexit 0\n");
# how slow this machine is at this moment
my @alone = sort { $a <=> $b } map { my $began = time; $l->http(POST => '/api/tasks', json => {type => 'nothing'}); time - $began } 1 .. 9;
my $bound = $alone[4] * 8 > 1 ? $alone[4] * 8 : 1;
my (undef, $back) = $l->change_site(
    sub { s/^(MaxRequestWorkers|ThreadsPerChild|ThreadLimit) .*/$1 $POOL/mg; s/^ServerLimit .*/ServerLimit 1/m }, 'apache.conf');
ok $back, "(Apache has $POOL threads)";

# ---- one loop for all connections ----------------------------------------------------------------

my $select = IO::Select->new;
my %on;    # by descriptor: what reads there

sub begin {
    my ($request, $who) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port, Timeout => 20) or die "connect: $@";
    syswrite $socket, $request;
    $select->add($socket);
    @$who{qw(socket in began)} = ($socket, '', time);
    $on{ fileno $socket } = $who;
}

sub finish {
    my ($who) = @_;
    $select->remove($who->{socket});
    delete $on{ fileno $who->{socket} };
    close $who->{socket};
}

# A page: what it has seen, and from where it goes on.
my @pages = map { {last => 'earliest', seen => {}, twice => 0, overloaded => 0, opened => 0, due => 0} } 1 .. $PAGES;

sub open_page {
    my ($page) = @_;
    $page->{due} = undef;
    begin("GET /api/groups/g/events?types=g.mark HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\nLast-Event-ID: $page->{last}\r\n\r\n", $page);
}

sub read_page {
    my ($page, $ended) = @_;
    $page->{retry} = $1 / 1000 if $page->{in} =~ /^retry: (\d+)$/m;
    while ($page->{in} =~ s/\A(.*?)\n\n//s) {
        my $frame = $1;
        $page->{last} = $1 if $frame =~ /^id: (\S+)$/m;
        $page->{twice}++ if $frame =~ /"m":(\d+)/ && $page->{seen}{$1}++;
        $page->{overloaded}++ if $frame =~ /"overloaded"/;
        $page->{opened}++ if $frame =~ /"stream\.connected"/;
    }
    return unless $ended;
    finish($page);
    $page->{due} = time + ($page->{retry} // 1);
}

my (@took, %status);

sub read_answer {
    my ($answer, $ended) = @_;
    return unless $ended;
    push @took, time - $answer->{began};
    $status{ $answer->{in} =~ m{^HTTP/\S+ (\d+)} ? $1 : 'none' }++;
    finish($answer);
}

sub turn {
    my ($seconds) = @_;
    for my $socket ($select->can_read($seconds)) {
        my $who = $on{ fileno $socket } or next;
        my $n = sysread $socket, $who->{in}, 65536, length $who->{in};
        $who->{page} ? read_page($who, !$n) : read_answer($who, !$n);
    }
    open_page($_) for grep { defined $_->{due} && $_->{due} <= time } @pages;
}
$_->{page} = 1 for @pages;

sub post {
    my ($path, $body) = @_;
    begin("POST $path HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " . length($body) . "\r\n\r\n$body", {});
}

# ---- what happens ---------------------------------------------------------------------------------

my $end = time + 20;
turn(0.05) until time > $end || (grep { $_->{opened} || $_->{overloaded} } @pages) == $PAGES;

# a task and an event at a time, not all at once
my ($marks, $next) = (0, time);
$end = time + 60 + $CREATES;
while (@took < 2 * $CREATES && time < $end) {
    turn(0.05);
    next if $marks == $CREATES || time < $next;
    post('/api/tasks', '{"type":"nothing"}');
    post('/api/groups/g/events', sprintf '{"type":"g.mark","payload":{"m":%d}}', $marks++);
    $next = time + 0.1;
}
@took = sort { $a <=> $b } @took;
is_deeply \%status, {202 => 2 * $CREATES}, 'all were accepted';
my $p99 = $took[ int 0.99 * @took ];
cmp_ok $p99, '<', $bound, sprintf 'p50 %.3f s, p99 %.3f s, at most %.3f s', $took[ @took / 2 ], $p99, $took[-1];

$end = time + 120;
turn(0.1) until time > $end || !grep { keys %{ $_->{seen} } < $CREATES } @pages;
is scalar(grep { keys %{ $_->{seen} } == $CREATES } @pages), $PAGES, 'every page has seen every event';
is scalar(grep { $_->{twice} } @pages), 0, 'none twice';
ok((grep { $_->{overloaded} } @pages) > 0, 'while there was not room for all of them');
note sprintf 'all was seen %.1f s after the last event; %d streams, %d refused', 120 - ($end - time), map {
    my $what = $_;
    my $n = 0;
    $n += $_->{$what} for @pages;
    $n
} qw(opened overloaded);
$l->stop;
done_testing;
