#!/usr/bin/perl
# Many watchers at once, of one task and of a thousand: each sees its own events, each once.
use strict;
use warnings;
use ByHand qw(sql);
use Errno qw(EINPROGRESS);
use IO::Poll qw(POLLIN POLLOUT POLLHUP POLLERR);
use IO::Socket::INET;
use Leat;
use POSIX ();
use Socket qw(pack_sockaddr_in inet_aton SOCK_NONBLOCK SOCK_STREAM AF_INET);
use Test::More;
use Time::HiRes qw(time);

my $l = Leat->start(conf => "[stream]\nstream_seconds = 300\n[runner]\nworkers = 12\n[limits]\nstreams_per_owner = 0\n");
$l->job(tell => <<'EOT');
#!/bin/sh
read -r count pause
i=0
while [ $i -lt $count ]; do
    i=$((i + 1))
    echo "{\"type\":\"tell.it\",\"payload\":{\"n\":$i}}" >&3
    [ "$pause" = 0 ] || sleep "$pause"
done
echo "$LEAT_TASK_ID"
EOT

# Opens a stream to each of the paths and reads them all, until they have ended or the time is up.
# `opened` is called once all were answered. Gives for each its status line and its events, decoded.
sub watch_all {
    my ($seconds, $opened, @paths) = @_;
    my $address = pack_sockaddr_in($l->port, inet_aton('127.0.0.1'));
    my $poll    = IO::Poll->new;
    my (%at, @all);
    my ($end, $answered, $open) = (time + $seconds, 0, scalar @paths);
    for my $path (@paths) {
        socket my $socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0 or die "socket: $!";
        connect $socket, $address or $! == EINPROGRESS or die "connect: $!";
        my $request = "GET $path HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
        my $w = {socket => $socket, request => $request, in => ''};
        $at{ fileno $socket } = $w;
        push @all, $w;
        $poll->mask($socket => POLLOUT);
    }
    while ($open && time < $end) {
        $poll->poll(1);
        for my $socket ($poll->handles(POLLIN | POLLOUT | POLLHUP | POLLERR)) {
            my $w = $at{ fileno $socket };
            if (defined $w->{request}) {
                syswrite($socket, delete $w->{request}) // die "write: $!";
                $poll->mask($socket => POLLIN);
                next;
            }
            my $n = sysread $socket, $w->{in}, 65536, length $w->{in};
            next if !defined $n && $!{EAGAIN};
            if ($n && !$w->{answered} && $w->{in} =~ /stream\.connected/) {
                $w->{answered} = 1;
                $opened->() if ++$answered == @paths && $opened;
            }
            next if $n;
            $poll->remove($socket);
            $open--;
        }
    }
    close $_->{socket} for @all;
    return map {
        my ($head, $body) = split /\r\n\r\n/, $_->{in}, 2;
        {
            head   => (split /\r\n/, $head // '')[0],
            events => [map { Leat::decode($_) // {type => "not JSON: $_"} } ($body // '') =~ /^data: (.*)\n\n/mg],
        };
    } @all;
}

# What is wrong with what a watcher of a task saw, or nothing: `ticks` events of its job are expected.
sub wrong {
    my ($id, $ticks, $w) = @_;
    return "answered $w->{head}" unless $w->{head} =~ / 200 /;
    my ($first, @events) = @{ $w->{events} };
    my $last = pop @events;
    return 'did not begin'      unless $first && $first->{type} eq 'stream.connected';
    return 'did not end'        unless $last  && ($last->{payload}{reason} // '') eq 'finished';
    return "events of others"   if grep { $_->{task_id} ne $id } @events;
    my $seqs = join ' ', map { $_->{task_seq} } @events;
    return "task_seq $seqs"     if $seqs ne join ' ', 1 .. @events;
    my $told = join ' ', map { $_->{payload}{n} } grep { $_->{type} eq 'tell.it' } @events;
    return "told $told"         if $told ne join ' ', 1 .. $ticks;
    return "the result $events[-1]{payload}{result}" if $events[-1]{payload}{result} ne $id;
    return;
}

sub create {
    my ($input, %opt) = @_;
    my $r = $l->http(POST => '/api/tasks', json => {type => 'tell', input => $input, %opt});
    return $r->json->{task_id} // die $r->body;
}

subtest 'twenty watchers of one task see the same' => sub {
    my $id   = create("200 0.005\n");
    my @seen = watch_all(30, undef, ("/api/tasks/$id/events") x 20);
    is_deeply [map { wrong($id, 200, $_) } @seen], [];
    my %ids;
    $ids{ join ' ', map { $_->{id} // '-' } @{ $_->{events} } }++ for @seen;
    is_deeply [values %ids], [20], 'down to the ids';
};

subtest 'a thousand watchers of a thousand tasks see each its own' => sub {
    # they wait until all are watched, and then are due together
    my @ids;
    my $due = int((time + 600) * 1000);
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) or die;
    my $body = qq({"type":"tell","input":"3 0\\n","run_at":$due});
    for (1 .. 1000) {
        print {$socket} "POST /api/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n",
            'Content-Length: ', length $body, "\r\n\r\n$body";
        my $in = '';
        until ($in =~ /\}\s*\z/) { sysread $socket, $in, 65536, length $in or die 'no answer' }
        push @ids, $in =~ /"task_id":"([^"]+)"/;
    }
    close $socket;
    my $go = sub { sql($l, "UPDATE tasks SET run_at = NULL, delayed = 0 WHERE status = 'pending'") };
    my @seen  = watch_all(120, $go, map { "/api/tasks/$_/events" } @ids);
    my @wrong = map { my $what = wrong($ids[$_], 3, $seen[$_]); $what ? "watcher $_: $what" : () } 0 .. $#ids;
    is_deeply [@wrong[0 .. ($#wrong < 5 ? $#wrong : 5)]], [];
};

$l->stop;
done_testing;
