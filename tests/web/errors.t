# Refusals: what each one says, and that none of them leaves a trace in the database.
use strict;
use warnings;
use IO::Socket::INET;
use JSON::PP ();
use Leat;
use Test::More;

my $MAX_BODY = 3000;
my $MAX_RAW  = 5000;

my $l = Leat->start(conf => "[http]\nmax_body_bytes = $MAX_BODY\nmax_raw_bytes = $MAX_RAW\n");
$l->job(small => "#!/bin/sh\nexec cat\n", "max_input_bytes = 10\n");
$l->job(cat   => "#!/bin/sh\nexec cat\n");
$l->job(wrong => "#!/bin/sh\nexec cat\n", "get = yes\nnope = 1\n");
$l->job(bad   => "#!/bin/sh\nexec cat\n", "timeout = soon\n");

# what lies in the jobs folder and is no job
Leat::write_file($l->jobs . '/notes', "not executable\n");
Leat::write_file($l->jobs . '/.hidden', "#!/bin/sh\n");
chmod 0755, $l->jobs . '/.hidden';
Leat::write_file($l->{dir} . '/outside', "#!/bin/sh\n");
chmod 0755, $l->{dir} . '/outside';
mkdir $l->jobs . '/folder';

my $unknown = '01890000-0000-7000-8000-000000000000';

my $json    = {'Content-Type' => 'application/json'};
my $form    = {'Content-Type' => 'application/x-www-form-urlencoded'};
my @chunked = (curl => ['-H', 'Transfer-Encoding: chunked']);

sub get {
    my ($path, %headers) = @_;
    return $l->http(GET => $path, headers => \%headers);
}

sub post {
    my ($body, @more) = @_;
    return $l->http(POST => '/api/tasks', headers => $json, body => $body, @more);
}

sub raw {
    my ($query, $body, @more) = @_;
    return $l->http(POST => "/api/tasks?$query", body => $body // 'x', @more);
}

my %status_of = (
    bad_json               => 400,
    bad_request            => 400,
    not_found              => 404,
    method_not_allowed     => 405,
    state                  => 409,
    body_too_large         => 413,
    unsupported_media_type => 415,
    unsupported_encoding   => 415,
    wrong_host             => 421,
    invalid_request        => 422,
    unknown_type           => 422,
    type_misconfigured     => 500,
);

# A refusal is a problem (RFC 9457) with this code, the status that goes with it, and a detail that says
# the right thing.
sub refused {
    my ($r, $code, $what, $detail) = @_;
    my $status = $status_of{$code};
    my $j      = ref $r->json eq 'HASH' ? $r->json : {};
    my @wrong  = map { "no $_" } grep { !defined $j->{$_} } qw(type title status detail code retryable);
    my $check  = sub { push @wrong, "wrong $_[0]" unless $_[1] };
    $check->('status',            $r->status == $status);
    $check->('media type',        ($r->header('Content-Type') // '') eq 'application/problem+json');
    $check->('status in it',      ($j->{status} // '') eq $status);
    $check->('code',              ($j->{code}   // '') eq $code);
    $check->('detail',            ($j->{detail} // '') =~ ($detail // qr/./));
    $check->('retryable',         JSON::PP::is_bool($j->{retryable}) && !$j->{retryable});
    $check->('request_id',        ($j->{request_id} // '') eq ($r->header('X-Request-ID') // '-'));
    ok !@wrong, $what or diag join(', ', @wrong), ': ', $r->status, " $r->{body}";
}

# How many rows there are, by table.
sub rows {
    my @tables = qw(tasks events inputs results groups queues);
    my $sql    = join ' UNION ALL ', map { "SELECT '$_', count(*) FROM $_" } @tables;
    my @sqlite = (qw(sqlite3 -readonly -cmd), '.timeout 5000', $l->state . '/leat.db', $sql);
    open my $out, '-|', @sqlite or die "sqlite3: $!";
    my $rows = join '', readline $out;
    close $out or die "sqlite3: $rows";
    return $rows;
}

sub connection {
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $l->port) || die "connect: $@";
}

# one task, and then a state that nothing below may change
my $done = $l->http(
    POST    => '/api/tasks',
    json    => {type => 'cat', group => 'g', input => 'x'},
    headers => {Prefer => 'wait=20'},
)->json;
is $done->{status}, 'completed', 'a finished task';
my $id     = $done->{task_id};
my $before = rows();
like $before, qr/^tasks\|1$/m, 'the tables can be counted';

subtest 'bad JSON is 400 and says where' => sub {
    my @cases = (
        ['a value is missing',      qq({"type":"cat",\n  "input": }),       qr/line 2, column 1\d\b/],
        ['cut off',                 '{"type":"cat"',                        qr/line 1, column \d/],
        ['something behind it',     '{"type":"cat"} x',                     qr/line 1, column \d/],
        ['single quotes',           q({'type':'cat'}),                      qr/line 1, column \d/],
        ['a trailing comma',        '{"type":"cat",}',                      qr/line 1, column \d/],
        ['NaN',                     '{"type":"cat","input":NaN}',           qr/line 1, column \d/],
        ['half a surrogate',        '{"type":"cat","input":"\\ud800"}',     qr/line 1, column \d/],
        ['a raw line break',        qq({"type":"cat","input":"a\nb"}),      qr/line 1, column \d/],
        ['bytes that are no UTF-8', qq({"type":"cat",\n"input":"\xff"}),    qr/line 2, column \d/],
        ['an overlong UTF-8 form',  qq({"type":"cat","input":"\xc0\xaf"}),  qr/line 1, column \d/],
        ['no bytes at all',         '',                                     qr/line 1/],
        ['nested too deep', '{"type":"cat","input":' . '[' x 1000 . ']' x 1000 . '}', qr/nested/],
        ['opened for ever', '[' x 2900,                                     qr/nested/],
    );
    refused(post($_->[1]), 'bad_json', $_->[0], $_->[2]) for @cases;
    refused(post('{"type":', headers => {}),    'bad_json', 'without a Content-Type', qr/line 1/);
    refused(post('{"type":', headers => $form), 'bad_json', 'as curl -d sends it',    qr/line 1/);
};

subtest 'what is not an object with a type is 422' => sub {
    refused(post($_),    'invalid_request', "the body $_", qr/object/) for '[]', '"cat"', '5', 'null';
    refused(post('{}'),  'invalid_request', 'the body {}', qr/^type\b/);
    refused(post('{"type":"cat","tpye":1}'),    'invalid_request', 'an unknown field', qr/^tpye\b/);
    refused(post('{"type":"cat","Input":"x"}'), 'invalid_request', 'names are exact',  qr/^Input\b/);
    refused(post('{"type":"cat","":1}'),        'invalid_request', 'an empty name',    qr/field/);
};

subtest 'a wrong value is 422 and names its field' => sub {
    my $long = 'x' x 201;
    my %json = (
        type         => ['5', 'null', '[]', '{"a":1}', 'true', '"cat\\u0000"'],
        group        => ['""', '5', '["g"]', '"a\\nb"', '"a\\u0000b"', '"\\u007f"', qq("$long"),
            '"' . "\xc3\xa4" x 101 . '"'],
        priority     => ['"high"', '1.5', '1e300', '-1e300', '9999999', '-9999999', '[1]', 'true', '""'],
        max_attempts => ['0', '-1', '1.5', '"3"', '-1e300', 'false'],
        timeout      => ['0', '-1', '"10"', '-1e12', '{}'],
        run_at       => ['-1', '"tomorrow"', '1.5', '1e300', '[]'],
        delay        => ['-1', '"x"', '1e12', '[]'],
    );
    for my $field (sort keys %json) {
        for my $value (@{ $json{$field} }) {
            my $fields = $field eq 'type' ? qq({"type":$value}) : qq({"type":"cat","$field":$value});
            refused(post($fields), 'invalid_request', substr("$field $value", 0, 40), qr/^$field\b/);
        }
    }
    my %query = (
        group        => ['', 'a%0ab', $long],
        priority     => ['', 'high', '1.5', '1e9', '%22'],
        max_attempts => ['0', 'x'],
        timeout      => ['0', '-1', 'x', '1s'],
        run_at       => ['x', '-5'],
        delay        => ['x', '-5', 'null'],
    );
    for my $field (sort keys %query) {
        refused(raw("type=cat&$field=$_"), 'invalid_request', substr("?$field=$_", 0, 40), qr/^$field\b/)
            for @{ $query{$field} };
    }
    refused(raw("type=cat&group=$_"), 'bad_request', "?group=$_", qr/'group'/) for '%ff', '%00', '%4', '%zz';
    refused(raw('type=%ff'),          'bad_request', '?type=%ff', qr/'type'/);

    my $both = qr/delay.*run_at/;
    refused(post('{"type":"cat","run_at":1,"delay":1}'), 'invalid_request', 'run_at and delay',  $both);
    refused(raw('type=cat&run_at=1&delay=1'),            'invalid_request', '?run_at and delay', $both);
};

subtest 'a type that is no job is 422' => sub {
    my @names = (
        'nosuch', '', '../outside', '../jobs/cat', './cat', 'cat/', '/bin/true',
        'X', 'Cat', 'a b', '9lives', '-x', '_x', "c\x{e4}t",
        'small.conf', '.hidden', 'notes', 'folder', 'cat%00', 'x' x 65, "\x{e4}" x 1000,
    );
    for my $name (@names) {
        my $r = $l->http(POST => '/api/tasks', json => {type => $name});
        utf8::encode(my $what = substr $name, 0, 70);
        refused($r, 'unknown_type', "'$what'", qr/^type\b/);
    }
    refused(raw("type=$_"), 'unknown_type', "?type=$_", qr/^type\b/)
        for '', 'nosuch', '..%2Foutside', '%2e%2e/outside', 'cat%20';
};

subtest 'a body that is too large is 413' => sub {
    my $large = '{"type":"cat","input":"' . 'x' x $MAX_BODY . '"}';
    my $bytes = 'x' x ($MAX_RAW + 1);
    refused(post($large),                       'body_too_large', 'JSON',                 qr/\b$MAX_BODY\b/);
    refused(post($large, @chunked),             'body_too_large', 'JSON in chunks',       qr/\b$MAX_BODY\b/);
    refused(raw('type=cat', $bytes),            'body_too_large', 'raw',                  qr/\b$MAX_RAW\b/);
    refused(raw('type=cat', $bytes, @chunked),  'body_too_large', 'raw in chunks',        qr/\b$MAX_RAW\b/);
    refused(raw('type=cat', 'x' x 3_000_000),   'body_too_large', 'many times too large', qr/\b$MAX_RAW\b/);
    refused(raw('type=nosuch', $bytes),         'body_too_large', 'whatever the type',    qr/\b$MAX_RAW\b/);
    refused(raw('type=small', '12345678901'),   'body_too_large', 'for this type',        qr/^input\b.*\b10\b/);
    refused(post('{"type":"small","input":"12345678901"}'), 'body_too_large', 'in JSON',  qr/^input\b.*\b10\b/);
};

subtest 'a body that is neither JSON nor of a type is 415' => sub {
    my @cases = (
        ['text/csv',                          'a,b'],
        ['text/plain',                        '{"type":"cat"}'],
        ['application/octet-stream',          '{"type":"cat"}'],
        ['application/x-www-form-urlencoded', 'type=cat'],
        ['application/x-www-form-urlencoded', '[1]'],
        ['multipart/form-data; boundary=x',   '--x'],
        ['application/xml',                   '<a/>'],
    );
    refused(post($_->[1], headers => {'Content-Type' => $_->[0]}), 'unsupported_media_type', "@$_") for @cases;
    refused(post('hello', headers => {}), 'unsupported_media_type', 'no Content-Type');
    my $gzip = {%$json, 'Content-Encoding' => 'gzip'};
    refused(post("\x1f\x8b", headers => $gzip), 'unsupported_encoding', 'a Content-Encoding');
    refused(raw('type=cat', "\x1f\x8b", headers => $gzip), 'unsupported_encoding', 'also of a raw body');
};

subtest 'what is not there is 404' => sub {
    refused(get($_), 'not_found', "GET $_") for (
        (map { "/api/tasks/$unknown$_" } '', '/events', '/result', '/log'),
        (map { "/api/tasks/$_" } '1', 'x', uc $id, "${id}x", substr($id, 1), "$id/nothing", "$id/result/more"),
        '/api/', '/api/task', '/api/TASKS',
        "/api/internal/tasks/$id", "/api/internal/tasks/$id?wait_ms=1",
    );
    refused($l->http(POST => $_, body => ''), 'not_found', "POST $_")
        for "/api/tasks/$unknown/cancel", '/api/tasks/x/cancel', '/api/nothing';

    # what waits says the same
    refused(get("/api/tasks/$unknown", Prefer => 'wait=5'), 'not_found', 'a GET that waits');
    refused(get("/api/tasks/$unknown/events", Accept => $_), 'not_found', $_)
        for 'text/event-stream', 'application/x-ndjson', 'application/json';

    # these are the web server's own
    is get("/leat-files/$id/x")->status, 404, 'where files are sent from';
    is get('/elsewhere')->status, 404, 'outside of /api';
};

subtest 'a method that a path does not know is 405, with those that it knows' => sub {
    my @cases = (
        [PUT    => '/api/tasks',            'GET, HEAD, POST, OPTIONS'],
        [DELETE => '/api/tasks',            'GET, HEAD, POST, OPTIONS'],
        [PATCH  => '/api/tasks',            'GET, HEAD, POST, OPTIONS'],
        [POST   => "/api/tasks/$id/result", 'GET, HEAD, OPTIONS'],
        [GET    => "/api/tasks/$id/cancel", 'POST, OPTIONS'],
        [DELETE => '/api/health',           'GET, HEAD, OPTIONS'],
        [BREW   => '/api/health',           'GET, HEAD, OPTIONS'],
    );
    for my $case (@cases) {
        my ($method, $path, $allow) = @$case;
        my $r = $l->http($method => $path);
        refused($r, 'method_not_allowed', "$method $path");
        is $r->header('Allow'), $allow, 'Allow';
    }
    my $posted = $l->http(POST => "/api/tasks/$id");
    refused($posted, 'method_not_allowed', 'POST to a task');
    like $posted->header('Allow'), qr/^GET, HEAD\b/, 'Allow';
    is $l->http(HEAD => "/api/tasks/$id/cancel")->status, 405, 'HEAD where there is no GET';
    my $r = $l->http(OPTIONS => '/api/tasks');
    is $r->status . ' ' . $r->header('Allow'), '204 GET, HEAD, POST, OPTIONS', 'OPTIONS';
};

subtest 'a type whose conf is wrong is 500, and names the line' => sub {
    my %says = (wrong => qr/^wrong\.conf:2: unknown key 'nope'$/, bad => qr/^bad\.conf:1: timeout: 'soon' is not a number/);
    for my $type (sort keys %says) {
        refused(post(qq({"type":"$type"})), 'type_misconfigured', "$type: JSON", $says{$type});
        refused(raw("type=$type"), 'type_misconfigured', "$type: raw", $says{$type});
        refused($l->http(POST => '/api/tickets', json => {run => $type}), 'type_misconfigured', "$type: a ticket", $says{$type});
        refused(get("/api/run/$type", Accept => 'text/event-stream'), 'type_misconfigured', "$type: run", $says{$type});
        like $l->log, qr{code=type_misconfigured error="\Q@{[$l->jobs]}\E/$type\.conf:}, 'the log has the whole path';
    }
};

subtest 'what the state of a task does not allow is 409' => sub {
    refused($l->http(POST => "/api/tasks/$id/cancel"), 'state', 'cancel', qr/completed/);
};

subtest 'a wrong query of a list is 422' => sub {
    my %wrong = (
        status     => ['done', 'Pending', 'pending,running'],
        page_size  => ['0', '-1', 'x', '1.5', '99999999999999999999', '1%20'],
        page_token => ['x', '-1', '0', '1%3B', '1e3'],
    );
    for my $name (sort keys %wrong) {
        refused(get("/api/tasks?$name=$_"), 'invalid_request', "?$name=$_", qr/\b$name\b/) for @{ $wrong{$name} };
    }
};

subtest 'a query that is not percent-encoded UTF-8 is 400, whoever reads it' => sub {
    for my $bad ('%ff', '%00', '%', '%4', '%zz', '%c0%af', '%ed%a0%80') {
        for my $name (qw(status page_size type group of_nobody)) {
            refused(get("/api/tasks?$name=$bad"), 'bad_request', "?$name=$bad", qr/query parameter '$name'/);
        }
        refused(get("/api/run/small?input=$bad", Accept => 'text/event-stream'), 'bad_request', "run: ?input=$bad", qr/'input'/);
        refused(get("/api/tasks?$bad=1"), 'bad_request', "?$bad=1", qr/query/);
    }
    is get('/api/tasks?of_nobody=%C3%A4+%2B&&=')->status, 200, 'any other is fine';
};

subtest 'a path is taken for what it is' => sub {
    is get($_)->status, 200, $_ for (
        '/api//tasks',       '//api/tasks',       '/api/./tasks', '/api/tasks/', '/api/%74asks', '/%61pi/health',
        "/api/tasks//$id/.", "/api/tasks/$id?",
    );
    refused(get($_), 'bad_request', substr($_, 0, 60), qr/path/) for (
        (map { "/api/tasks/$_" } '%0a', 'x%0d%0aX-Evil:1', '%7f', '%ff', '%c0%af', '%ed%a0%80'),
        (map { "/api/tasks/$_" } '%2e%2e/tasks', "$id/../$id"),
        '/api/x/../tasks', '/api/.%2e/api/tasks', '/api' . '/x' x 40,
    );
    refused(get($_), 'not_found', substr($_, 0, 60)) for (
        (map { "/api/tasks/$_" } "$id%2Fresult", '..%2Fhealth', '%252e%252e', "$id%20", ";$id", '*', 'x' x 3000),
        '/api%2Ftasks',
    );
    my $whole = sub { $l->talk("GET http://$_[0]/api/nothing HTTP/1.1\r\nHost: $_[0]\r\nConnection: close\r\n\r\n") };
    refused($whole->('localhost'), 'not_found', 'a whole URL');
    refused($whole->('elsewhere'), 'wrong_host', '... of another site', qr/\[http\] hosts/);

    # the web server itself refuses these
    refused(get($_), 'bad_request', substr $_, 0, 60) for (
        (map { "/api/tasks/$_" } '%00', '%', '%zz', '%4'), '/../etc/passwd', '/api/../../x',
    );
    like get($_)->status, qr/^4\d\d$/, substr $_, 0, 60 for '/api/tasks/..%2F..%2Fetc%2Fpasswd', '/api/' . 'x' x 40_000;
};

subtest 'a header is taken for what it is' => sub {
    for my $name ('a b', '<script>', 'x' x 129, "\xff", '') {
        my $r = get('/api/health', 'X-Request-ID' => $name);
        like $r->header('X-Request-ID'), qr/^[0-9a-f]{32}$/, 'a request id that is none is replaced';
    }
    my %settings = ('Proxy' => 'http://elsewhere', 'Leat-Http-Prefix' => '/x');
    my %nonsense = (
        'If-None-Match' => '"' . ',' x 3000,
        Prefer          => 'wait=' . '9' x 3000,
        Accept          => ';,;q=' x 500,
    );
    is get('/api/health', 'X-Long' => 'x' x 4000)->status, 200, 'a long one';
    is get('/api/health', map { ("X-$_" => 'x' x 200) } 1 .. 100)->status, 200, 'many';
    is get('/api/health', %settings)->status, 200, 'none is a setting';
    is get("/api/tasks/$id", %nonsense)->status, 200, 'nonsense where it counts';
    like get('/api/health', 'X-Long' => 'x' x 100_000)->status, qr/^4\d\d$/, 'a huge one';
    like get('/api/health', map { ("X-$_" => 'x' x 1000) } 1 .. 100)->status, qr/^4\d\d$/, 'too many';
};

subtest 'half a request creates nothing' => sub {
    my $head = "POST /api/tasks?type=cat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";
    for my $rest ("Content-Length: 1000\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel") {
        my $socket = connection();
        print {$socket} $head, $rest;
        close $socket;
    }
    like $l->talk("${head}Content-Length: x\r\n\r\nhalf")->status,  qr/^4\d\d$/, 'a length that is no number';
    like $l->talk("${head}Content-Length: -5\r\n\r\nhalf")->status, qr/^4\d\d$/, 'a negative length';
    is get('/api/health')->status, 200, 'the next request is served';
};

is rows(), $before, 'nothing has left a trace in the database';
subtest 'every program runs' => sub {
    is_deeply [map { scalar $l->pids($_) } qw(web runner server)], [2, 1, 1], 'two, one and one';
};
unlike $l->log, qr/killed by signal|exited with status/, 'and none had to be started again';

$l->stop;
done_testing;
