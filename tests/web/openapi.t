# The description of the API is true: each answer of every route has a documented status, media type,
# headers and body. At the end it tells which documented answers nothing here has asked for.
use strict;
use warnings;
use ByHand;
use JSON::PP ();
use Leat;
use POSIX ();
use Schema;
use Test::More;

my $no = '01890000-0000-7000-8000-000000000000';

subtest 'the validator finds what is wrong' => sub {
    my $coder  = JSON::PP->new->allow_nonref;
    my $schema = Schema->new({n => {type => 'integer', minimum => 2}});
    my @rows   = (
        # data, schema, how many things are wrong
        ['1',                 '{"type":"integer"}',                                    0],
        ['1.5',               '{"type":"integer"}',                                    1],
        ['"1"',               '{"type":"number"}',                                     1],
        ['true',              '{"type":"integer"}',                                    1],
        ['null',              '{"type":["string","null"]}',                            0],
        ['"b"',               '{"enum":["a",null]}',                                   1],
        ['{"a":[1]}',         '{"const":{"a":[1]}}',                                   0],
        ['{"a":1}',           '{"required":["a","b"]}',                                1],
        ['{"a":1}',           '{"properties":{"a":{"type":"string"}}}',                1],
        ['{"a":1,"b":2}',     '{"properties":{"a":{}}}',                               1],
        ['{"a":1,"b":2}',     '{"properties":{"a":{}},"additionalProperties":true}',   0],
        ['{"a":1,"b":2}',     '{"properties":{"a":{}},"additionalProperties":false}',  1],
        ['{"a":1,"b":2}',     '{"allOf":[{"properties":{"a":{}}},{"properties":{"b":{}}}]}', 0],
        ['{"a":1,"b":2}',     '{"anyOf":[{"properties":{"a":{}}},{"required":["c"],"properties":{"b":{}}}]}', 1],
        ['1',                 '{"oneOf":[{"type":"integer"},{"minimum":0}]}',          1],
        ['-1',                '{"oneOf":[{"type":"integer"},{"minimum":0}]}',          0],
        ['[1,"x"]',           '{"items":{"type":"integer"}}',                          1],
        ['[]',                '{"minItems":1}',                                        1],
        ['"ab"',              '{"pattern":"^a$"}',                                     1],
        ['1',                 '{"$ref":"#/n"}',                                        1],
        ['2',                 '{"$ref":"#/n","maximum":1}',                            1],
        ['2',                 '{"format":"int64","description":"x","x-y":1}',          0],
    );
    for (@rows) {
        my ($data, $what, $count) = @$_;
        my @wrong = $schema->check($coder->decode($data), $coder->decode($what));
        is scalar @wrong, $count, "$data as $what" or diag @wrong;
    }
    for my $bad ('{"not":{}}', '{"$ref":"#/m"}', '{"$ref":"other.json"}', '{"items":{"dependentRequired":{}}}') {
        ok !eval { $schema->check([1], $coder->decode($bad)); 1 }, "$bad is not passed over";
    }
};

# ---- what the document says ----------------------------------------------------------------------

my $l = Leat->start(conf => <<'CONF');
[http]
max_body_bytes = 4000
bulk_max = 3
hosts = localhost 127.0.0.1
max_raw_bytes = 6000
inline_result_bytes = 100
allowed_origins = https://friend.example
[stream]
stream_seconds = 0.3
heartbeat = 0.2
[database]
busy_ms = 300
CONF
$l->job(cat   => "#!/bin/sh\nexec cat\n");
$l->job(small => "#!/bin/sh\nexec cat\n", "get = yes\nmax_input_bytes = 3\nresult_type = text/x-small\nserialize = group\n");
$l->job(asks  => "#!/bin/sh\ncat >/dev/null\nexec sleep 1\n", "get = yes\n");
$l->job(fails => "#!/bin/sh\necho 'no luck' >&2\nexit 65\n");
$l->job(says  => <<'JOB', "attempts = 2\nbackoff = 0\n");
#!/bin/sh
echo '{"progress":40.5,"phase":"llm","message":"half"}' >&3
echo '{"type":"doc.created","payload":{"page":1}}' >&3
echo '{"type":"doc.noted"}' >&3
echo '{"log":"careful","level":"warn"}' >&3
echo '{"context":{"last":1}}' >&3
echo 'a line' >&2
[ "$LEAT_ATTEMPT" = 2 ] || exit 75
echo '{"words":3,"status":"mine"}'
JOB
$l->job(leaves => "#!/bin/sh\necho a >\"\$LEAT_FILES/a b.txt\"\n: >\"\$LEAT_FILES/a.pdf\"\n");
$l->job(nap => "#!/bin/sh\nexec sleep \"\$(cat)\"\n");

my $raw    = $l->http(GET => '/api/openapi.json');
my $doc    = $raw->json;
my $schema = Schema->new($doc);
is $raw->status . ' ' . $raw->header('Content-Type'), '200 application/json', 'the document';
is $doc->{openapi}, '3.1.0', 'OpenAPI 3.1';
is_deeply $doc->{servers}, [{url => '/api'}], 'its server is the prefix';
unlike $raw->body, qr/@(?:VERSION|PREFIX)@/, 'nothing was left to fill in';

# An object that may be a $ref.
sub the { return $_[0]{'$ref'} ? $schema->resolve($_[0]{'$ref'}) : $_[0] }

my @operations;    # [METHOD, template]
for my $path (sort keys %{ $doc->{paths} }) {
    push @operations, [uc $_, $path] for sort keys %{ $doc->{paths}{$path} };
}

# The template that a path fits: literal segments before parameters, as the routes have it.
sub template_of {
    my ($path) = @_;
    $path =~ s/\?.*//;
    my @best;
    for my $template (keys %{ $doc->{paths} }) {
        (my $pattern = quotemeta "/api$template") =~ s/\\\{\w+\\\}/[^\/]+/g;
        my $literal = () = $template =~ /\/[^{\/]+/g;
        push @best, [$literal, $template] if $path =~ /^$pattern$/;
    }
    @best = sort { $b->[0] <=> $a->[0] } @best;
    return @best ? $best[0][1] : undef;
}

my %seen;    # "METHOD /template STATUS media/type"

sub check_headers {
    my ($r, $documented) = @_;
    my @wrong;
    for my $name (sort keys %{ $documented || {} }) {
        my $header = the($documented->{$name});
        my $value  = $r->header($name);
        push @wrong, "no $name" if $header->{required} && !defined $value;
        next unless defined $value;
        $value += 0 if ($header->{schema}{type} // '') eq 'integer' && $value =~ /^\d+$/;
        push @wrong, $schema->check($value, $header->{schema}, $name);
    }
    return @wrong;
}

# The events of an answer that is no JSON document.
sub lines_of {
    my ($media, $body) = @_;
    my @texts = $media eq 'text/event-stream' ? $body =~ /^data: (.*)$/mg : grep { length } split /\n/, $body;
    return map { [$_, Leat::decode($_)] } @texts;
}

# What the events of each dialect are, which the document can only say of all of them together.
my %events_of = (
    envelope => [qw(Event Notice)],
    flat     => [qw(FlatEvent Heartbeat)],
    notify   => [qw(NotifyEvent SyncRequired Heartbeat)],
    repo     => [qw(RepoEvent Notice)],
);

sub check_body {
    my ($r, $content, $path) = @_;
    my $type  = $r->header('Content-Type');
    my $media = lc((split /[; ]/, $type // '')[0] // '');
    return ($r->body eq '' ? () : 'a body, but none is documented', defined $type ? "Content-Type: $type" : ()) if !$content;
    my $documented = $content->{$media} // $content->{'*/*'} // return "the media type '$media' is not documented";
    my $dialect = $path =~ /[?&]dialect=(\w+)/ ? $1 : 'envelope';
    my $events  = {anyOf => [map { +{'$ref' => "#/components/schemas/$_"} } @{ $events_of{$dialect} || [] }]};
    my @wrong;
    if (my $items = $documented->{'x-leat-items'}) {
        $items = {allOf => [$items, $events]};
        push @wrong, defined $_->[1] ? $schema->check($_->[1], $items) : "no JSON: $_->[0]" for lines_of($media, $r->body);
    }
    elsif ($media =~ m{^application/(?:\w+\+)?json$}) {
        push @wrong, 'no JSON' unless defined $r->json || $r->body eq 'null';
        push @wrong, $schema->check($r->json, $documented->{schema});
        push @wrong, map { $schema->check($_, $events) } @{ $r->json->{events} }
            if ref $r->json eq 'HASH' && ref $r->json->{events} eq 'ARRAY';
    }
    return @wrong;
}

# Asks, and holds the answer against the document. `server` is another one than the usual; `as` the template
# where the path does not tell.
sub ask {
    my ($method, $path, %opt) = @_;
    my $server   = delete $opt{server} // $l;
    my $template = delete $opt{as} // template_of($path) // die "no template fits $path\n";
    my $r = $server->http($method => $path, %opt);
    my $operation = $doc->{paths}{$template}{ lc($method eq 'HEAD' ? 'GET' : $method) } or die "$method $template is not documented\n";
    my $documented = $operation->{responses}{ $r->status };
    my $what = "$method $path: " . $r->status;
    my @wrong;
    if (!$documented) {
        @wrong = 'the status is not documented';
    }
    else {
        $documented = the($documented);
        @wrong = check_headers($r, $documented->{headers});
        push @wrong, check_body($r, $documented->{content}, $path) if $method ne 'HEAD';
        push @wrong, 'a problem that names another status'
            if ($r->header('Content-Type') // '') eq 'application/problem+json' && $method ne 'HEAD' && $r->json->{status} != $r->status;
        # a request that was taken is one that the document allows
        my $body = ($operation->{requestBody}{content} || {})->{'application/json'};
        push @wrong, map { "of the request: $_" } $schema->check($opt{json}, $body->{schema})
            if $r->status =~ /^2/ && exists $opt{json} && $body && $path !~ /[?&]type=/;
    }
    $seen{"$method $template " . $r->status}++;
    ok !@wrong, $what or diag join("\n", @wrong[0 .. ($#wrong < 9 ? $#wrong : 9)]), "\n", substr $r->body, 0, 1500;
    return $r;
}

# As ask(), and the answer must have this status (and this code).
sub gives {
    my ($status, $code, @request) = @_;
    my $r = ask(@request);
    is $r->status, $status, '... as it should be';
    is ref $r->json eq 'HASH' && $r->json->{code}, $code, "... $code" if defined $code;
    return $r;
}

sub token {
    my ($owner, $scope, $server) = @_;
    my $r = ($server // $l)->leat('token', 'add', '--owner', $owner, '--scope', $scope);
    $r->{status} == 0 or die "token add: $r->{err}";
    return (Authorization => "Bearer $r->{out}");
}

sub finished {
    my ($fields, $status) = @_;
    my $r = gives(200, undef, POST => '/api/tasks', json => $fields, headers => {Prefer => 'wait=2'});
    is $r->json->{status}, $status // 'completed', "... $r->{json}{status}";
    return $r->json->{task_id};
}

my $done = finished({type => 'cat', group => 'g', input => {a => [1, 'x']}});

# A path of its own for each operation.
sub example {
    my ($template) = @_;
    $template =~ s/\{id\}/$done/;
    $template =~ s/\{group\}/g/;
    $template =~ s/\{type\}/asks/;
    $template =~ s/\{name\}/none/;
    return "/api$template";
}

# ---- routes, one after the other -----------------------------------------------------------------

subtest 'making tasks' => sub {
    my @accept = (Accept => 'text/event-stream');
    my $r = gives(202, undef, POST => '/api/tasks', json => {type => 'cat', input => 'x', group => undef, priority => -3, max_attempts => 2, timeout => 1.5, delay => 600});
    gives(202, undef, POST => '/api/tasks', json => {type => 'cat', run_at => 4000000000000});
    gives(202, undef, POST => '/api/tasks?type=cat&group=g&priority=2&delay=0.5', body => "\0\xff");
    gives(202, undef, POST => '/api/tasks', body => '{"type":"cat"}', headers => {'Content-Type' => 'application/x-www-form-urlencoded'});
    gives(202, undef, POST => '/api/tasks', json => {type => 'nap', input => '5'}, headers => {Prefer => 'wait=1'});
    like gives(200, undef, POST => '/api/tasks', json => {type => 'cat'}, headers => {@accept})->header('Content-Location'),
        qr{^/api/tasks/[^/]+/events$}, 'where its events are';
    my @lines = (headers => {'Content-Type' => 'application/x-ndjson'});
    is @{ gives(202, undef, POST => '/api/tasks', body => qq({"type":"cat"}\n\n{"type":"cat","group":"g"}\n), @lines)->json->{tasks} }, 2, 'two tasks';
    for (['{"type":"cat"}' . "\n{", 400, 'bad_json', 2], [qq(\n{"type":"nosuch"}), 422, 'unknown_type', 2], ["{}\n", 422, 'invalid_request', 1]) {
        my ($body, $status, $code, $line) = @$_;
        is gives($status, $code, POST => '/api/tasks', body => $body, @lines)->json->{line}, $line, "... line $line";
    }
    gives(422, 'invalid_request', POST => '/api/tasks', body => "\n", @lines);
    gives(413, 'too_many_lines', POST => '/api/tasks', body => qq({"type":"cat"}\n) x 4, @lines);
    my @once = (json => {type => 'nap', input => '5', unique => 'u'});
    gives(202, undef, POST => '/api/tasks', @once);
    ok gives(202, undef, POST => '/api/tasks', @once)->json->{joined}, 'the one that there is';
    for my $dialect (qw(envelope flat notify repo)) {
        gives(202, undef, POST => "/api/tasks?dialect=$dialect", json => {type => 'cat', group => 'g'});
        gives(200, undef, POST => "/api/tasks?dialect=$dialect", json => {type => $_, group => 'd', input => '{"status":"x","n":1}'}, headers => {Prefer => 'wait=20'})
            for qw(cat fails says);
    }
    my @key = (headers => {'Idempotency-Key' => 'k 1'});
    is gives(202, undef, POST => '/api/tasks', json => {type => 'cat', delay => 600}, @key)->json->{task_id},
        gives(202, undef, POST => '/api/tasks', json => {type => 'cat', delay => 600}, @key)->json->{task_id}, 'the same task';
    gives(422, 'idempotency_key_reused', POST => '/api/tasks', json => {type => 'cat', delay => 601}, @key);
    gives(422, 'unknown_type',           POST => '/api/tasks', json => {type => 'nosuch'});
    gives(422, 'invalid_request',        POST => '/api/tasks', json => {type => 'cat', delay => -1});
    gives(422, 'invalid_request',        POST => '/api/tasks?dialect=latin', json => {type => 'cat'});
    # one that is taken away while somebody waits for it
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        wait_until { @{ $l->http(GET => '/api/tasks?group=taken')->json->{tasks} } } 10;
        sql($l, "UPDATE tasks SET status = 'cancelled' WHERE group_id = 'taken'; DELETE FROM tasks WHERE group_id = 'taken'");
        POSIX::_exit(0);
    }
    gives(202, undef, POST => '/api/tasks', json => {type => 'cat', group => 'taken', delay => 600}, headers => {Prefer => 'wait=2'});
    waitpid $pid, 0;

    gives(400, 'bad_json',               POST => '/api/tasks', body => '{', headers => {'Content-Type' => 'application/json'});
    gives(413, 'body_too_large',         POST => '/api/tasks?type=cat', body => 'x' x 6001);
    gives(413, 'body_too_large',         POST => '/api/tasks', json => {type => 'small', input => 'abcd'});
    gives(415, 'unsupported_media_type', POST => '/api/tasks', body => 'a,b', headers => {'Content-Type' => 'text/csv'});
    gives(415, 'unsupported_encoding',   POST => '/api/tasks?type=cat', body => 'x', headers => {'Content-Encoding' => 'gzip'});
};

subtest 'reading tasks' => sub {
    for my $type (qw(cat small fails says)) {
        my $id = finished({type => $type, group => 'read', input => 'abc'}, $type eq 'fails' ? 'failed' : 'completed');
        for my $dialect (qw(envelope flat notify repo)) { gives(200, undef, GET => "/api/tasks/$id?dialect=$dialect") }
        gives($type eq 'fails' ? 404 : 200, undef, GET => "/api/tasks/$id/result");
        gives(200, undef, GET => "/api/tasks/$id/log");
    }
    my $big = finished({type => 'cat', input => 'x' x 3000});
    gives(200, undef, GET => "/api/tasks/$big?dialect=$_") for qw(envelope flat notify repo);
    gives(200, undef, GET => "/api/tasks/$big/events", headers => {Accept => 'application/json'});
    my $left = finished({type => 'leaves'});
    my $file = sub {
        my ($name) = @_;
        my $r = gives(200, undef, GET => "/api/tasks/$left/files/$name");
        gives(304, undef, GET => "/api/tasks/$left/files/$name", headers => {'If-None-Match' => $r->header('ETag')});
    };
    $file->('a%20b.txt');
    subtest 'an empty file' => sub { $file->('a.pdf') };
    gives(200, undef, GET => "/api/tasks/$left?dialect=$_") for qw(envelope flat notify repo);
    gives(200, undef, GET => "/api/tasks/$left/events", headers => {Accept => 'application/json'});
    gives(404, 'not_found', GET => "/api/tasks/$left/files/c");
    subtest 'ranges of a file' => sub {
        gives(206, undef, GET => "/api/tasks/$left/files/a%20b.txt", headers => {Range => 'bytes=0-0'});
        gives(416, 'range_not_satisfiable', GET => "/api/tasks/$left/files/a%20b.txt", headers => {Range => 'bytes=9-'});
    };
    my $r = gives(200, undef, GET => "/api/tasks/$done");
    my $etag = $r->header('ETag');
    gives(304, undef, GET => "/api/tasks/$done", headers => {'If-None-Match' => $etag});
    gives(304, undef, GET => "/api/tasks/$done", headers => {'If-None-Match' => $etag, Prefer => 'wait=1'});
    gives(200, undef, GET => "/api/tasks/$done", headers => {Prefer => 'wait=1'});
    gives(422, 'invalid_request', GET => "/api/tasks/$done?dialect=latin");
    gives(200, undef, GET => "/api/tasks$_") for '', '?page_size=3', '?status=pending', '?status=failed&type=fails', '?group=g';
    my $token = gives(200, undef, GET => '/api/tasks?page_size=1')->json->{next_page_token};
    gives(200, undef, GET => "/api/tasks?page_token=$token");
    gives(200, undef, GET => "/api/tasks?dialect=$_") for qw(flat notify repo);
    gives(422, 'invalid_request', GET => '/api/tasks?status=done');
    my $nap = $l->http(POST => '/api/tasks', json => {type => 'nap', input => '20', group => 'naps'})->json->{task_id};
    wait_until { $l->http(GET => "/api/tasks/$nap")->json->{status} eq 'running' } 20;
    gives(200, undef, GET => "/api/tasks/$nap?dialect=$_") for qw(envelope flat notify repo);
    gives(409, 'not_finished', GET => "/api/tasks/$nap/result");
    gives(409, 'state', DELETE => "/api/tasks/$nap");
    gives(409, 'state', POST => "/api/tasks/$nap/retry");
    gives(202, undef, POST => "/api/tasks/$nap/cancel");
    wait_until { $l->http(GET => "/api/tasks/$nap")->json->{status} eq 'cancelled' } 20;
    gives(200, undef, GET => "/api/tasks/$nap");
    gives(409, 'state', POST => "/api/tasks/$nap/cancel");
    gives(422, 'invalid_request', POST => "/api/tasks/$nap/retry?$_") for 'dialect=latin', 'force=yes';
    gives(202, undef, POST => "/api/tasks/$nap/retry");
    gives(422, 'invalid_request', POST => "/api/tasks/$nap/cancel?dialect=latin");
    gives(202, undef, POST => "/api/tasks/$nap/cancel?dialect=flat");
    wait_until { $l->http(GET => "/api/tasks/$nap")->json->{status} eq 'cancelled' } 20;
    gives(202, undef, POST => "/api/tasks/$nap/retry?dialect=repo");
    gives(202, undef, POST => "/api/tasks/$nap/cancel?dialect=notify");
    gives(404, 'not_found', @$_)
        for [GET => "/api/tasks/$no"], [DELETE => "/api/tasks/$no"], [POST => "/api/tasks/$no/cancel"], [POST => "/api/tasks/$no/retry"],
        [GET => "/api/tasks/$no/result"], [GET => "/api/tasks/$no/events"], [GET => "/api/tasks/$no/log"];
};

my @forms = ('text/event-stream', 'application/x-ndjson', 'application/json');

subtest 'following' => sub {
    my $id = finished({type => 'says', group => 'say it'});
    my $t  = by_hand($l, group => 'by hand');
    $t->run;
    $t->progress(33.3, 'a third');
    sql($l, "INSERT INTO task_says VALUES ($t->{n}, 'file.created', ${\ByHand::now()}, '{\"name\":\"a\",\"bytes\":1,\"content_type\":\"text/plain\",\"url\":\"/x\"}')");
    my $later = $l->http(GET => "/api/tasks/$id")->json->{cursor};
    (my $first = $later) =~ s/\d+$/1/;
    (my $beyond = $later) =~ s/\d+$/999999999/;
    my @scopes = ("/api/tasks/$id/events", $t->events, '/api/groups/by%20hand/events', '/api/groups/never/events', '/api/events');
    for my $path (@scopes) {
        for my $form (@forms) {
            my $live = $form eq 'text/event-stream';
            for my $query ('last_event_id=earliest', 'last_event_id=now', "starting_after=$first", 'dialect=flat&lastEventId=earliest',
                'dialect=notify&lastEventId=earliest', 'dialect=repo&lastEventId=earliest', 'types=task.*,doc.created&last_event_id=earliest')
            {
                next if $live && $query =~ /dialect|types/ && $path eq '/api/groups/never/events';
                ask(GET => "$path?$query", headers => {Accept => $form});
            }
            gives($live ? 200 : 410, $live ? undef : 'cursor_epoch', GET => "$path?last_event_id=dead-1", headers => {Accept => $form});
            gives($live ? 200 : 400, $live ? undef : 'cursor_future', GET => "$path?last_event_id=$beyond", headers => {Accept => $form});
            gives(422, 'invalid_request', GET => "$path?$_", headers => {Accept => $form}) for 'types=Task', 'dialect=latin', 'follow=yes';
        }
        gives(200, undef, GET => "$path?follow=1&last_event_id=earliest", headers => {Accept => $forms[1]});
        gives(200, undef, GET => "$path?limit=1", headers => {Accept => $forms[2]});
        gives(200, undef, GET => $path, headers => {Accept => $forms[2], Prefer => 'wait=1', 'Last-Event-ID' => 'now'});
        gives(422, 'invalid_request', GET => "$path?limit=0", headers => {Accept => $forms[2]});
        (my $odd = $path) =~ s{events$}{%65vents};
        gives(200, undef, GET => $odd, as => template_of($path), headers => {Accept => $forms[0]});
    }
    my $r = gives(204, undef, GET => "/api/tasks/$id/events", headers => {Accept => $forms[0], 'Last-Event-ID' => $later});
    my @types = map { $_->{type} } @{ gives(200, undef, GET => "/api/tasks/$id/events", headers => {Accept => $forms[2]})->json->{events} };
    my %types = map { $_ => 1 } @types;
    is_deeply [sort keys %types], [qw(doc.created doc.noted log.append task.created task.progress task.status_changed)], 'all sorts of events';
    gives(200, undef, GET => "/api/tasks/$id/log?follow=$_") for 0, 1;
    gives(200, undef, GET => $t->path('/log?follow=1'));
    gives(400, 'cursor_future',   GET => "/api/tasks/$id/log?last_event_id=$beyond");
    gives(410, 'cursor_epoch',    GET => "/api/tasks/$id/log?last_event_id=none");
    gives(422, 'invalid_request', GET => "/api/tasks/$id/log?follow=yes");
    gives(200, undef, GET => "/api/tasks/$id/log?fol%6cow=1");
    $t->finish('timeout');
    gives(200, undef, GET => $t->events, headers => {Accept => $_}) for @forms;
    gives(200, undef, GET => "/api/tasks/$id/events");

    # what is left of a task that is gone
    gives(204, undef, DELETE => '/api/tasks/' . $t->id);
    gives(200, undef, GET => '/api/groups/by%20hand/events?last_event_id=earliest', headers => {Accept => $_}) for @forms;
    gives(410, 'cursor_evicted', GET => "/api/groups/by%20hand/events?last_event_id=$first", headers => {Accept => $forms[2]});
    gives(410, 'cursor_evicted', GET => "/api/events?last_event_id=$first", headers => {Accept => $forms[1]});
    gives(200, undef, GET => "/api/events?last_event_id=$first", headers => {Accept => $forms[0]});
};

subtest 'groups' => sub {
    gives(200, undef, GET => "/api/groups$_") for '', '?page_size=2', '?owner=nobody';
    my $token = gives(200, undef, GET => '/api/groups?page_size=1')->json->{next_page_token};
    $token =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ge;
    gives(200, undef, GET => "/api/groups?page_token=$token");
    gives(422, 'invalid_request', GET => '/api/groups?page_token=x');
    gives(200, undef, GET => $_) for '/api/groups/g', '/api/groups/g?dialect=repo', '/api/groups?dialect=repo';
    gives(200, undef, GET => '/api/groups/never%2Fused?owner=nobody');
    gives(400, 'bad_request', GET => '/api/groups/g?owner=%ff');
    gives(200, undef, GET => '/api/groups/c/context');
    my $etag = gives(200, undef, PUT => '/api/groups/c/context', json => {a => [1, undef]}, headers => {'If-Match' => '"0"'})->header('ETag');
    is $etag, '"1"', 'version 1';
    gives(304, undef, GET => '/api/groups/c/context', headers => {'If-None-Match' => $etag});
    gives(412, 'version_clash', PUT => '/api/groups/c/context', json => 5, headers => {'If-Match' => '"7"'});
    gives(200, undef, PUT => '/api/groups/c/context', body => $_) for '"text"', 'null', '7';
    gives(200, undef, GET => '/api/groups/c/context');
    gives(400, 'bad_json',        PUT => '/api/groups/c/context', body => '{');
    gives(413, 'body_too_large',  PUT => '/api/groups/c/context', json => 'x' x 4001);
    gives(415, 'unsupported_media_type', $_->[0], $_->[1], body => $_->[2], headers => {'Content-Type' => 'text/plain'})
        for [PUT => '/api/groups/c/context', '{}'], [POST => '/api/groups/c/events', '{"type":"a.b"}'], [POST => '/api/tickets', '{"all":true}'];
    gives(400, 'bad_request', PUT => '/api/groups/c/context?owner=%ff', json => 1);
    gives(202, undef, POST => '/api/groups/c/events', json => {type => 'message.delta', payload => 'x'});
    gives(202, undef, POST => '/api/groups/c/events', json => {type => 'message.done'});
    gives(400, 'bad_json',        POST => '/api/groups/c/events', body => '{');
    gives(413, 'body_too_large',  POST => '/api/groups/c/events', json => {type => 'a.b', payload => 'x' x 4001});
    gives(422, 'invalid_request', POST => '/api/groups/c/events', json => {type => $_}) for 'task.created', 'word', 'A.b';
    gives(200, undef, GET => '/api/groups/c/events?last_event_id=earliest', headers => {Accept => $_}) for @forms;
    $l->http(POST => '/api/tasks', json => {type => 'cat', group => 'c', delay => 600}) for 1, 2;
    is gives(202, undef, POST => '/api/groups/c/cancel')->json->{cancelled}, 2, 'two';
    is gives(202, undef, POST => '/api/groups/c/retry')->json->{retried}, 2, 'again';
    gives(202, undef, POST => '/api/groups/c/cancel');
    gives(400, 'bad_request', POST => "/api/groups/c/$_?owner=%ff") for qw(cancel retry);
    gives(400, 'bad_request', GET => '/api/groups/c/context?owner=%ff');
};

subtest 'run' => sub {
    my @accept = (Accept => 'text/event-stream');
    gives(200, undef, GET => '/api/run/asks?input=x&group=g&dialect=flat&types=task.*', headers => {@accept});
    gives(200, undef, GET => '/api/run/asks?key=k', headers => {@accept});
    gives(422, 'idempotency_key_reused', GET => '/api/run/asks?key=k&input=other', headers => {@accept});
    gives(422, 'unknown_type',       GET => '/api/run/nosuch', headers => {@accept});
    gives(422, 'invalid_request',    GET => '/api/run/asks?key=', headers => {@accept});
    gives(406, 'not_acceptable',     GET => '/api/run/asks', headers => {Accept => 'application/json, text/event-stream;q=0'});
    gives(403, 'not_by_get',         GET => '/api/run/cat', headers => {@accept});
    gives(413, 'body_too_large',     GET => '/api/run/small?input=abcd', headers => {@accept});
    my $end = ($l->http(GET => '/api/run/small?key=ended', headers => {@accept})->body =~ /^id: (\S+)$/mg)[-1];
    gives(204, undef, GET => '/api/run/small?key=ended', headers => {@accept, 'Last-Event-ID' => $end});
    gives(403, 'origin_not_allowed', GET => '/api/run/asks', headers => {@accept, 'Sec-Fetch-Site' => 'cross-site'});
    gives(404, 'not_found',          GET => '/api/run/NoType', headers => {@accept});
    $l->job(wrong => "#!/bin/sh\n", "get = yes\nnope = 1\n");
    gives(500, 'type_misconfigured', @$_) for [GET => '/api/run/wrong', headers => {@accept}], [POST => '/api/tasks', json => {type => 'wrong'}],
        [POST => '/api/tickets', json => {run => 'wrong'}];
};

subtest 'tickets' => sub {
    for my $what ({task => $done}, {group => 'g'}, {all => JSON::PP::true}, {run => 'asks'}, {all => JSON::PP::true, ttl => 1.5, task => undef}) {
        my $r = gives(201, undef, POST => '/api/tickets', json => $what);
        $r = gives(201, undef, POST => '/api/tickets?cookie=1', json => $what);
        like $r->header('Set-Cookie') // '', qr/^leat_ticket=/, 'a cookie';
    }
    gives(400, 'bad_json',        POST => '/api/tickets', body => '{');
    gives(404, 'not_found',       POST => '/api/tickets', json => {task => $no});
    gives(413, 'body_too_large',  POST => '/api/tickets', json => {group => 'x' x 4001});
    gives(422, 'invalid_request', POST => '/api/tickets', json => {task => $done, group => 'g'});
    gives(422, 'unknown_type',    POST => '/api/tickets', json => {run => 'nosuch'});
    my $ticket = $l->http(POST => '/api/tickets', json => {task => $done})->json->{ticket};
    gives(200, undef, GET => "/api/tasks/$done?ticket=$ticket");
    gives(200, undef, GET => "/api/tasks/$done", headers => {Cookie => "leat_ticket=$ticket"});
    gives(403, 'ticket_scope', GET => "/api/tasks?ticket=$ticket");
    gives(401, 'invalid_token', GET => '/api/tasks?ticket=x');
};

subtest 'the site' => sub {
    for my $what ('pause', 'resume') {
        my $r = gives(200, undef, POST => "/api/types/asks/$what");
        is !!$r->json->{paused}, $what eq 'pause', "it is so after $what";
        gives(404, 'not_found', POST => "/api/types/nosuch/$what");
    }
    gives(200, undef, GET => $_) for '/api/types', '/api/health', '/api/metrics', '/api/stats', '/api/stats?dialect=notify';
    my $etag = gives(200, undef, GET => '/api/openapi.json')->header('ETag');
    gives(304, undef, GET => '/api/openapi.json', headers => {'If-None-Match' => $etag});
    my $runner = $l->stop_runner;
    sql($l, 'UPDATE runners SET seen_until = 0');
    my $ill = gives(503, 'unavailable', GET => '/api/health')->json;
    is_deeply [@$ill{qw(database runner retryable)}], [JSON::PP::true, JSON::PP::false, JSON::PP::true], 'what of it';
    kill CONT => $runner;
    my $again = wait_until { $l->http(GET => '/api/health')->status == 200 } 20;
    ok $again, 'it lives again';
};

# ---- every operation, in the same way ------------------------------------------------------------

# SSE for those that stream, so that health and its like have something to refuse.
sub request_of {
    my ($method, $template) = @_;
    return (headers => [Accept => $template =~ m{^/run} ? 'text/event-stream' : 'application/json'], $method =~ /^P/ ? (json => {}) : ());
}

sub with {
    my ($request, @headers) = @_;
    my %request = @$request;
    return (%request, headers => [@headers, @{ $request{headers} }]);
}

subtest 'who may not' => sub {
    # a token that may all but what an operation needs; an admin may everything
    my %without = (
        create => [token('w', 'read,publish')], read => [token('w', 'create,publish')], publish => [token('w', 'create,read')],
        admin  => [token('w', 'create,read,publish')],
    );
    my @origin = (Origin => 'https://foe.example', Accept => 'text/event-stream');
    for (@operations) {
        my ($method, $template) = @$_;
        my @request = request_of($method, $template);
        my $path    = example($template);
        if (@{ $doc->{paths}{$template}{ lc $method }{'x-leat-scopes'} }) {
            gives(401, 'invalid_token', $method => $path, with(\@request, Authorization => 'Bearer nonsense'));
            gives(403, 'insufficient_scope', $method => $path, with(\@request, @{ $without{$_} }))
                for @{ $doc->{paths}{$template}{ lc $method }{'x-leat-scopes'} };
        }
        gives(403, 'origin_not_allowed', $method => $path, %{ {@request} }{grep { $_ eq 'json' } @request}, headers => [@origin]);
    }
    my @reader = token('reader', 'read');
    gives(403, 'insufficient_scope', GET => '/api/groups/g?owner=anonymous', headers => [@reader]);
    gives(403, 'insufficient_scope', POST => '/api/tickets', json => {run => 'asks'}, headers => [@reader]);
};

subtest 'paths that are none' => sub {
    for (@operations) {
        my ($method, $template) = @$_;
        (my $path = example($template)) =~ s{^/api}{/api/x/..};
        gives(400, 'bad_request', $method => $path, as => $template, request_of($method, $template));
    }
    my $r = $l->http(GET => '/api/nothing');
    is_deeply [$schema->check($r->json, {'$ref' => '#/components/schemas/Problem'})], [], 'a path that is not here: ' . $r->status;
};

subtest 'other methods' => sub {
    for my $template (sort keys %{ $doc->{paths} }) {
        my %knows = map { uc $_ => 1 } keys %{ $doc->{paths}{$template} };
        $knows{HEAD} = 1 if $knows{GET} && $template !~ m{/run/};    # which may make a task
        my $path = example($template);
        my $r = $l->http(PATCH => $path);
        is $r->status . ' ' . ($r->header('Content-Type') // ''), '405 application/problem+json', "PATCH $template";
        is_deeply [$schema->check($r->json, {'$ref' => '#/components/schemas/Problem'})], [], 'a problem';
        for ($r, $l->http(OPTIONS => $path)) {
            is_deeply [sort split /, /, $_->header('Allow') // ''], [sort keys %knows, 'OPTIONS'], $_->status . ': the methods that are documented';
        }
    }
};

subtest 'HEAD' => sub {
    for (grep { $_->[0] eq 'GET' && $_->[1] ne '/run/{type}' } @operations) {
        my $path = example($_->[1]);
        my $get  = $l->http(GET => "$path", headers => {Accept => 'application/json'});
        my $head = ask(HEAD => $path, headers => {Accept => 'application/json'});
        is $head->status, $get->status, "as GET $path";
    }
};

# Every operation but those that ask nobody gets this status, where the document has it.
sub everywhere {
    my ($status, $code, $server, $which, @headers) = @_;
    for (grep { $which->(@$_) } @operations) {
        my ($method, $template) = @$_;
        my @request = request_of($method, $template);
        gives($status, $code, $method => example($template), server => $server, with(\@request, @headers));
    }
}

subtest 'another name than the site has' => sub {
    everywhere(421, 'wrong_host', $l, sub { 1 }, Host => 'elsewhere.example');
};

subtest 'a database that is busy' => sub {
    my $file = $l->state . '/leat.db.lock';
    my $pid = open(my $held, '-|', 'flock', $file, 'sh', '-c', 'echo held; exec sleep 60') // die "flock: $!";
    readline $held;
    my $t = $l->http(GET => '/api/tasks?status=cancelled&page_size=1')->json->{tasks}[0]{id};
    my @tries = (
        [POST => '/api/tasks', json => {type => 'cat'}], [DELETE => "/api/tasks/$done"], [POST => "/api/tasks/$done/cancel"],
        [POST => "/api/tasks/$t/retry"], [PUT => '/api/groups/g/context', json => 1], [POST => '/api/groups/g/events', json => {type => 'a.b'}],
        [POST => '/api/groups/g/cancel'], [POST => '/api/groups/g/retry'], [POST => '/api/tickets', json => {all => JSON::PP::true}],
    );
    gives(503, 'database_busy', @$_) for @tries;
    like gives(200, undef, GET => '/api/run/asks?input=busy', headers => {Accept => 'text/event-stream'})->body,
        qr/"reason":"overloaded"/, 'a stream is told so in band';
    kill TERM => $pid;
    close $held;
};

subtest 'a server that bounds what an owner changes and has' => sub {
    my $c = Leat->start(conf => "[limits]\nwrites_per_minute = 1\nbytes_per_owner = 3000\n");
    $c->job(asks => "#!/bin/sh\nexit 0\n", "get = yes\n");
    my ($much, @bob) = ('x' x 4000, token('bob', 'create,read,publish', $c));
    gives(507, 'owner_full', POST => '/api/tasks', json => {type => 'asks', input => $much}, headers => [@bob], server => $c);
    gives(507, 'owner_full', GET => "/api/run/asks?input=$much", headers => [@bob], server => $c);
    gives(507, 'owner_full', PUT => '/api/groups/g/context', json => {text => $much}, headers => [@bob], server => $c);
    gives(507, 'owner_full', POST => '/api/groups/g/events', json => {type => 'doc.created', payload => {text => $much}}, headers => [@bob], server => $c);

    my @alice = token('alice', 'create,read,publish,admin', $c);
    my $id = gives(202, undef, POST => '/api/tasks?type=asks', body => 'x', headers => [@alice], server => $c)->json->{task_id};
    my @ticket = (POST => '/api/tickets', json => {group => 'g'}, headers => [@alice]);
    for (
        \@ticket, [PUT => '/api/groups/g/context', json => {}], [POST => '/api/groups/g/events', json => {type => 'doc.created'}],
        (map { [POST => $_] } '/api/groups/g/cancel', "/api/tasks/$id/cancel"), [DELETE => "/api/tasks/$id"],
        (map { [POST => "/api/types/asks/$_"] } 'pause', 'resume'),
    ) {
        $c->http(@ticket);    # in this minute too
        gives(429, 'rate_limited', @$_[0 .. ($_ == \@ticket ? 3 : $#$_)], headers => [@alice], server => $c);
    }
};

subtest 'a server with its limits, and with a fault' => sub {
    my ($key, $public) = map { "$l->{dir}/ec.$_" } qw(key pub);
    system("openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out $key && openssl pkey -in $key -pubout -out $public") == 0
        or die 'openssl';
    my $conf = "[limits]\npolls_per_minute = 1\nstream_opens_per_minute = 1\ncreates_per_minute = 1\nqueued_per_owner = 1\n[stream]\nstream_seconds = 0.5\n";
    my $auth = "[auth]\nremote_user = yes\njwt_key_file = $public\n";
    my $b = eval { Leat->start(conf => $conf . $auth) };
    my $jwt = $b ? 1 : 0;
    $b //= Leat->start(conf => "$conf\[auth]\nremote_user = yes\n");
    $b->job(asks => "#!/bin/sh\nexit 0\n", "get = yes\n");
    unlink $public;

    my @alice = token('alice', 'create,read,publish', $b);
    my $id = gives(202, undef, POST => '/api/tasks?type=asks', body => 'x', headers => [@alice], server => $b)->json->{task_id};
    gives(429, 'rate_limited', POST => '/api/tasks?type=asks', body => 'x', headers => [@alice], server => $b);
    like gives(200, undef, GET => '/api/run/asks', headers => [@alice, Accept => 'text/event-stream'], server => $b)->body,
        qr/"reason":"overloaded"/, 'an EventSource is told so in band';
    my $failed = by_hand($b, owner => 'alice', group => 'g');
    $failed->run;
    $failed->finish('failed');
    # one that is due, and waits for another one of its group
    my ($runs, $waits) = map { by_hand($b, owner => 'alice', group => 'turns') } 1, 2;
    $runs->run;
    sql($b, "UPDATE tasks SET serialize = 1 WHERE group_id = 'turns';"
            . " UPDATE tasks SET delayed = 0 WHERE group_id = 'turns' AND status = 'pending'");
    gives(429, 'rate_limited', POST => "/api/$_/retry", headers => [@alice], server => $b) for 'tasks/' . $failed->id, 'groups/g';
    my @poll = (headers => [@alice, Accept => 'application/json'], server => $b);
    gives(200, undef, GET => "/api/tasks/$id", @poll);
    # who asks twice asks more than once a minute, unless the next one begins between them: not twice
    my $twice = sub {
        my ($path, @how) = @_;
        $b->http(GET => $path, @how[0, 1]) for 1 .. 2;
        gives(429, 'rate_limited', GET => $path, @how);
    };
    $twice->($_, @poll) for "/api/tasks/$id", "/api/tasks/$id/events", '/api/groups/g/events', '/api/events';
    my @lines = (headers => [@alice, Accept => 'application/x-ndjson'], server => $b);
    gives(200, undef, GET => '/api/events?follow=1', @lines);
    $twice->("$_?follow=1", @lines) for "/api/tasks/$id/log", "/api/tasks/$id/events", '/api/groups/g/events', '/api/events';
    $b->http(GET => '/api/events', headers => [@alice, Accept => 'text/event-stream']);
    like gives(200, undef, GET => '/api/events', headers => [@alice, Accept => 'text/event-stream'], server => $b)->body,
        qr/"reason":"overloaded"/, 'a stream is told so in band';

    subtest 'a user of the web server whose name is too long' => sub {    # of 210 bytes
        everywhere(422, 'invalid_request', $b, sub { 1 }, Authorization => 'Basic ' . 'eHh4' x 70 . 'Onh4');
    };
    SKIP: {
        skip 'built without JWT', 1 unless $jwt;
        everywhere(500, 'internal', $b, sub { 1 }, Authorization => 'Bearer a.b.c');
    }
    $b->stop;

};

subtest 'a server that is full of streams' => sub {
    my $full = Leat->start(processes => 1, conf => "[stream]\nmax_streams = 1\nstream_seconds = 5\n");
    my $s = $full->stream('/api/events');
    my $task = $full->http(POST => '/api/tasks?type=wordcount', body => 'x')->json->{task_id};
    gives(503, 'overloaded', GET => "$_?follow=1", server => $full, headers => {Accept => 'application/x-ndjson'})
        for "/api/tasks/$task/log", "/api/tasks/$task/events", '/api/groups/g/events', '/api/events';
    $full->stop;
};

# ---- the document and the program ----------------------------------------------------------------

subtest 'a parameter is named once' => sub {
    for (@operations) {
        my ($method, $template) = @$_;
        my %times;
        $times{"$_->{in} $_->{name}"}++ for map { the($_) } @{ $doc->{paths}{$template}{ lc $method }{parameters} || [] };
        is_deeply [grep { $times{$_} > 1 } sort keys %times], [], "$method $template";
    }
};

subtest 'every code is documented, and every documented one is used' => sub {
    my %said;
    for my $file (glob('cgi-bin/*.c lib/web/*.c')) {
        my $text = Leat::slurp($file);
        $said{$1} = $file while $text =~ /\bproblem(?:_header|_headers|_members)?\(\s*[\w>.-]+,\s*[^,"]+,\s*(?:\w+ \? )?"(\w+)"/g;
        $said{$1} = $file while $text =~ /\bcode = (?:\w+ \? )?"([a-z_]+)"/g;
    }
    my @codes = @{ $doc->{components}{schemas}{Problem}{properties}{code}{enum} };
    my %documented = map { $_ => 1 } @codes;
    is_deeply [grep { !$documented{$_} && !/^cursor_/ } sort keys %said], [], 'every code is documented';
};

my @untried;
for (@operations) {
    my ($method, $template) = @$_;
    push @untried, map { "$method $template $_" } grep { !$seen{"$method $template $_"} }
        sort keys %{ $doc->{paths}{$template}{ lc $method }{responses} };
}
diag @untried . " documented answers were not asked for:\n" . join "\n", map { "  $_" } @untried if @untried;

$l->stop;
done_testing;
