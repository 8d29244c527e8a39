#!/usr/bin/perl
# What is old goes by itself, those who watch learn of it, and nothing else goes.
use strict;
use warnings;
use ByHand;
use IO::Select;
use JSON::PP ();
use Leat;
use Socket qw(pack_sockaddr_in inet_aton AF_INET SOCK_STREAM SOL_SOCKET SO_RCVBUF);
use Test::More;
use Time::HiRes qw(sleep time);

# 1.8 seconds
my $l = Leat->start(conf => "[runner]\nretain_hours = 0.0005\nworkers = 3\n[stream]\nheartbeat = 1\n");
my $go = $l->{dir} . '/go';
$l->job(quick => "#!/bin/sh\nexec cat\n");
$l->job(waits => "#!/bin/sh\nuntil [ -e $go ]; do sleep 0.02; done\n", "timeout = 100\n");
$l->job(talks => "#!/bin/sh\ni=0; while [ \$i -lt 3000 ]; do i=\$((i+1));"
        . " echo '{\"type\":\"doc.created\",\"payload\":{\"n\":'\$i'}}' >&3; done\n");

sub create {
    my ($type, %more) = @_;
    my $r = $l->http(POST => '/api/tasks', json => {type => $type, input => 'x', %more});
    return $r->json->{task_id} // die $r->body;
}
sub status { return $l->http(GET => "/api/tasks/$_[0]")->status }
sub gone { my ($id, $seconds) = @_; return wait_until(sub { status($id) == 404 }, $seconds // 20) }
sub page {
    my ($path, $cursor) = @_;
    return $l->http(GET => $path, headers => {Accept => 'application/json', 'Last-Event-ID' => $cursor});
}

subtest 'a finished task goes, and its group is told' => sub {
    my $stream = $l->stream('/api/groups/g/events', timeout => 20);
    my $from = $stream->next_event(5, 'stream.connected')->{id};
    my $id = create('quick', group => 'g');
    my ($created) = $stream->next_event(10, 'task.created');
    is $created->{json}{task_id}, $id, 'it is created';
    ok wait_until(sub { ($l->http(GET => "/api/tasks/$id")->json->{status} // '') eq 'completed' }), 'it completes';
    is status($id), 200, 'it is there for a while';
    my $deleted = $stream->next_event(20, 'task.deleted');
    is $deleted->{json}{task_id}, $id, 'the stream of its group is told that it went';
    cmp_ok abs($deleted->{json}{ts} - 1000 * time), '<', 20_000, '... with the time of that';
    is status($id), 404, 'it is gone';
    is $l->http(GET => "/api/tasks/$id/$_")->status, 404, "... and its $_" for qw(events result log);
    $stream->close;

    my $again = $l->stream('/api/groups/g/events', headers => {'Last-Event-ID' => $created->{id}});
    my $reset = $again->next_event(5);
    is $reset->{json}{type}, 'stream.reset', 'an older cursor';
    is $reset->{json}{payload}{reason}, 'evicted', '... is evicted';
    my $connected = $again->next_event(5);
    is $connected->{json}{type}, 'stream.connected', '... and gets a snapshot';
    is $connected->{json}{payload}{snapshot}{status}, 'idle', '... of the group as it is';
    $again->close;
    for my $path ('/api/groups/g/events', '/api/events') {
        my $r = page($path, $created->{id});
        is $r->status, 410, "JSON readers of $path get 410";
        is $r->json->{code}, 'cursor_evicted', '... and why';
    }
};

subtest 'what is not finished stays' => sub {
    my $runs  = create('waits', group => 'u');
    my $later = create('quick', delay => 3600, group => 'u');
    my $quick = create('quick', group => 'u');
    ok gone($quick), 'a finished one of the same group goes';
    is $l->http(GET => "/api/tasks/$runs")->json->{status},  'running', 'one that runs stays';
    is $l->http(GET => "/api/tasks/$later")->json->{status}, 'pending', 'one that waits stays';
    my $counts = $l->http(GET => '/api/groups/u')->json->{counts};
    is_deeply [@$counts{qw(pending running completed)}], [1, 1, 0], 'and is counted';
    my $seqs = join ' ', map { $_->{task_seq} }
        @{ page("/api/tasks/$runs/events", 'earliest')->json->{events} };
    is $seqs, '1 2', 'its events have no gap';
    Leat::write_file($go, '');
    ok gone($runs), 'once it has finished, it goes';
    $l->http(POST => "/api/tasks/$later/cancel");
    ok gone($later), 'so does one that was cancelled';
};

subtest 'a context stays when its tasks go' => sub {
    is $l->http(PUT => '/api/groups/c/context', json => {a => 1})->status, 200, 'a context is set';
    my $id = create('quick', group => 'c');
    ok gone($id), 'the task goes';
    ok wait_until(sub { $l->http(GET => '/api/groups/g')->json->{status} eq 'idle' }), '(wait)';
    is_deeply $l->http(GET => '/api/groups/c/context')->json, {a => 1}, 'the context is there';
    ok wait_until(sub { !grep { $_->{id} eq 'g' } @{ $l->http(GET => '/api/groups')->json->{groups} } }, 20),
        'a group of which only its name is left is forgotten';
    ok +(grep { $_->{id} eq 'c' } @{ $l->http(GET => '/api/groups')->json->{groups} }), '... not this one';
};

subtest 'published events go by their own age' => sub {
    my $r = $l->http(POST => '/api/groups/p/events', json => {type => 'doc.created', payload => {n => 1}});
    is $r->status, 202, 'one is published';
    my $id = $r->json->{id};
    my ($epoch, $seq) = split /-/, $id;
    my $before = "$epoch-" . ($seq - 1);
    ok wait_until(sub { page('/api/groups/p/events', $before)->status == 410 }, 20), 'and evicted when it is old';
};

subtest 'a long log goes as well, and nobody waits' => sub {
    my $id = create('talks', group => 'long');
    my ($worst, $end) = (0, time + 60);
    while (time < $end && status($id) != 404) {
        my $began = time;
        create('quick', delay => 3600);
        my $took = time - $began;
        $worst = $took if $took > $worst;
    }
    is status($id), 404, 'it goes';
    cmp_ok $worst, '<', 2, sprintf 'no create waited long (%.0f ms)', 1000 * $worst;
    ok wait_until(sub { (sql($l, 'SELECT count(*) FROM remains'))[0][0] == 0 }, 20), 'nothing of it remains';
    is +(sql($l, "SELECT count(*) FROM events WHERE task NOT IN (SELECT n FROM tasks)"))[0][0], 0, 'no event without a task';
};

subtest 'the file gives its space back' => sub {
    my $db = $l->state . '/leat.db';
    unlink $go;
    my $id = $l->http(POST => '/api/tasks?type=waits', body => 'x' x 30_000_000)->json->{task_id};
    ok wait_until(sub { -s $db > 30_000_000 }, 30), 'it has grown by what was sent';
    Leat::write_file($go, '');
    ok gone($id, 60), 'the task goes';
    ok wait_until(sub { -s $db < 12_000_000 }, 60), '... and its space' or diag -s $db;
    ok wait_until(sub { create('quick', delay => 3600); -s "$db-wal" <= 16 << 20 }, 30), 'the log is cut when it begins anew';
};

subtest 'the log of the runner says so' => sub {
    ok wait_until(sub { $l->log =~ /program=leatd .*msg="retention" tasks=[1-9]\d* events=[1-9]\d* groups=\d+/ }), 'tasks, events, groups';
    unlike $l->log, qr/a statement is (?:left )?open/, 'and nothing was left open';
};

subtest 'a type may say how long its tasks are kept' => sub {
    $l->job(keeps => "#!/bin/sh\nexec cat\n", "retain_hours = 1\n");
    my ($keeps, $quick) = map { create($_) } qw(keeps quick);
    ok gone($quick), 'another one goes';
    is $l->http(GET => "/api/tasks/$keeps")->json->{status}, 'completed', 'it stays';
    unlike $l->leat('gc')->{out}, qr/\btasks?\b/, '... for leat gc too';
    $l->job(keeps => "#!/bin/sh\nexec cat\n", "retain_hours = 0.0005\n");
    ok gone($keeps), 'until its conf says otherwise';
};

# ---- leat gc ----

$l->down;
$l->conf("[runner]\nretain_hours = 0\nworkers = 3\n");
$l->up;

subtest 'retain_hours = 0 keeps for ever, leat gc removes' => sub {
    my @ids = map { create('quick', group => 'gc') } 1 .. 30;
    ok wait_until(sub { $l->http(GET => '/api/groups/gc')->json->{counts}{completed} == 30 }, 30), '30 tasks are completed';
    my $r = $l->leat('gc');
    is $r->{status}, 0, 'leat gc';
    unlike $r->{out}, qr/task/, '... keeps them: ' . $r->{out};
    $r = $l->leat('gc', '--older-than', '1', '--json');
    is $r->{status}, 0, '--older-than 1';
    is JSON::PP::decode_json($r->{out})->{tasks}, 0, '... they are too young';
    $r = $l->leat(qw(gc --older-than 0 --dry-run --json));
    my $count = JSON::PP::decode_json($r->{out});
    is $count->{tasks}, 30, '--older-than 0 --dry-run counts them';
    ok $count->{dry_run}, '... and says that it only counts';
    cmp_ok $count->{events}, '>=', 90, '... and their events';
    is status($ids[0]), 200, '... and removes nothing';
    $r = $l->leat(qw(gc --older-than 0));
    is $r->{status}, 0, 'without --dry-run';
    like $r->{out}, qr/^30 tasks, \d+ events.* removed$/, "... it says: $r->{out}";
    is status($_), 404, 'gone' for @ids[0, 29];
    is $l->http(GET => '/api/groups/gc')->json->{status}, 'idle', 'the group is idle';
    is $l->leat(qw(gc --older-than 0 --dry-run))->{out} =~ /\btasks?\b/, '', 'nothing is left';
    is $l->leat(qw(gc extra))->{status}, 64, 'an operand is a mistake';
    is $l->leat(qw(gc --older-than soon))->{status}, 64, 'so is a bad time';
    like $l->leat(qw(gc --help))->{out}, qr/--older-than HOURS/, '--help';
};

subtest 'leat gc tells who watches' => sub {
    my $stream = $l->stream('/api/groups/told/events', timeout => 20);
    $stream->next_event(5, 'stream.connected');
    my $id = create('quick', group => 'told');
    is $stream->next_event(10, 'task.created')->{json}{task_id}, $id, 'a task is made';
    ok wait_until(sub { ($l->http(GET => "/api/tasks/$id")->json->{status} // '') eq 'completed' }), '... and completes';
    is $l->leat(qw(gc --older-than 0))->{status}, 0, 'leat gc --older-than 0';
    is $stream->next_event(10, 'task.deleted')->{json}{task_id}, $id, 'the stream of its group is told that it went';
    $stream->close;
};

subtest 'a slow reader is not led across a gap' => sub {
    my $task = by_hand($l, group => 'slow');
    socket my $socket, AF_INET, SOCK_STREAM, 0 or die "socket: $!";
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 8192 or die "setsockopt: $!";
    connect $socket, pack_sockaddr_in($l->port, inet_aton('127.0.0.1')) or die "connect: $!";
    syswrite $socket, "GET /api/groups/slow/events HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n";
    my $in = '';
    until ($in =~ /stream\.connected/) { sysread $socket, $in, 4096, length $in or die 'closed' }
    $task->run;
    $task->say('doc.created', {text => 'x' x 4000}, 1000) for 1 .. 12;
    $task->finish;
    my $newest = (sql($l, 'SELECT max(seq) FROM events'))[0][0];
    is $l->leat(qw(gc --older-than 0))->{status}, 0, 'what it has not read is removed';
    1 while IO::Select->new($socket)->can_read(20) && sysread $socket, $in, 65536, length $in;
    my @events = map { Leat::decode($_) // () } $in =~ /^data: (.*)$/mg;
    my ($end)  = grep { $_->{type} eq 'stream.end' } @events;
    my @seqs   = map { $_->{task_seq} } grep { $_->{task_seq} } @events;
    cmp_ok scalar(@seqs), '<', 12002, 'it saw ' . @seqs . ' events';
    is_deeply \@seqs, [$seqs[0] .. $seqs[0] + $#seqs], '... without a gap';
    is $end->{payload}{reason}, 'rotated', '... and then an end';
    my ($last) = (reverse $in =~ /^id: (.*)$/mg)[0];
    my ($at) = $last =~ /-(\d+)$/;
    cmp_ok $at, '<', $newest, '... at what it has seen';
    my $again = $l->stream('/api/groups/slow/events', headers => {'Last-Event-ID' => $last});
    is $again->next_event(5)->{json}{payload}{reason}, 'evicted', 'coming back, it is told';
    $again->close;
};

$l->stop;
done_testing;
