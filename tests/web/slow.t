#!/usr/bin/perl
# Readers that stop reading, or go without a word, and a process that has no descriptors left: they
# harm nobody else.
use strict;
use warnings;
use ByHand;
use IO::Select;
use IO::Socket::INET;
use Leat;
use Socket qw(SOL_SOCKET SO_RCVBUF pack_sockaddr_in inet_aton);
use Test::More;
use Time::HiRes qw(sleep time);

my $l = Leat->start(processes => 1, conf => "[stream]\nheartbeat = 60\nstream_seconds = 120\n[runner]\nworkers = 2\n");
# without kept connections, so that a descriptor is a client
my (undef, $back) = $l->change_site(sub { s/^\s*keepalive .*\n//m }, 'leat-upstream.conf');
ok $back, '(the web server is back)';

# ---- readers that can be slow --------------------------------------------------------------------

# A stream over HTTP/1.0, so that what comes is the body itself, through a small receive buffer.
sub reader {
    my ($path, $accept) = @_;
    my $socket = IO::Socket::INET->new(Proto => 'tcp') or die "socket: $@";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 131072 or die "setsockopt: $!";
    connect $socket, pack_sockaddr_in($l->port, inet_aton('127.0.0.1')) or die "connect: $!";
    $accept //= 'text/event-stream';
    syswrite $socket, "GET $path HTTP/1.0\r\nHost: localhost\r\nAccept: $accept\r\n\r\n";
    return bless {socket => $socket, in => '', eof => 0}, 'Reader';
}

# Reads what comes within the time, up to so many bytes. False when nothing did.
sub Reader::take {
    my ($self, $seconds, $bytes) = @_;
    return 0 if $self->{eof} || !IO::Select->new($self->{socket})->can_read($seconds);
    my $n = sysread $self->{socket}, $self->{in}, $bytes // 65536, length $self->{in};
    $self->{eof} = 1 unless $n;
    return $n;
}

# Reads until the text has come; false when it does not within the time.
sub Reader::until {
    my ($self, $text, $seconds) = @_;
    my ($end, $from) = (time + $seconds, 0);
    while (index($self->{in}, $text, $from) < 0) {
        $from = length($self->{in}) - length $text;
        my $left = $end - time;
        return 0 if $left <= 0 || $self->{eof};
        $self->take($left);
    }
    return 1;
}

sub Reader::close { close $_[0]{socket} }

# The numbers of the events that came whole. (Megabytes are read by eye, not by a JSON parser.)
sub Reader::seqs { return $_[0]{in} =~ /^id: \S+\ndata: \{"id":[^\n]*?,"task_seq":([0-9]+),[^\n]*\}\}\n\n/mg }
sub Reader::reason { return $_[0]{in} =~ /^data: \{"type":"stream\.end",.*"reason":"(\w+)"/m ? $1 : 'none' }

# Whether they are FROM, FROM + 1, ... TO; says where not.
sub counts {
    my ($from, $to, @seqs) = @_;
    my ($wrong) = grep { $seqs[$_] != $from + $_ } 0 .. $#seqs;
    return "place $wrong: $seqs[$wrong]" if defined $wrong;
    return @seqs == $to - $from + 1 ? '' : scalar @seqs . " events instead of $from to $to";
}

# ---- the process ---------------------------------------------------------------------------------

sub web_pid { return ($l->pids('web'))[0] }

# Memory of its own, in bytes: without the files that it maps.
sub memory { return Leat::slurp('/proc/' . web_pid() . '/status') =~ /^RssAnon:\s+(\d+) kB$/m ? $1 * 1024 : die }

sub descriptors { return scalar(() = glob '/proc/' . web_pid() . '/fd/*') }

# Time of the processor, in seconds.
sub used {
    my @f = split ' ', Leat::slurp('/proc/' . web_pid() . '/stat') =~ s/^.*\) //sr;
    return ($f[11] + $f[12]) / 100;
}

my $pad = {pad => 'x' x 2000};    # 2 KB and the envelope

subtest 'readers that stop cost no memory and delay nobody, and miss nothing when they go on' => sub {
    my ($flood, $calm) = map { by_hand($l) } 1 .. 2;
    $_->run for $flood, $calm;
    {
        my $warm = reader($flood->events);    # what a flood costs anyway: caches, buffers
        $flood->say('doc.created', $pad, 1000);
        ok $warm->until('"task_seq":1002,', 10);
        $warm->close;
    }
    my @stopped = map { reader($flood->events('last_event_id=now')) } 1 .. 10;
    ok $_->until('stream.connected', 5) for @stopped;
    my $quick   = reader($flood->events('last_event_id=now'));
    my $other   = reader($calm->events);
    $other->until('"task_seq":2,', 5);
    my $before = memory();
    my @took;
    for my $round (1 .. 8) {
        $flood->say('doc.created', $pad, 500);
        my $begin = time;
        $calm->say('doc.created');
        $other->until('"task_seq":' . ($round + 2) . ',', 10) or last;
        push @took, time - $begin;
        $quick->until('"task_seq":' . (1002 + 500 * $round) . ',', 10) or last;
        push @took, time - $begin;
    }
    is @took, 16, 'who reads has everything';
    is_deeply [grep { $_ > 3 } @took], [], 'without delay';
    my $growth = memory() - $before;
    cmp_ok $growth, '<', 4e6, 'and nothing is kept for the others';
    my $soon = time + 10;
    $quick->take(0.1) while $quick->{in} !~ /\n\n\z/ && time < $soon;    # its number comes before the rest of an event
    is counts(1003, 5002, $quick->seqs), '', 'one that read all along';
    $flood->finish;
    my ($end, @open) = (time + 30, @stopped);
    while (@open && time < $end) {
        $_->take(0.01) for @open;
        @open = grep { !$_->{eof} } @open;
    }
    is_deeply [map { counts(1003, 5003, $_->seqs) } @stopped], [('') x 10], 'each that went on, each event once';
    is_deeply [map { $_->reason } @stopped], [('finished') x 10];
    $_->close for @stopped, $quick, $other;
};

subtest 'many who stop in the middle of a large event share it, and each gets all of it' => sub {
    my @large = map { $_ x 900_000 } qw(a b c);
    my $path  = '/api/groups/large/events';
    my @stopped = map { reader("$path?last_event_id=now") } 1 .. 40;
    ok $_->until('stream.connected', 10) for @stopped;
    my $before = memory();
    my @said = map { $l->http(POST => $path, json => {type => 'large.one', payload => {text => $_}})->status } @large;
    is "@said", '202 202 202';
    my $reader = reader("$path?last_event_id=now");
    ok $reader->until('stream.connected', 10), 'who comes later is served';
    $l->http(POST => $path, json => {type => 'small.one', payload => {}});
    ok $reader->until('small.one', 10), '... and hears what happens';
    $reader->close;
    cmp_ok memory() - $before, '<', 20e6, 'nobody has a copy of a large event';
    my $whole = 0;
    for my $r (@stopped) {
        $r->until('small.one', 30);
        my @texts = $r->{in} =~ /"text":"(\w+)"/g;
        $whole++ if "@texts" eq "@large" && (() = $r->{in} =~ /^id: /mg) == 5;
        $r->close;
        $r->{in} = '';
    }
    is $whole, 40, 'each who goes on gets each of them whole, and once';
};

subtest 'clients that go without a word are noticed at once' => sub {
    my $t = by_hand($l);
    $t->run;
    ok scalar(wait_until { descriptors() < 20 } 5), 'nobody is left of those before';
    my $before = descriptors();
    my @silent = map { reader($t->events) } 1 .. 30;
    push @silent, map { reader($t->path('/log?follow=1')) } 1 .. 5;
    $_->until("\r\n\r\n", 5) for @silent;
    is descriptors(), $before + 35, 'each costs one descriptor';
    $_->close for @silent;
    my $begin = time;
    ok scalar(wait_until { descriptors() == $before } 5), 'they are given back';
    cmp_ok time - $begin, '<', 1;

    my @stuck = map { reader($t->events) } 1 .. 3;
    $_->until('stream.connected', 5) for @stuck;
    $t->say('doc.created', $pad, 1000);
    $stuck[0]->take(5);
    $_->close for @stuck;
    $begin = time;
    ok scalar(wait_until { descriptors() == $before } 5), 'also by those that had more to come';
    cmp_ok time - $begin, '<', 1;
};

subtest 'without descriptors for more it serves those it has, does not spin, and recovers' => sub {
    my $t = by_hand($l);
    $t->run;
    my $pid   = web_pid();
    my $limit = descriptors() + 10;
    my ($soft, $hard) = Leat::slurp("/proc/$pid/limits") =~ /^Max open files\s+(\d+)\s+(\d+)/m;
    is system('prlimit', "--pid=$pid", "--nofile=$limit:$hard"), 0;

    my @all = map { reader($t->events) } 1 .. 40;
    my $answered = sub { scalar grep { $_->take(0), $_->{in} =~ /"task_seq":2,/ } @_ };
    my $few;
    ok scalar(wait_until { $few = $answered->(@all); $few >= 5 && descriptors() >= $limit - 1 } 5), 'some are served';
    cmp_ok $few, '<', 40, 'not all';
    my ($cpu, $begin) = (used(), time);
    sleep 1.5;    # the time is what is measured
    cmp_ok used() - $cpu, '<', 0.2 * (time - $begin), 'it does not spin';

    $begin = time;
    $t->say('doc.created');
    my @served = grep { $_->{in} =~ /"task_seq":2,/ } @all;
    ok $served[0]->until('"task_seq":3,', 5), 'those it has are served';
    cmp_ok time - $begin, '<', 3;

    my $seen = 0;
    my $end  = time + 20;
    while ($seen < 40 && time < $end) {
        my @now = grep { $_->take(0.01), $_->{in} =~ /"task_seq":3,/ } @all;
        $_->close for @now;
        $seen += @now;
        my %gone = map { $_ => 1 } @now;
        @all = grep { !$gone{$_} } @all;
    }
    is $seen, 40, 'when some leave, those who waited are served';
    is web_pid(), $pid, 'by the same process';
    system 'prlimit', "--pid=$pid", "--nofile=$soft:$hard";
    my $after = reader($t->events);
    ok $after->until('"task_seq":3,', 5);
    $after->close;
};

subtest 'who does not read a log keeps nobody from creating' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('log.append', {level => 'info', message => 'x' x 2000}, 4000);
    my @stopped = map { reader($t->path('/log'), '*/*') } 1 .. 4;
    ok $_->until("\r\n\r\n", 5) for @stopped;
    my $slowest = 0;
    for (1 .. 10) {
        my $begin = time;
        last if $l->http(POST => '/api/tasks', json => {type => 'wordcount'}, timeout => 10)->status != 202;
        $slowest = time - $begin if time - $begin > $slowest;
    }
    cmp_ok $slowest, '<', 2;
    cmp_ok $slowest, '>', 0;
    my $end = time + 20;
    for my $r (@stopped) { 1 while time < $end && $r->take(1) }
    is_deeply [map { length((split /\r\n\r\n/, $_->{in}, 2)[1]) } @stopped], [(4000 * 2001) x 4], 'and gets all of it';
};

$l->stop;

$l = Leat->start(conf => "[stream]\nstream_seconds = 1\n");

subtest 'a slow reader is not kept beyond its time, and its stream ends between two events' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('doc.created', $pad, 4998);
    my $r     = reader($t->events);
    my $begin = time;
    while (!$r->{eof} && time < $begin + 30) {
        $r->take(1, 50_000);
        sleep 0.03;    # this is what makes it slow
    }
    is $r->reason, 'rotated', 'it is told';
    my @seqs = $r->seqs;
    my @ids  = $r->{in} =~ /^id: (\S+)$/mg;
    cmp_ok scalar @seqs, '<', 4900, 'before it had everything';
    is counts(1, scalar @seqs, @seqs), '', 'it got whole events, each once';
    like $r->{in}, qr/\}\n\n\z/, 'nothing is cut off';
    is $ids[-1], $ids[-2], 'the end says where it was';
    $r->close;

    my $next = reader($t->events("last_event_id=$ids[-1]"));
    $t->finish;
    ok $next->until('"to":"completed"', 10);
    is counts(@seqs + 1, 5001, $next->seqs), '', 'and there it goes on';
};

$l->stop;
done_testing;
