# Two tenants of one site: alice does all that could cost others something, at once and for as long as she is
# let; bob creates, reads and watches as any user would.
#
#     my $seen = Neighbours::meet($l, SECONDS);
#
# $l has no other load, and no anonymous caller with rights of its own. Gives
#     creates, reads, late    seconds that each of bob's creates and reads took, and by which his events came late
#     wrong                   what bob was told that was no success, each with its number
#     lost                    bob's events that his stream never brought
#     memory                  bytes by which the web processes grew together, at most
#     wal                     bytes of the write-ahead log, at most
#     did                     what alice was answered, for each of her ways: {WAY => {STATUS => NUMBER}}
package Neighbours;

use strict;
use warnings;
use IO::Handle;
use IO::Poll;
use IO::Select;
use IO::Socket::INET;
use Leat;
use POSIX ();
use Time::HiRes qw(sleep time);
use Wire;

# Her jobs. `hold` is never claimed: it is always delayed.
my %jobs = (
    hold => "#!/bin/sh\nexit 0\n",
    nop  => "#!/bin/sh\nexit 0\n",
    # words and progress as fast as its pipe takes them
    flood => "#!/bin/sh\nyes 'all work and no play makes jack a dull boy, and his log a long one' >&2 &\nyes '50 still here' >&3\n",
);
my %job_conf = (flood => "timeout = 3600\n");

# Runs CODE in a process of its own until it has ended or is killed. It says what it has to say by its handle.
sub apart {
    my ($code) = @_;
    pipe my $read, my $write or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid) {
        close $write;
        return {pid => $pid, out => $read};
    }
    my $done = 0;
    $SIG{TERM} = sub { $done = 1 };
    $SIG{PIPE} = 'IGNORE';
    close $read;
    $write->autoflush(1);
    eval { $code->(sub { $done }, $write); 1 } or print {$write} "died $@";
    close $write;
    POSIX::_exit(0);    # past END: the server is not ours
}

sub end_of {
    my ($child) = @_;
    kill TERM => $child->{pid};
    my @said = readline $child->{out};
    waitpid $child->{pid}, 0;
    chomp @said;
    return @said;
}

sub client {
    my ($l, $token) = @_;
    my $http = Wire->http($l->port);
    return sub {
        my ($method, $path, $body, $type) = @_;
        return $http->ask($method, $path, headers => [Authorization => "Bearer $token",
            defined $body ? ('Content-Type' => $type // 'application/json') : ()], body => $body, timeout => 60);
    };
}

# A way is told: NAME, and code that is called again and again with `ask` and the number of the call; it gives a status.
sub way {
    my ($l, $token, $code) = @_;
    return apart(sub {
        my ($done, $out) = @_;
        POSIX::nice(10);    # her machine is not this one
        my $ask = client($l, $token);
        my %status;
        for (my $i = 0; !$done->(); $i++) { $status{ $code->($ask, $i)->status }++ }
        print {$out} "$_ $status{$_}\n" for keys %status;
    });
}

# Opens CONNECTIONS, asks PATH on each and reads nothing; asks again on those that the server has closed.
sub unread {
    my ($l, $token, $path, $connections) = @_;
    return apart(sub {
        my ($done, $out) = @_;
        my ($opened, @sockets) = (0);
        POSIX::nice(10);
        until ($done->()) {
            for my $i (0 .. $connections - 1) {
                next if $sockets[$i] && !hung_up($sockets[$i]);
                $sockets[$i] = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) or next;
                syswrite $sockets[$i], "GET $path HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer $token\r\n"
                    . "Accept: text/event-stream\r\n\r\n";
                $opened++;
            }
            sleep 0.2;
        }
        print {$out} "opened $opened\n";
    });
}

sub hung_up {
    my ($socket) = @_;
    my $poll = IO::Poll->new;
    $poll->mask($socket => IO::Poll::POLLHUP() | 0x2000);    # POLLRDHUP: what was not read does not count
    return $poll->poll(0) > 0;
}

my $MB = 'x' x 1_000_000;

# What alice does, by name.
my %ways = (
    'filter without a match' => sub { $_[0]->(GET => '/api/events?last_event_id=earliest&types=no.such') },
    'look-ahead'             => sub { $_[0]->(GET => '/api/groups/big/events?last_event_id=earliest&types=no.such&limit=1') },
    'thousands of patterns'  => sub { $_[0]->(GET => '/api/events?types=' . join ',', map {"a$_.b"} 1 .. 500) },
    'small events'  => sub { $_[0]->(POST => '/api/groups/popular/events', '{"type":"x.y","payload":{"n":1}}') },
    '1 MB events'   => sub { $_[0]->(POST => '/api/groups/popular/events', qq({"type":"x.big","payload":{"t":"$MB"}})) },
    '1 MB contexts' => sub { $_[0]->(PUT => "/api/groups/c$_[1]/context", qq({"t":"$MB"})) },
    'lists of groups' => sub { $_[0]->(GET => '/api/groups?page_size=200') },
    'lists of tasks'  => sub { $_[0]->(GET => '/api/tasks?page_size=200&status=failed') },
    'group retries'   => sub { $_[0]->(POST => '/api/groups/many/' . ($_[1] % 2 ? 'retry' : 'cancel'), '') },
    'priorities' => sub {
        my ($ask, $i) = @_;
        $ask->(POST => '/api/tasks', sprintf '{"type":"%s","priority":%d,"group":"p%d"}', $i % 2 ? 'nop' : 'wordcount', $i % 201 - 100, $i);
    },
    'bulk' => sub {
        $_[0]->(POST => '/api/tasks', qq({"type":"hold","delay":3600}\n) x 1000, 'application/x-ndjson');
    },
    'tickets'     => sub { $_[0]->(POST => '/api/tickets', '{"all":true}') },
    'large input' => sub { $_[0]->(POST => '/api/tasks?type=nop', $MB x 20, 'application/octet-stream') },
);

# Before they meet: a long log, a group of many tasks that were cancelled, and jobs that flood.
sub prepare {
    my ($l, $token) = @_;
    $l->job($_ => $jobs{$_}, $job_conf{$_}) for keys %jobs;
    my $ask = client($l, $token);
    my $ready = wait_until {
        $ask->(POST => '/api/tasks', '{"type":"flood","group":"big"}')->status == 202
    } 30;
    die "the site takes no task of alice\n" unless $ready;
    for (1 .. 5) {
        my $r = $ask->(POST => '/api/tasks', qq({"type":"hold","group":"many","delay":3600}\n) x 1000, 'application/x-ndjson');
        die 'bulk: ' . $r->status . ' ' . ($r->body // '') if $r->status != 202;
    }
    my $task;
    my $long = wait_until {
        ($task) = @{ $ask->(GET => '/api/tasks?group=big')->json->{tasks} };
        $task->{event_count} > 50_000
    } 120;
    die "the log did not grow: $task->{event_count} events\n" unless $long;
    return $task->{id};
}

sub memory {
    my ($l) = @_;
    my $sum = 0;
    $sum += Leat::slurp("/proc/$_/status") =~ /^RssAnon:\s+(\d+) kB$/m ? $1 * 1024 : 0 for $l->pids('web');
    return $sum;
}

# Bob, until he is told to stop: an event and a read, then a task and a read of it.
sub bob {
    my ($l, $token, $done, $out) = @_;
    my $ask = client($l, $token);
    my $say = sub {
        my ($what, $began, $r) = @_;
        printf {$out} "%s %.6f\n", $what, time - $began;
        print {$out} "wrong $what " . $r->status . ' ' . (($r->body // '') =~ /"code":"(\w+)"/ ? $1 : $r->error // '') . "\n"
            if $r->status !~ /^20[02]$/;
    };
    for (my $i = 1; !$done->(); $i++) {
        my $began = time;
        my $r = $ask->(POST => '/api/groups/bobs/events', sprintf '{"type":"bob.mark","payload":{"i":%d,"t":%.6f}}', $i, $began);
        $say->(publish => $began, $r);
        print {$out} "mark $i\n" if $r->status == 202;
        $began = time;
        my $created = $ask->(POST => '/api/tasks', '{"type":"nop","group":"bobs"}');
        $say->(create => $began, $created);
        $began = time;
        my ($id) = ($created->body // '') =~ /"task_id":"([^"]+)"/;
        $say->(read => $began, $ask->(GET => defined $id ? "/api/tasks/$id" : '/api/groups/bobs'));
        $began = time;
        $say->(read => $began, $ask->(GET => '/api/tasks?page_size=20'));
        sleep 0.05;
    }
}

# Bob's stream: what came, and how late.
sub watch {
    my ($l, $token, $done, $out) = @_;
    my $last = 'now';
    until ($done->()) {
        my $s = eval { $l->stream('/api/groups/bobs/events', timeout => 60,
            headers => {'Last-Event-ID' => $last, Authorization => "Bearer $token"}) } or next;
        print {$out} 'wrong stream ' . $s->status . "\n" if $s->status != 200;
        until ($done->()) {
            my $frame = $s->next_frame(0.5) // ($s->eof ? last : next);
            my $e = $frame->{json} // next;
            $last = $frame->{id} if defined $frame->{id};
            print {$out} "wrong stream overloaded\n" if ($e->{payload}{reason} // '') eq 'overloaded';
            print {$out} "open\n" if $e->{type} eq 'stream.connected';
            printf {$out} "saw %d %.6f\n", $e->{payload}{i}, time - $e->{payload}{t} if $e->{type} eq 'bob.mark';
        }
        $s->close;
    }
}

sub meet {
    my ($l, $seconds) = @_;
    my ($alice, $bob) = map { $l->leat(qw(token add --owner), $_)->{out} } qw(alice bob);
    my $flooding = prepare($l, $alice);
    my ($memory, $seen) = (memory($l), {memory => 0, wal => 0});

    my $watcher = apart(sub { watch($l, $bob, @_) });
    sysread $watcher->{out}, my $open, 5;    # "open"
    my $user = apart(sub { bob($l, $bob, @_) });
    my %alice = map { ($_ => way($l, $alice, $ways{$_})) } keys %ways;
    $alice{"long poll $_"} = way($l, $alice, sub { $_[0]->(GET => '/api/events?types=no.such&last_event_id=now&seconds=20') }) for 1 .. 2;
    $alice{'long polls'} = unread($l, $alice, '/api/groups/quiet/events?last_event_id=now', 50);
    $alice{'watchers'} = unread($l, $alice, '/api/groups/popular/events', 60);
    $alice{'unread logs'} = unread($l, $alice, "/api/tasks/$flooding/log?follow=1", 6);

    my $end = time + $seconds;
    while (time < $end) {
        my ($grown, $wal) = (memory($l) - $memory, -s $l->state . '/leat.db-wal');
        $seen->{memory} = $grown if $grown > $seen->{memory};
        $seen->{wal}    = $wal   if $wal > $seen->{wal};
        sleep 0.1;
    }
    my @user = end_of($user);
    # his stream has come to the newest, or it never will
    my ($newest) = (grep {/^mark /} @user)[-1] =~ /(\d+)/;
    my ($said, $select, $limit) = ('', IO::Select->new($watcher->{out}), time + 60);
    while ($said !~ /^saw $newest /m && time < $limit) {
        last unless $select->can_read($limit - time) && sysread $watcher->{out}, $said, 65536, length $said;
    }
    kill TERM => $watcher->{pid};
    1 while sysread $watcher->{out}, $said, 65536, length $said;
    waitpid $watcher->{pid}, 0;
    my @watcher = split /\n/, $said;
    for my $way (keys %alice) {
        $seen->{did}{$way} = {map { split / /, $_, 2 } end_of($alice{$way})};
    }

    my %saw;
    for (@watcher) { push @{ $seen->{late} }, $2 and $saw{$1}++ if /^saw (\d+) (\S+)/ }
    for (@user) {
        push @{ $seen->{creates} }, $1 if /^(?:create|publish) (\S+)/;
        push @{ $seen->{reads} },   $1 if /^read (\S+)/;
    }
    $seen->{wrong}{$1}++ for map { /^wrong (.*)/ ? $1 : /^(died .*)/ ? $1 : () } @user, @watcher;
    $seen->{lost} = [grep { !$saw{$_} } map { /^mark (\d+)/ ? $1 : () } @user];
    return $seen;
}

1;
