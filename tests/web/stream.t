#!/usr/bin/perl
# Streams: what they say, where they start, when they end.
use strict;
use warnings;
use ByHand;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use Leat;
use List::Util qw(uniq);
use POSIX ();
use Test::More;
use Time::HiRes qw(sleep time);

my $build = abs_path(dirname(__FILE__) . '/../..') . '/' . ($ENV{BUILD} || 'build');
$build = $ENV{BUILD} if ($ENV{BUILD} // '') =~ m{^/};

# No admin, so that /api/events is one owner's; times so short that they are seen to pass; as CGI, places enough for streams
# that are closed quicker than Apache notices.
my $auth = "[auth]\nanonymous_scope = create,read,publish\n";
our $l   = Leat->start(conf => "$auth\[stream]\nheartbeat = 0.3\nretry_ms = 1000\ncgi_streams = 64\n[runner]\nworkers = 8\n");

my $json   = {Accept => 'application/json'};
my $ndjson = {Accept => 'application/x-ndjson'};

# type#task_seq of an event, type:what of a change of status or an end
sub word {
    my ($e) = @_;
    my $what = $e->{payload}{reason} // $e->{payload}{to};
    my $word = $e->{type} =~ s/^(?:task|stream|group)\.//r;
    return defined $what ? "$word:$what" : $word;
}
sub words { return join ' ', map { word($_->{json}) } @_ }
sub seqs  { return join ' ', map { $_->{json}{task_seq} // '-' } @_ }
sub ids   { return [map { $_->{id} } @_] }

# The frames that carry an event of the log.
sub logged { return grep { $_->{json}{type} !~ /^stream\./ } @_ }

sub number { return ($_[0] =~ /-(\d+)$/)[0] }
sub epoch  { return ($_[0] =~ /^(.*)-/)[0] }

# A finished task of this many events, 4 at least: created, running, ..., completed.
sub finished {
    my ($events, %opt) = @_;
    my $t = by_hand($l, %opt);
    $t->run;
    $t->say('doc.created', {}, $events - 3) if $events > 3;
    $t->finish;
    return $t;
}

sub newest { return (sql($l, "SELECT seq FROM sqlite_sequence WHERE name = 'events'"))[0][0] }

# The current position, as a client learns it.
sub cursor { return $l->http(GET => '/api/events?last_event_id=now', headers => $json)->json->{cursor} }

subtest 'a stream says when to come back, who it is, what happened and that it is over' => sub {
    my $id = $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'one two'})->json->{task_id};
    my $s  = $l->stream("/api/tasks/$id/events");
    is $s->status, 200;
    my $retry = $s->next_frame;
    like $retry->{raw}, qr/\Aretry: \d+\n\z/, 'retry comes first, by itself';
    my @frames = ($s->next_frame, $s->rest);
    ok $s->eof,     'the stream ends';
    ok !$s->broken, 'and is whole';
    is words(@frames), 'connected created status_changed:running status_changed:completed end:finished';
    my @events = logged(@frames);
    is seqs(@events), '1 2 3';
    is_deeply ids(@events), [map { $_->{json}{id} } @events], 'id: is the id of the event';
    is_deeply [uniq map { $_->{json}{task_id} } @events], [$id];
    is $events[2]{json}{payload}{result}, 2, 'the last change brings the result';
    ok !exists $frames[0]{id},  'a stream from the beginning connects without an id';
    ok !exists $frames[-1]{id}, 'an end for good has none either';
    ok !(grep { exists $_->{event} } @frames), 'no event: field hides anything from onmessage';
    my $p = $frames[0]{json}{payload};
    like $p->{cursor}, qr/^[0-9a-f]{8}-\d+$/;
    cmp_ok abs($p->{server_time} - time * 1000), '<', 60_000;
    ok !exists $p->{snapshot}, 'what is told from the beginning needs no snapshot';
    is $frames[-1]{json}{payload}{retry_ms}, $retry->{retry};
};

subtest 'what an event says stays on one line, whatever it is' => sub {
    my $t    = by_hand($l, group => qq(a"b\\\x{e2}\x{80}\x{a8}));
    my $text = qq(one\ntwo\r"three"\x{2028}\x{0}data: x\n\n);
    $t->run;
    $t->say('doc.created', {text => $text});
    $t->finish;
    my @frames = $l->stream($t->events)->rest;
    is words(logged(@frames)), 'created status_changed:running doc.created status_changed:completed';
    is $frames[3]{json}{payload}{text}, $text;
    is $frames[3]{json}{group_id}, qq(a"b\\\x{2028});
    is $frames[3]{raw} =~ tr/\n//, 2, 'an id and a line of data';
};

subtest 'headers keep caches and proxies from holding it' => sub {
    my $t = by_hand($l);
    my $s = $l->stream($t->events);
    is $s->header('content-type'),  'text/event-stream; charset=utf-8';
    is $s->header('cache-control'), 'no-store, no-transform';
    is $s->header('content-length'),   undef;
    is $s->header('content-encoding'), undef;
    ok $s->header('x-request-id');
    $t->run;
    $t->finish;
    $s->rest;
};

subtest 'who asks for nothing in particular gets a stream' => sub {
    my $t = finished(3);
    my $r = $l->http(GET => $t->events, curl => ['-N']);    # curl sends Accept: */*
    is $r->status, 200;
    is $r->header('content-type'), 'text/event-stream; charset=utf-8';
    like $r->body, qr/\Aretry: .*stream\.end.*\n\n\z/s;
    like $l->stream($t->events, headers => {Accept => 'text/html, */*;q=0.1'})->header('content-type'),
        qr/event-stream/;
    like $l->stream($t->events, headers => {Accept => 'application/json, text/plain, */*'})->header('content-type'),
        qr/json/, 'JSON is given to who names it';
};

subtest 'a CGI process streams the same' => sub {
    my $t = finished(4);
    local %ENV = (
        PATH           => $ENV{PATH},
        LEAT_CONF      => $l->conf_file,
        REQUEST_METHOD => 'GET',
        REQUEST_URI    => $t->events,
    );
    open my $cgi, '-|', "$build/leat.fcgi </dev/null 2>&1" or die;
    my $all = do { local $/; <$cgi> };
    close $cgi;
    is $?, 0;
    my ($head, $body) = split /\r\n\r\n/, $all, 2;
    like $head, qr/^Status: 200 OK\r$/m;
    like $head, qr{^X-Accel-Buffering: no *\r$}m;
    like $head, qr{^Content-Type: text/event-stream; charset=utf-8\r?$}m;
    is_deeply [$body =~ /^id: (.*)$/mg], ids(logged($l->stream($t->events)->rest));
    like $body, qr/"reason":"finished"/;
};

subtest 'a cursor is taken from the header, then from each of three names' => sub {
    my $t   = finished(8);
    my @all = logged($l->stream($t->events)->rest);
    is @all, 8;
    my %at = map { $_ => $all[ $_ - 1 ]{id} } 1 .. 8;
    my $first = sub {
        my ($query, @headers) = @_;
        my $s = $l->stream($t->events($query), headers => [@headers]);
        my ($connected, @events) = $s->rest;
        return [$connected->{id}, $connected->{json}{payload}{cursor}, seqs(logged(@events))];
    };
    my $after = sub { [$at{ $_[0] }, $at{ $_[0] }, join ' ', $_[0] + 1 .. 8] };
    is_deeply $first->(undef, 'Last-Event-ID' => $at{2}), $after->(2), 'the header';
    is_deeply $first->("last_event_id=$at{3}"), $after->(3), 'last_event_id';
    is_deeply $first->("lastEventId=$at{4}"),   $after->(4), 'lastEventId';
    is_deeply $first->("starting_after=$at{5}"), $after->(5), 'starting_after';
    is_deeply $first->("starting_after=$at{3}&lastEventId=$at{4}&last_event_id=$at{5}", 'Last-Event-ID' => $at{6}),
        $after->(6), 'the header before all names';
    is_deeply $first->("starting_after=$at{3}&lastEventId=$at{4}&last_event_id=$at{5}"), $after->(5), 'and so on';
    is_deeply $first->("starting_after=$at{3}&lastEventId=$at{4}"), $after->(4);
    is_deeply $first->("last_event_id=&starting_after=$at{3}"), $after->(3), 'an empty one is none';
    is seqs(logged($l->stream($t->events('last_event_id=earliest'))->rest)), '1 2 3 4 5 6 7 8', 'earliest is all';
};

subtest 'a stream starts at a time' => sub {
    my $t = by_hand($l, group => 'timed');
    $t->run;
    my @before = logged($l->stream($t->events('seconds=0.3'))->rest);
    my $then = 1 + (sql($l, 'SELECT max(ts) FROM events'))[0][0];
    wait_until { time * 1000 > $then } 5;
    $t->say('doc.created', {}, 2);
    $t->finish;
    my $iso = POSIX::strftime('%Y-%m-%dT%H:%M:%S', gmtime $then / 1000) . sprintf '.%03dZ', $then % 1000;
    my $told = sub {
        my ($connected, @rest) = $l->stream(@_)->rest;
        return ($connected, map { number($_->{id}) } logged(@rest));
    };
    my ($connected, @all) = $told->($t->events);
    my @later = @all[@before .. $#all];
    for my $since ($then, $iso, $iso =~ s/Z$/%2B00:00/r) {
        my ($began, @shown) = $told->($t->events("since=$since"));
        is_deeply \@shown, \@later, "since=$since: what happened from then on";
        is $began->{id}, $began->{json}{payload}{cursor}, '... from a cursor that it names';
        ok !exists $began->{json}{payload}{snapshot}, '... without a snapshot';
        is_deeply [($told->("/api/groups/timed/events?seconds=0.3&types=task.*,doc.*&since=$since"))[1 .. @later]], \@later, '... of the group';
    }
    is_deeply [($told->($t->events('since=5')))[1 .. @all]], \@all, 'a time before the log: all of it';
    is_deeply [($told->($t->events("since=5&last_event_id=$connected->{json}{payload}{cursor}")))[1 .. @all]], \@all;
    is join(' ', ($told->($t->events("since=5&starting_after=" . epoch(cursor()) . "-$all[-2]")))[1 .. 1]), $all[-1], 'a cursor comes first';
    is $l->http(GET => $t->events('since=9999999999999'))->status, 204, 'a time to come is now: nothing follows a finished task';
    my $s = $l->stream('/api/groups/timed/events?seconds=0.3&since=9999-01-01T00:00:00Z');
    my $now = $s->next_event;
    is $now->{json}{payload}{snapshot}{status}, 'completed', '... and for a group it begins with a snapshot';
    my $page = $l->http(GET => $t->events("since=$then"), headers => $json)->json;
    is_deeply [map { number($_->{id}) } @{ $page->{events} }], \@later, 'pages too';
    my $lines = $l->http(GET => $t->events("since=$then"), headers => $ndjson)->body;
    is_deeply [$lines =~ /^\{"id":"[^"]*-(\d+)"/mg], \@later, 'and lines';
};

subtest 'a stream ends after the seconds that it was asked for' => sub {
    my $t = by_hand($l);
    my $began = time;
    my @frames = $l->stream($t->events('seconds=0.5'))->rest;
    is words($frames[-1]), 'end:rotated', 'by rotation';
    cmp_ok time - $began, '>=', 0.4, 'not before';
    my $lines = $l->http(GET => $t->events('follow=1&seconds=0.5'), headers => $ndjson)->body;
    like $lines, qr/"reason":"rotated"/, 'lines that follow too';
    $t->run;
    $t->finish;
};

subtest 'a resumed stream repeats the cursor of its client, however much happened elsewhere' => sub {
    my $t = by_hand($l);
    $t->run;
    my $first = $l->stream($t->events);
    my $last  = (map { $first->next_event } 1 .. 3)[-1];
    $first->close;
    finished(4);
    my $s         = $l->stream($t->events, headers => {'Last-Event-ID' => $last->{id}});
    my $connected = $s->next_event;
    is $connected->{id}, $last->{id};
    is $connected->{json}{payload}{cursor},  $last->{id};
    is $connected->{json}{payload}{message}, 'resumed';
    $t->say('doc.created');
    is $s->next_event->{json}{task_seq}, 3;
    $s->close;
};

subtest 'a stream from now on fits its snapshot exactly, whenever it is opened' => sub {
    $l->job(ticks => <<'EOT');
#!/usr/bin/perl
open my $out, '>&=', 3 or die; select $out; $| = 1;
for (1 .. 3000) {
    print qq({"type":"tick.tock","payload":{"n":$_}}\n);
    print $_ / 30, "\n" if $_ % 10 == 0;
    select undef, undef, undef, 0.001;
}
EOT
    my $id = $l->http(POST => '/api/tasks', json => {type => 'ticks', group => 'snap'})->json->{task_id};
    my $path = "/api/tasks/$id/events";
    my ($opened, @wrong) = (0);
    while (1) {
        my $s = $l->stream("$path?last_event_id=now");
        last if $s->status != 200;
        my $c = $s->next_event(5);
        my $p = $c->{json}{payload};
        push @wrong, "id $c->{id}, cursor $p->{cursor}" if $c->{id} ne $p->{cursor};
        push @wrong, 'a snapshot from after the cursor' if number($p->{snapshot}{cursor}) > number($c->{id});
        last if $p->{snapshot}{status} eq 'pending' && $opened;
        my @next = grep { defined } map { $s->next_event(5) } 1 .. 3;
        $s->close;
        my $again = $l->stream($path, headers => {'Last-Event-ID' => $c->{id}});
        my @same  = grep { defined } map { $again->next_event(5) } 0 .. 3;
        $again->close;
        my $seen = $p->{snapshot}{event_count};
        my @seqs = map { $_->{json}{task_seq} } logged(@next);
        push @wrong, "after $seen: @seqs" if "@seqs" ne join ' ', map { $seen + $_ } 1 .. @seqs;
        push @wrong, 'another answer at the second time' if seqs(logged(@same)) ne "@seqs";
        $opened++;
        last if @wrong || grep { word($_->{json}) eq 'end:finished' } @next;
    }
    is "@wrong", '';
    cmp_ok $opened, '>=', 20, 'opened often enough';
    diag "opened $opened times" if $opened < 20;
};

subtest 'a cursor that cannot be used resets the stream, and says why' => sub {
    my $t     = finished(4);
    my @all   = logged($l->stream($t->events)->rest);
    my $epoch = epoch($all[0]{id});
    my $seq   = number($all[0]{id});
    my $other = $epoch eq '00000000' ? '11111111' : '00000000';
    my @cases = (
        ["$other-$seq",             'epoch',  'of another life of the log'],
        ['nonsense',                'epoch',  'malformed'],
        ["$epoch",                  'epoch',  'cut off'],
        ["$epoch-",                 'epoch',  'cut off later'],
        ["$epoch-0$seq",            'epoch',  'written in another way'],
        ["$epoch--1",               'epoch',  'negative'],
        ["$epoch-$seq;",            'epoch',  'with something behind it'],
        ["$epoch-9" . '9' x 30,     'epoch',  'no number that fits'],
        ["$epoch-" . (newest() + 1), 'future', 'beyond the newest event'],
        ["$epoch-9223372036854775807", 'future', 'far beyond'],
    );
    for my $case (@cases) {
        my ($cursor, $reason, $name) = @$case;
        my ($reset, $connected, @rest) = $l->stream($t->events, headers => {'Last-Event-ID' => $cursor})->rest;
        subtest "$name: $cursor" => sub {
            is word($reset->{json}), "reset:$reason";
            my $p = $reset->{json}{payload};
            is $reset->{id}, $p->{oldest};
            cmp_ok number($p->{oldest}), '<', $seq, 'its id lies before the first event that is retained';
            cmp_ok number($p->{latest}), '>=', number($all[-1]{id});
            is word($connected->{json}), 'connected';
            is $connected->{id}, $reset->{id};
            is $connected->{json}{payload}{snapshot}{id},     $t->id;
            is $connected->{json}{payload}{snapshot}{status}, 'completed';
            is_deeply ids(logged(@rest)), ids(@all), 'then comes what is retained';
            is word($rest[-1]{json}), 'end:finished';
        };
        my $status = $reason eq 'future' ? 400 : 410;
        for my $accept ($json, $ndjson) {
            my $r = $l->http(GET => $t->events, headers => {%$accept, 'Last-Event-ID' => $cursor});
            is $r->status, $status, "$accept->{Accept}: $status";
            is $r->header('content-type'), 'application/problem+json';
            is $r->json->{code}, $reason eq 'future' ? 'cursor_future' : 'cursor_epoch';
        }
        is $l->http(GET => $t->path('/log'), headers => {'Last-Event-ID' => $cursor})->status, $status, 'the log too';
    }
    my @again = $l->stream($t->events, headers => {'Last-Event-ID' => "$other-1"})->rest;
    is $l->stream($t->events, headers => {'Last-Event-ID' => (grep { $_->{id} } @again)[-1]{id}})->status, 204,
        'what it gave last is a cursor again';
};

subtest 'an owner and a group learn that what they have not seen was deleted' => sub {
    my $kept = by_hand($l, group => 'evict');
    my $old  = cursor();
    my $gone = finished(5, group => 'evict');
    my $then = cursor();
    sql($l, "DELETE FROM tasks WHERE n = $gone->{n}");
    my $later = by_hand($l, group => 'evict');

    for my $path ('/api/groups/evict/events', '/api/events') {
        my $s = $l->stream($path, headers => {'Last-Event-ID' => $old});
        my ($reset, $connected) = map { $s->next_event } 1 .. 2;
        is word($reset->{json}), 'reset:evicted', $path;
        is $reset->{id}, $reset->{json}{payload}{oldest};
        cmp_ok number($reset->{id}), '>',  number($old);
        cmp_ok number($reset->{id}), '<=', number($then);
        is $connected->{id}, $reset->{id};
        my $snapshot = $connected->{json}{payload}{snapshot};
        if ($path =~ /groups/) {
            is_deeply [@{ $snapshot->{counts} }{qw(pending completed)}], [2, 0], 'the group as it is now';
        }
        else {
            my @unfinished = map { $_->{id} } @{ $snapshot->{tasks} };
            is_deeply [sort grep { $_ eq $kept->id || $_ eq $later->id } @unfinished],
                [sort $kept->id, $later->id], 'the unfinished tasks of the owner';
        }
        my @next;
        while (my $e = $s->next_event(5)) {
            push @next, $e->{json};
            last if $e->{json}{task_id} // '' eq $later->id;
        }
        is_deeply [grep { $_->{type} ne 'task.deleted' && ($_->{task_id} // '') eq $gone->id } @next], [],
            'nothing of what is gone';
        ok +(grep { $_->{type} eq 'task.deleted' } @next), 'but that it is';
        $s->close;
        my $ok = $l->stream($path, headers => {'Last-Event-ID' => $reset->{id}});
        is word($ok->next_event->{json}), 'connected', 'the new position is good';
        $ok->close;
        my $r = $l->http(GET => $path, headers => {%$json, 'Last-Event-ID' => $old});
        is $r->status, 410;
        is $r->json->{code}, 'cursor_evicted';
    }
    my $s = $l->stream($later->events, headers => {'Last-Event-ID' => $old});
    is words(map { $s->next_event } 1 .. 2), 'connected created', 'a task looks at its own events only';
    $s->close;
};

subtest 'nothing more to say is 204, which stops an EventSource' => sub {
    my $t    = finished(5);
    my @all  = logged($l->stream($t->events)->rest);
    my $last = $all[-1]{id};
    my $r    = $l->http(GET => $t->events, headers => {'Last-Event-ID' => $last});
    is $r->status, 204;
    is $r->body,   '';
    is $r->header('content-type'), undef;
    my $status = sub { $l->stream($t->events($_[0]), headers => [@_[1 .. $#_]])->status };
    is $status->(undef, 'Last-Event-ID' => $all[-2]{id}), 200, 'one event before the end is not the end';
    is $status->('last_event_id=now'),                    204, 'a finished task has no more';
    is $status->('types=log.append'),                     204, 'nor anything of this kind';
    is $status->('types=doc.*'),                          200;
    is $status->('types=doc.*', 'Last-Event-ID' => $all[3]{id}), 204, 'nor more of this kind';
    is $status->('types=doc.*', 'Last-Event-ID' => $all[2]{id}), 200;
    is $status->(undef, 'Last-Event-ID' => cursor()), 204, 'also from a position of the whole log';
    my $u = by_hand($l);
    my $s = $l->stream($u->events('last_event_id=now'));
    is $s->status, 200, 'one that is unfinished may say something yet';
    $s->close;
};

subtest 'an earlier end of a task that was retried ends no stream' => sub {
    my $t = by_hand($l);
    my $s = $l->stream($t->events);
    $t->run;
    sql($l, <<"EOT");
UPDATE tasks SET status = 'failed', updated_at = updated_at + 1 WHERE n = $t->{n};
UPDATE tasks SET status = 'pending', run_at = 4000000000000, updated_at = updated_at + 1 WHERE n = $t->{n}
EOT
    $t->run;
    my @live;
    while (my $e = $s->next_event(5)) {
        push @live, $e;
        last if @live == 6;
    }
    is words(@live), 'connected created status_changed:running status_changed:failed status_changed:pending'
        . ' status_changed:running', 'one that watched';
    my $late = $l->stream($t->events);
    is words(map { $late->next_event(5) } 1 .. 6), words(@live), 'one that came later';
    is $l->stream($t->events('last_event_id=' . $live[3]{id}))->status, 200, 'one that saw the first end';
    $t->finish('cancelled');
    is words($s->rest),    'status_changed:cancelled end:finished';
    is words($late->rest), 'status_changed:cancelled end:finished';
};

subtest 'the end comes after the newest event, even one that came after the end' => sub {
    # one transaction, and more of it than is read at once: the change of status is at every place of
    # such a part once
    for my $before (253, 254, 255, 256, 257) {
        my $u = by_hand($l);
        $u->run;
        my $watch = $l->stream($u->events);
        $watch->next_event for 1 .. 3;
        sql($l, <<"EOT");
WITH RECURSIVE many (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM many WHERE i < $before)
INSERT INTO task_says SELECT $u->{n}, 'doc.created', 0, '{}' FROM many;
UPDATE tasks SET status = 'failed', updated_at = updated_at + 1 WHERE n = $u->{n};
INSERT INTO task_says VALUES ($u->{n}, 'doc.last', 0, '{}')
EOT
        my @rest = $watch->rest(5);
        is words(@rest[-3 .. -1]), 'status_changed:failed doc.last end:finished', "after $before others";
    }
};

subtest 'types lets through what is asked for' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('doc.created');
    $t->say('doc.page.turned');
    $t->say('log.append', {level => 'info', message => 'x'});
    $t->finish;
    my $got = sub { words(logged($l->stream($t->events("types=$_[0]"))->rest)) };
    is $got->('doc.created'), 'doc.created';
    is $got->('doc.*'),       'doc.created doc.page.turned';
    is $got->('doc.*,task.status_changed'),
        'status_changed:running doc.created doc.page.turned status_changed:completed';
    is $got->('*'), words(logged($l->stream($t->events)->rest));
    is $l->http(GET => $t->events('types=doc*'))->status, 422, 'a malformed pattern is refused';
    my $long = 'doc.' . 'x' x 60;
    is $got->(join ',', 'doc.created', map { "doc.a$_" } 1 .. 31), 'doc.created', '32 patterns';
    is $got->("$long,doc.created"), 'doc.created', 'of 64 bytes';
    for my $form ('text/event-stream', 'application/x-ndjson', 'application/json') {
        for my $types (join(',', map { "doc.a$_" } 1 .. 33), "${long}x", "doc.created,${long}x") {
            my $r = $l->http(GET => $t->events("types=$types"), headers => {Accept => $form});
            is $r->status . ' ' . $r->json->{code}, '422 invalid_request', "not more, as $form";
        }
    }
    my $page = $l->http(GET => $t->events('types=log.append'), headers => $json)->json;
    is_deeply [map { $_->{task_seq} } @{ $page->{events} }], [5], 'in pages too';
    cmp_ok number($page->{cursor}), '>=', newest(), 'whose cursor moves past the rest';
};

subtest 'a silent stream beats' => sub {
    my $t = by_hand($l);
    my $s = $l->stream($t->events);
    $s->next_event for 1 .. 2;
    my $begin = time;
    my @beats = map { $s->next_frame(5) } 1 .. 3;
    my $took  = time - $begin;
    is_deeply [map { $_->{raw} } @beats], [(": heartbeat\n") x 3];
    cmp_ok $took, '>', 0.5, 'as often as was set, not more';
    cmp_ok $took, '<', 6;
    $s->close;
    my $lines = $l->stream($t->events('follow=1'), headers => $ndjson);
    $lines->next_line;
    like $lines->next_line(5), qr/^\{"type":"stream\.heartbeat","ts":\d+\}$/, 'lines beat by an object';
    $lines->close;
};

subtest 'streams are told different times to come back' => sub {
    my $t = by_hand($l);
    my @retry = map { my $s = $l->stream($t->events); my $f = $s->next_frame; $s->close; $f->{retry} } 1 .. 30;
    cmp_ok uniq(@retry), '>', 10;
    is_deeply [grep { $_ < 750 || $_ > 1250 } @retry], [], 'within a quarter of the setting';
};

subtest 'a group is watched before its first task, and shows its own alone' => sub {
    my $s = $l->stream('/api/groups/watched%20early/events');
    my $c = $s->next_event;
    is $c->{json}{payload}{snapshot}{status}, 'idle';
    is $c->{id}, $c->{json}{payload}{cursor};
    my $other   = by_hand($l, group => 'another');
    my $foreign = by_hand($l, group => 'watched early', owner => 'bob');
    my $t       = by_hand($l, group => 'watched early');
    $_->run, $_->say('doc.created'), $_->finish for $foreign, $other, $t;
    my @seen;
    while (my $e = $s->next_event(5)) {
        push @seen, $e;
        last if word($e->{json}) eq 'status_changed:completed' && $e->{json}{type} =~ /^group/;
    }
    is_deeply [map { $_->{json}{type} . ($_->{json}{payload}{to} ? ':' . $_->{json}{payload}{to} : '') } @seen],
        [
        'task.created', 'group.status_changed:pending', 'task.status_changed:running', 'group.status_changed:running',
        'doc.created',  'task.status_changed:completed', 'group.status_changed:completed'
        ];
    is_deeply [uniq map { $_->{json}{group_id} } @seen], ['watched early'];
    is_deeply [uniq map { $_->{json}{task_id} // () } @seen], [$t->id];
    is $seen[-1]{json}{payload}{counts}{completed}, 1;
    $s->close;
    my $again = $l->stream('/api/groups/watched%20early/events', headers => {'Last-Event-ID' => $c->{id}});
    is_deeply ids(map { $again->next_event } 0 .. 7), ids($c, @seen), 'and all of it again to who comes back';
    $again->close;
    my $all = $l->stream('/api/groups/watched%20early/events?last_event_id=earliest');
    my ($first, @all) = map { $all->next_event } 0 .. 7;
    ok !exists $first->{id} && !exists $first->{json}{payload}{snapshot}, 'or to who asks for the earliest';
    is_deeply ids(@all), ids(@seen);
    $all->close;
    my $page = $l->http(GET => '/api/groups/watched%20early/events', headers => $json)->json;
    is_deeply $page->{events}, [], 'without a cursor a page begins now, too';
    is $page->{cursor}, cursor();
};

subtest 'an owner sees all that is his, and nothing of anybody else' => sub {
    my $foreign = by_hand($l, owner => 'bob');
    my $s = $l->stream('/api/events');
    my $c = $s->next_event;
    is $c->{id}, $c->{json}{payload}{cursor};
    is_deeply [grep { $_->{id} eq $foreign->id || $_->{owner} ne 'anonymous' }
            @{ $c->{json}{payload}{snapshot}{tasks} }], [], 'nor in the snapshot';
    ok !(grep { $_->{status} !~ /^(?:pending|running)$/ } @{ $c->{json}{payload}{snapshot}{tasks} }),
        'the snapshot is of what is unfinished';
    $foreign->run;
    my ($t, $u) = (by_hand($l), by_hand($l, group => 'of-owner'));
    $_->run, $_->finish for $foreign, $t, $u;
    my @seen = map { $s->next_event(5) } 1 .. 9;
    is_deeply [map { $_->{json}{task_id} // 'group' } @seen],
        [$t->id, $u->id, 'group', ($t->id) x 2, $u->id, 'group', $u->id, 'group'];
    $s->close;
    is $l->stream($foreign->events)->status, 404, "another's task is not there";
};

subtest 'lines end at the newest event, or follow' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('doc.created', {}, 700);
    my $s = $l->stream($t->events, headers => $ndjson);
    is $s->header('content-type'), 'application/x-ndjson';
    my @lines = map { Leat::decode($_) } split /\n/, $s->body;
    ok $s->eof && !$s->broken;
    is_deeply [map { $_->{task_seq} } @lines], [1 .. 702];

    my $f = $l->stream($t->events('follow=1&last_event_id=' . $lines[700]{id}), headers => $ndjson);
    is Leat::decode($f->next_line)->{task_seq}, 702;
    $t->say('doc.created');
    $t->finish;
    my @rest = map { Leat::decode($_) } grep { $_ } split /\n/, $f->body(5);
    is_deeply [map { word($_) } @rest], ['doc.created', 'status_changed:completed', 'end:finished'];
    is $l->http(GET => $t->events('follow=2'), headers => $ndjson)->status, 422;
    is $l->http(GET => $t->events('last_event_id=' . $rest[1]{id}), headers => $ndjson)->body, '',
        'nothing new is no line';
};

subtest 'pages walk a log of a thousand events' => sub {
    my $t = finished(1000);
    my ($cursor, @seen, @sizes) = ('earliest');
    while (1) {
        my $page = $l->http(GET => $t->events("limit=90&last_event_id=$cursor"), headers => $json)->json;
        push @seen,  map { $_->{task_seq} } @{ $page->{events} };
        push @sizes, scalar @{ $page->{events} };
        $cursor = $page->{cursor};
        last unless $page->{more};
        last if @sizes > 20;
    }
    is_deeply \@seen, [1 .. 1000], 'each event once, in order';
    is "@sizes", join ' ', (90) x 11, 10;
    is_deeply $l->http(GET => $t->events("last_event_id=$cursor"), headers => $json)->json,
        {events => [], cursor => $cursor, more => JSON::PP::false}, 'the end is the end';
    my $r = $l->http(GET => $t->events('limit=1000'), headers => $json);
    is $r->header('content-type'), 'application/json';
    is @{ $r->json->{events} }, 1000;
    ok !$r->json->{more}, 'the last page knows that it is';
    # as many as are read from the log at once, so that reading alone cannot tell
    ok !$l->http(GET => finished(256)->events('limit=256'), headers => $json)->json->{more}, 'whatever its length';
    is @{ $l->http(GET => $t->events('types=task.*&limit=2'), headers => $json)->json->{events} }, 2;
    my $few = $l->http(GET => $t->events('types=task.*&limit=10'), headers => $json)->json;
    is_deeply [map { $_->{task_seq} } @{ $few->{events} }], [1, 2, 1000], 'a filter is looked through to the end';
    for my $limit (0, -1, 'x', '') {
        is $l->http(GET => $t->events("limit=$limit"), headers => {Accept => $_})->status, 422, "limit=$limit is refused to $_"
            for 'application/json', 'application/x-ndjson', 'text/event-stream';
    }
};

subtest 'a page that finds nothing looks at a part of the log' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('doc.created', {}, 5000) for 1 .. 4;
    my $from = $l->http(GET => $t->events('limit=1'), headers => $json)->json->{cursor};
    my ($cursor, $pages) = ($from, 0);
    while ($pages < 20) {
        my $r = $l->http(GET => $t->events("types=no.such&last_event_id=$cursor"), headers => {%$json, Prefer => 'wait=0'});
        my $page = $r->json;
        is_deeply $page->{events}, [], 'nothing is there to be shown';
        $pages++;
        last unless $page->{more};
        cmp_ok number($page->{cursor}), '>', number($cursor), '... and there is more behind it';
        cmp_ok number($page->{cursor}) - number($cursor), '<=', 10_000, '... for it ends in good time';
        $cursor = $page->{cursor};
    }
    cmp_ok $pages, '>', 1, 'it took several pages';
    cmp_ok $pages, '<', 20, '... and came to an end';
};

subtest 'a long poll answers when something of its own happens' => sub {
    my $t    = by_hand($l);
    my $else = by_hand($l);
    my $page = $l->http(GET => $t->events, headers => $json)->json;
    my %wait = (headers => {%$json, Prefer => 'wait=20'});
    is @{ $page->{events} }, 1;

    my $r = $l->http(GET => $t->events, %wait);
    is @{ $r->json->{events} }, 1, 'what is there is not waited for';
    is $r->header('preference-applied'), 'wait=20';

    pipe my $read, my $write;
    my $begin = time;
    my $pid   = fork // die;
    if (!$pid) {
        my $got = $l->http(GET => $t->events("last_event_id=$page->{cursor}"), %wait);
        print {$write} $got->body;
        close $write;
        exec 'true';
    }
    close $write;
    ok scalar(wait_until { poll_is_open() }), 'it waits';
    $else->run;
    $t->run;
    my $got = Leat::decode(do { local $/; <$read> });
    waitpid $pid, 0;
    is_deeply [map { $_->{task_seq} } @{ $got->{events} }], [2];
    cmp_ok time - $begin, '<', 5, 'at once';

    $begin = time;
    $r = $l->http(GET => $t->events("last_event_id=$got->{cursor}"), headers => {%$json, Prefer => 'wait=1'});
    is_deeply $r->json->{events}, [], 'an empty page when the time is over';
    cmp_ok time - $begin, '>=', 0.9;
    ok number($r->json->{cursor}) >= number($got->{cursor});
    $r = $l->http(GET => $t->events("last_event_id=$got->{cursor}"), headers => {%$json, Prefer => 'wait=0'});
    is $r->status, 200;
};

# A leat.fcgi has a connection in hand, or is a CGI program that was asked to wait.
sub poll_is_open {
    return scalar grep {
        my $sockets = () = join("\n", map { readlink($_) // '' } glob "/proc/$_/fd/*") =~ /^socket:/mg;
        $sockets >= 2 || Leat::slurp("/proc/$_/environ") =~ /(?:^|\0)HTTP_PREFER=wait/;
    } $l->pids('web');
}

subtest 'the log as text: what was said, and nothing else' => sub {
    my $t = by_hand($l);
    $t->run;
    $t->say('log.append', {level => 'info', message => "caf\x{e9} \"1\""});
    $t->progress(10, 'not of the log');
    $t->say('log.append', {level => 'warn', message => 'two'});
    my $r = $l->http(GET => $t->path('/log'));
    is $r->header('content-type'), 'text/plain; charset=utf-8';
    is $r->body, "caf\xc3\xa9 \"1\"\ntwo\n";

    subtest 'the head of a log comes before there is a line' => sub {
        my $silent = $l->stream(by_hand($l)->path('/log?follow=1'), headers => {Accept => '*/*'});
        is $silent->header('content-type'), 'text/plain; charset=utf-8', 'it does';
        $silent->close;
    };

    # it has no heartbeat, so that a silent one may end before its time, and says how to go on
    my $s = $l->stream($t->path('/log?follow=1'), headers => {Accept => '*/*'});
    my $next = sub {
        while (1) {
            my $line = $s->next_line(5);
            return $line if ($line // '') !~ /^# rotated; it goes on with \?(follow=1&last_event_id=\S+)$/;
            $s = $l->stream($t->path("/log?$1"), headers => {Accept => '*/*'});
        }
    };
    is $next->(), "caf\xc3\xa9 \"1\"";
    is $next->(), 'two';
    $t->say('log.append', {level => 'info', message => 'three'});
    is $next->(), 'three', 'as it is said';
    $t->finish;
    is $next->(), undef, 'and its end is the end';
    ok $s->eof && !$s->broken;
};

subtest 'a silent log ends whole, not before its time by quick heartbeats, and goes on where it was' => sub {
    my $quick = Leat->start(conf => "[stream]\nstream_seconds = 3\nheartbeat = 0.2\n");
    local $l = $quick;
    my $t = by_hand($l);
    $t->run;
    $t->say('log.append', {level => 'info', message => 'one'});
    my $begin = time;
    my $s = $l->stream($t->path('/log?follow=1'), headers => {Accept => '*/*'});
    is $s->next_line(5), 'one';
    my $last = $s->next_line(10);
    cmp_ok time - $begin, '>', 2.5, 'it was waited for';
    like $last, qr/^# rotated; it goes on with \?follow=1&last_event_id=[\w-]+$/, 'it says how to go on';
    is $s->body(5), '', 'that is its end';
    ok $s->eof && !$s->broken, 'a whole one';
    $t->say('log.append', {level => 'info', message => 'two'});
    $t->finish;
    my ($query) = ($last // '') =~ /\?(.*)/;
    is $l->http(GET => $t->path("/log?$query"))->body, "two\n", 'nothing is lost or told again';
    $quick->stop;
};

subtest 'HEAD answers as GET does, without a body' => sub {
    my $t = finished(3);
    my $head = sub { $l->http(HEAD => $_[0], headers => $_[1] || {}) };
    my $r = $head->($t->events);
    is $r->status, 200;
    is $r->header('content-type'), 'text/event-stream; charset=utf-8';
    is $head->($t->events, $ndjson)->header('content-type'), 'application/x-ndjson';
    is $head->($t->events, $json)->header('content-type'),   'application/json';
    is $head->($t->path('/log'))->header('content-type'),    'text/plain; charset=utf-8';
    is $head->('/api/groups/g/events')->status, 200;
    is $head->('/api/tasks/00000000-0000-7000-8000-000000000000/events')->status, 404, 'nothing is not there';
    is $head->($t->events, {'Last-Event-ID' => cursor()})->status, 204;
    is $head->($t->events, {%$ndjson, 'Last-Event-ID' => 'x'})->status, 410;
};

subtest 'leat.fcgi that is stopped says where to go on, and its successor goes on' => sub {
    my $t = by_hand($l);
    $t->run;
    my $s = $l->stream($t->events);
    $s->next_event for 1 .. 3;
    $t->say('log.append', {level => 'info', message => 'said'});
    $s->next_event;
    my $log = $l->stream($t->path('/log?follow=1'), headers => {Accept => '*/*'});
    is $log->next_line, 'said';
    my $before = cursor();
    my %old = map { $_ => 1 } $l->pids('web');
    kill TERM => keys %old;
    my ($end) = $s->rest;
    is word($end->{json}), 'end:shutdown';
    is number($end->{id}), number($before), 'with the last position that was examined';
    ok $s->eof && !$s->broken, 'properly';
    my $line = $log->next_line;
    like $line, qr/^# shutdown; it goes on with \?follow=1&last_event_id=\Q$before\E$/;
    $t->say('doc.created');
    my $next = $l->stream($t->events, headers => {'Last-Event-ID' => $end->{id}});
    is words(map { $next->next_event } 1 .. 2), 'connected doc.created';
    ok scalar(wait_until { my @new = $l->pids('web'); @new == keys %old && !grep { $old{$_} } @new }), 'other processes';
    $next->close;
};

ok eval { $l->stop; 1 }, 'everything stops';

# ---- streams that end soon; an admin; a server that is full --------------------------------------------

$l = Leat->start(conf => "[stream]\nstream_seconds = 1\nheartbeat = 30\n");

subtest 'a stream rotates after its time, between events, and goes on where it ended' => sub {
    my $t = by_hand($l);
    $t->run;
    my $begin = time;
    my $s     = $l->stream($t->events);
    $t->say('doc.created', {}, 3);
    my @first = $s->rest(5);
    my $took  = time - $begin;
    cmp_ok $took, '>', 0.8;
    cmp_ok $took, '<', 5;
    is words(@first), 'connected created status_changed:running doc.created doc.created doc.created end:rotated';
    ok $s->eof && !$s->broken;
    my $end = $first[-1];
    is $end->{id}, $first[-2]{id};
    cmp_ok $end->{json}{payload}{retry_ms}, '>', 0;
    $t->say('doc.created');
    $t->finish;
    my @then = $l->stream($t->events, headers => {'Last-Event-ID' => $end->{id}})->rest(5);
    is words(@then), 'connected doc.created status_changed:completed end:finished';
};

subtest 'a filtered stream that saw nothing moves on all the same' => sub {
    my $t = by_hand($l);
    $t->run;
    my $s = $l->stream($t->events('types=file.created'));
    is word($s->next_event->{json}), 'connected';
    $t->say('doc.created', {}, 500);
    my $newest = newest();
    my ($end) = $s->rest(5);
    is word($end->{json}), 'end:rotated';
    is number($end->{id}), $newest, 'its id is the last position that was examined';
    my $n = $l->stream($t->events('types=file.created&follow=1'), headers => $ndjson);
    my $line = Leat::decode($n->next_line(5));
    is number($line->{payload}{cursor}), $newest, 'the cursor of lines too';
};

subtest 'a flood does not keep a stream beyond its time' => sub {
    my $t = by_hand($l);
    $t->run;
    my $begin = time;
    my $s     = $l->stream($t->events);
    my ($seen, $end) = (0);
    while (time < $begin + 10 && !$end) {
        $t->say('doc.created', {pad => 'x' x 200}, 200);
        while (my $e = $s->next_event(0)) {
            $seen++;
            $end = $e if word($e->{json}) =~ /^end/;
        }
    }
    is word($end->{json}), 'end:rotated';
    cmp_ok time - $begin, '<', 6;
};

subtest 'an admin sees what all owners do' => sub {
    my $s = $l->stream('/api/events');
    $s->next_event;
    my $g = $l->stream('/api/groups/shared/events?owner=bob');
    is $g->next_event->{json}{payload}{snapshot}{owner}, 'bob';
    my @tasks = map { by_hand($l, owner => $_, group => 'shared') } qw(alice bob);
    is_deeply [map { $s->next_event(5)->{json}{task_id} // 'group' } 1 .. 4],
        [$tasks[0]->id, 'group', $tasks[1]->id, 'group'];
    is $g->next_event(5)->{json}{task_id}, $tasks[1]->id, "one group at a time, by its owner's name";
    $_->close for $s, $g;
};

ok eval { $l->stop; 1 };
$l = Leat->start(processes => 1, conf => "[stream]\nmax_streams = 4\n");

# What would not have opened a stream anyway is answered as ever, also where no stream may be opened.
sub what_is_no_stream_says_so {
    my $sse  = {Accept => 'text/event-stream'};
    my $done = finished(3);
    my $seen = cursor();
    my $none = '/api/tasks/00000000-0000-7000-8000-000000000000';
    my @rows = (
        ["$none/events", 404, $sse], ["$none/events?follow=1", 404, $ndjson], ["$none/log?follow=1", 404],
        [$done->events("last_event_id=$seen"), 204, $sse], [$done->events('types=A'), 422, $sse],
        [$done->events('last_event_id=%ff'), 400, $sse], [$done->events('follow=1&last_event_id=x'), 410, $ndjson],
        [$done->events('follow=1&last_event_id=' . epoch($seen) . '-999999999'), 400, $ndjson], [$done->path('/log?follow=1&last_event_id=x'), 410],
    );
    for (@rows) {
        my ($path, $status, $headers) = @$_;
        is $l->http(GET => $path, headers => $headers || {})->status, $status, "$path: $status";
    }
}

subtest 'a stream too many is told to come back, in a form that EventSource takes' => sub {
    my $t    = by_hand($l);
    my @open = map { my $s = $l->stream($t->events); $s->next_event; $s } 1 .. 4;
    my $s    = $l->stream($t->events);
    is $s->status, 200;
    is $s->header('content-type'), 'text/event-stream; charset=utf-8';
    like $s->next_frame->{raw}, qr/^retry: \d+$/m;
    my ($end, @more) = $s->rest(5);
    is word($end->{json}), 'end:overloaded';
    ok !exists $end->{id}, 'without an id: the client keeps its own';
    is @more, 0;
    my $r = $l->http(GET => $t->events('follow=1'), headers => $ndjson);
    is $r->status, 503, 'lines are refused openly';
    $t->run;
    $r = $l->http(GET => $t->events('last_event_id=now'), headers => {Accept => 'application/json', Prefer => 'wait=1'});
    is $r->status . ' ' . $r->json->{detail}, '429 the limit max_streams of 4 is reached', '... and a long poll, which names the limit';
    is $r->header('RateLimit-Policy'), '"max_streams";q=4', '... in its headers';
    what_is_no_stream_says_so();
    $_->close for @open;
    ok scalar(wait_until {
        my $try = $l->stream($t->events);
        my $got = $try->next_event;
        $try->close;
        word($got->{json}) eq 'connected';
    } 5), 'a place that is free is given again';
};

$l->stop;
$l = Leat->start(conf => "[limits]\nstreams_per_owner = 1\nstream_opens_per_minute = 2\n");

subtest 'only what opens a stream counts as an opening' => sub {
    what_is_no_stream_says_so();
    my $t = by_hand($l);
    $t->run;
    for my $n (1, 2) {
        my $s = $l->stream($t->events);
        is word($s->next_event->{json}), 'connected', "opening $n of 2";
        what_is_no_stream_says_so();    # at the limit of streams_per_owner
        $s->close;
        wait_until { (() = $l->log =~ /msg="stream_close"/g) >= $n } 5 or fail 'its end was not noticed';
    }
    my $end;
    wait_until { $end = word($l->stream($t->events)->next_event->{json}); $end eq 'end:overloaded' } 5;    # a minute may have passed
    is $end, 'end:overloaded', 'and then no more';
    what_is_no_stream_says_so();
};

$l->stop;
done_testing;
