#!/usr/bin/perl
# Hostile requests, thousands of them: mutations of good ones, through nginx and straight into the programs'
# sockets, against programs that are built with sanitizers. Whatever comes is answered, never by 5xx; a
# refusal is a problem document and leaves nothing in the database; no program dies, is told off by a
# sanitizer, or leaks.
#
# SEED repeats a run; FUZZ_SECONDS says how long. The records of FastCGI are well-formed, what they carry is
# not: a web server has no reason to send others, and libfcgi aborts on some.
use strict;
use warnings;

BEGIN { $ENV{BUILD} = ($ENV{BUILD} || 'build') . '/asan' }
use ByHand qw(sql);
use Digest::SHA qw(hmac_sha256);
use IPC::Open2 qw(open2);
use JSON::PP ();
use Leat;
use MIME::Base64 qw(encode_base64url);
use Test::More;
use Time::HiRes qw(time);
use Wire;

-x "$ENV{BUILD}/leat.fcgi" or die "no $ENV{BUILD}/leat.fcgi: make BUILD=$ENV{BUILD} SANITIZE=address,undefined all\n";
my $seconds = $ENV{FUZZ_SECONDS} || 25;
my $seed    = $ENV{SEED} // int rand 2**31;
note "SEED=$seed FUZZ_SECONDS=$seconds";
srand $seed;

$ENV{ASAN_OPTIONS}  = 'detect_leaks=1:abort_on_error=0:exitcode=98';
$ENV{LSAN_OPTIONS}  = 'exitcode=98';
$ENV{UBSAN_OPTIONS} = 'print_stacktrace=1:halt_on_error=1';

my $SECRET   = 'a secret of thirty-two bytes or more';
my $MAX_BODY = 20_000;
my $MAX_RAW  = 60_000;

# the runner is stopped below: it must not be missed
my $l = Leat->start(ready => 60, conf => <<"CONF");
[http]
max_body_bytes = $MAX_BODY
max_raw_bytes = $MAX_RAW
wait_seconds_max = 0.05
allowed_origins = https://listed.example
[auth]
jwt_secret = $SECRET
remote_user = yes
[limits]
queued_per_owner = 0
streams_per_owner = 0
[stream]
stream_seconds = 0.2
heartbeat = 0.1
[database]
busy_ms = 30000
[runner]
lease_seconds = 3000
CONF
$l->job(cat => "#!/bin/sh\n[ -z \"\$LEAT_FILES\" ] || echo file >\"\$LEAT_FILES/a b.txt\"\nexec cat\n", "get = yes\n");
$l->job(sad => "#!/bin/sh\necho sad >&2; exit 64\n");

my $json = JSON::PP->new->utf8->allow_nonref->canonical;

# ---- a site with something of everything, at rest ------------------------------------------------

sub finished {
    my $r = $l->http(POST => '/api/tasks', json => {@_});
    my $id = $r->json->{task_id} // die $r->body;
    wait_until { $l->http(GET => "/api/tasks/$id")->json->{status} =~ /^(?:completed|failed)$/ } 20 or die 'no end';
    return $id;
}
my $done   = finished(type => 'cat', input => {a => [1, 'b']}, group => 'g');
my $failed = finished(type => 'sad', group => "g\x{fc}r\x{df}e");

my $runner = $l->stop_runner;
END { kill CONT => $runner if $runner }

my $pending = $l->http(POST => '/api/tasks', json => {type => 'cat', group => 'g', delay => 1e7})->json->{task_id};
my $token   = $l->leat(qw(token add --owner alice))->{out};
my $epoch   = $l->http(GET => '/api/events?last_event_id=now', headers => {Accept => 'application/json'})->json->{cursor};
$epoch =~ s/-\d+$//;
$l->http(PUT => '/api/groups/g/context', json => {turn => 1});
my $ticket = $l->http(POST => '/api/tickets', json => {all => JSON::PP::true(), ttl => 3600})->json->{ticket};

sub jwt {
    my ($header, $claims, $secret) = @_;
    my $text = join '.', map { encode_base64url(ref $_ ? $json->encode($_) : $_) } $header, $claims;
    return "$text." . encode_base64url(hmac_sha256($text, $secret));
}
my $jwt = jwt({alg => 'HS256', typ => 'JWT'}, {sub => 'bob', exp => 4e9, scope => 'create read'}, $SECRET);

# ---- the database, looked at from beside ---------------------------------------------------------

my $bookkeeping = qr/^(?:figures|rates|processes|runners|touched|sqlite_.*)$/;
my @tables = sort grep { !/$bookkeeping/ } map { $_->[0] } sql($l, "SELECT name FROM sqlite_master WHERE type = 'table'");
cmp_ok scalar @tables, '>=', 10, "tables: @tables";

# counts whatever is written, also what is the same as before
sql($l, join ";\n", 'CREATE TABLE touched (n INTEGER NOT NULL, last TEXT)', 'INSERT INTO touched VALUES (0, NULL)',
    map { my $t = $_; map { "CREATE TRIGGER touched_${t}_$_ AFTER $_ ON $t BEGIN UPDATE touched SET n = n + 1, last = '$_ on $t'; END" } qw(INSERT UPDATE DELETE) } @tables);

my $shell_pid = open2(my $shell_out, my $shell_in, qw(sqlite3 -batch -init /dev/null -list), $l->state . '/leat.db');
print {$shell_in} ".timeout 20000\n.dbconfig no_ckpt_on_close on\nPRAGMA wal_autocheckpoint = 0;\n";
readline $shell_out for 1 .. 2;    # what those two say

sub touched {
    print {$shell_in} "SELECT n, last FROM touched;\n";
    my $line = readline $shell_out;
    chomp $line;
    return $line;
}

sub dump_of_all {
    print {$shell_in} map { ".sha3sum $_\n" } @tables;
    print {$shell_in} ".print end\n";
    my $all = '';
    while (defined(my $line = readline $shell_out)) {
        last if $line eq "end\n";
        $all .= $line;
    }
    return $all;
}
is dump_of_all(), dump_of_all(), 'a dump is comparable';
like touched(), qr/^\d+\|/, 'and so is the count of writes';

# ---- good requests -------------------------------------------------------------------------------

my @ids = ($done, $failed, $pending);
my $unknown = '01890000-0000-7000-8000-000000000000';
sub pick { return $_[int rand @_] }
sub id   { return rand() < 0.1 ? $unknown : pick(@ids) }
sub cursor { return "$epoch-" . int rand 60 }

my $sse   = [Accept => 'text/event-stream'];
my $page  = [Accept => 'application/json'];
my $lines = [Accept => 'application/x-ndjson'];

# Each gives [method, target, headers, body].
my @good = (
    sub { [POST => '/api/tasks', ['Content-Type' => 'application/json'],
        $json->encode({type => 'cat', input => pick('text', {a => 1}, [1 .. 5], 1.5), group => 'g', delay => 1e6, priority => 1, max_attempts => 3, timeout => 1.5})] },
    sub { [POST => '/api/tasks', ['Content-Type' => 'application/x-www-form-urlencoded', 'Idempotency-Key' => pick('k1', 'k2', rand)], '{"type":"cat","run_at":4000000000000}'] },
    sub { [POST => '/api/tasks', ['Content-Type' => 'application/json', Prefer => 'wait=1'], '{"type":"sad","input":"x"}'] },
    sub { [POST => '/api/tasks?type=cat&group=g%20h&priority=2&delay=5e5&timeout=1', [Accept => 'text/event-stream'], "raw \0\xff"] },
    sub { [POST => '/api/tasks?type=cat', ['Content-Type' => 'text/plain'], 'x' x int rand 3000] },
    sub { [GET => '/api/tasks?status=pending&type=cat&group=g&page_size=2&page_token=' . int rand 50, []] },
    sub { [GET => '/api/tasks/' . id(), ['If-None-Match' => "W/\"$epoch-5\"", pick([], [Prefer => 'wait=1'])->@*]] },
    sub { [GET => '/api/tasks/' . id() . '?dialect=' . pick(qw(flat notify repo envelope)), []] },
    sub { [GET => '/api/tasks/' . id() . '/events?types=task.*,log.append&dialect=flat', [@{ pick($sse, $page, $lines) }, 'Last-Event-ID' => cursor()]] },
    sub { [GET => '/api/tasks/' . id() . '/events?follow=1&limit=3&last_event_id=' . cursor(), pick($sse, $page, $lines)] },
    sub { [GET => '/api/tasks/' . id() . '/result', []] },
    sub { [GET => '/api/tasks/' . id() . '/log?follow=' . pick(0, 1), []] },
    sub { [GET => "/api/tasks/$done/files/" . pick('a%20b.txt', 'none', '..%2fa', '.a', 'a%5cb', '%2e%2e'), pick([], [Range => 'bytes=1-2'], [Range => 'bytes=9-'])] },
    sub { [POST => '/api/tasks/' . id() . '/cancel', [], ''] },
    sub { [POST => '/api/tasks/' . id() . '/retry', [], ''] },
    sub { [DELETE => '/api/tasks/' . id(), []] },
    sub { [GET => '/api/groups?page_size=1&page_token=' . pick('', 'MTIzLGc'), []] },
    sub { [GET => '/api/groups/g?owner=anonymous', []] },
    sub { [GET => '/api/groups/g%C3%BCr%C3%9Fe/context', ['If-None-Match' => '"0"']] },
    sub { [PUT => '/api/groups/g/context', ['Content-Type' => 'application/json', 'If-Match' => '"' . int(rand 9) . '"'], '{"turn":2,"list":[1,2.50,1e999]}'] },
    sub { [GET => '/api/groups/g/events?starting_after=' . cursor(), pick($sse, $page, $lines)] },
    sub { [POST => '/api/groups/g/events', ['Content-Type' => 'application/json'], '{"type":"doc.created","payload":{"n":12345678901234567890123}}'] },
    sub { [POST => '/api/groups/g/' . pick(qw(cancel retry)), [], ''] },
    sub { [GET => '/api/events?limit=2&types=doc.*', [@{ pick($sse, $page, $lines) }, 'Last-Event-ID' => pick(cursor(), 'now', 'earliest')]] },
    sub { [GET => '/api/events', [@$page, Prefer => 'wait=1', 'Last-Event-ID' => 'now']] },
    sub { [GET => '/api/run/cat?group=g&input=hello%20you&key=' . int rand 5, $sse] },
    sub { [GET => '/api/types', []] },
    sub { [POST => '/api/tickets?cookie=' . pick(0, 1), ['Content-Type' => 'application/json'],
        pick('{"task":"' . id() . '","ttl":5}', '{"group":"g"}', '{"all":true,"ttl":0.5}', '{"run":"cat"}')] },
    sub { [GET => '/api/events?ticket=' . pick($ticket, 'leat_x'), $page] },
    sub { [GET => '/api/' . pick(qw(health metrics stats openapi.json)), []] },
    sub { [OPTIONS => '/api/tasks', [Origin => pick('https://listed.example', 'https://evil.example'), 'Access-Control-Request-Method' => 'POST']] },
    sub { [HEAD => '/api/tasks/' . id() . pick('', '/events', '/result'), []] },
);

# ---- and what becomes of them --------------------------------------------------------------------

my @bytes = ("\0", "\x01", "\x1b", "\x7f", "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82", "\xf0\x9f\x98\x80",
    "\t", ' ', '"', "'", '\\', '%', '%00', '%n%s', '/', ';', '=', '&', ',', '#', '?', '*', '-', '.', '..', '{', '[', '0');
my @numbers = ('0', '-0', '-1', '1e309', '-1e309', '1e99999', '9223372036854775807', '9223372036854775808', '-9223372036854775809',
    '18446744073709551616', '1' x 400, '0.' . '0' x 300 . '1', '1.7976931348623157e308', '4.9e-324', '1e-999', '0x10', '1_0', '+1', '١', 'NaN', 'Infinity', '1e', '');
my @json_values = (@numbers, 'null', 'true', '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '{}', '[]', "\"\xff\"", '"' . 'a' x 5000 . '"',
    '[' x 150 . ']' x 150, '[' x 10_000, '{"a":' x 199 . '1' . '}' x 199, '{"a":' x 300 . '1' . '}' x 300, '[[],{},"\\"]"]', '"\\', "\"a\nb\"", '{"\\u0000":1}', '{"a":1,"a":2}');
my @paths = ('/', '//', '/./', '/../', '/..', '/%2e%2e/', '/%2E/', '/%2f', '/%00', '/%0a', '/%', '/%g1', '/;x=1', '/a' x 40, '/' . 'a' x 250, '/%ff', '/%c0%ae',
    '/%252e', '/ ', "/\xc3\xa9", "/\xff", '/%7f', '?', '??', '#', '/*', '/tasks', '/' x 500, '/' . 'b' x 17_000);
my @queries = ('&', '&&', '=', '&=', '&type=%ff', '&type=%00', '&type', '&type=', '&type=cat&type=sad', '&group=' . 'g' x 201, '&group=%0a', '&limit=0', '&limit=-1',
    '&limit=99999999999999999999', '&page_size=0', '&page_size=1e9', '&page_token=%00', '&page_token=' . '9' x 30, '&types=', '&types=**', '&types=' . 'a.b,' x 500,
    '&dialect=%22', '&dialect=' . 'x' x 500, '&follow=2', '&last_event_id=%ff', '&last_event_id=' . 'f' x 9000, '&ticket=', '&ticket=%00', '&ticket=' . 'A' x 5000,
    '&wait_ms=-1', '&wait_ms=99999999999999999999', '&owner=', '&owner=alice', '&owner=%ff', '&cookie=2', '&key=', '&key=' . 'k' x 300, '&run_at=1e400', '&delay=-0',
    '&priority=1e400', '&priority=%2b1', '&timeout=1e-400', '&max_attempts=0x1', '&%74ype=cat', '&ty%00pe=cat', '&a=%', '&a=%4', '&input=' . '%41' x 3000, '&' x 5000);
my %values = (
    'Last-Event-ID'    => ['', '-', "$epoch-", "$epoch--1", "$epoch-9223372036854775807", "$epoch-9223372036854775808", "$epoch-" . '9' x 5000, '00000000-1', 'now', 'NOW', "$epoch-1\xff", '%00', "$epoch-0x1", "$epoch- 1"],
    'If-Match'         => ['*', '""', '"', 'W/"1"', '"1","2"', '"99999999999999999999"', ',,,', 'W/', '"\\', '"' . 'a' x 5000, '*,*'],
    'If-None-Match'    => ['*', '""', '"', 'W/', 'W/"', '"\\"', ',' x 3000, '"a", W/"b', "\xff"],
    Prefer             => ['wait', 'wait=', 'wait=-1', 'wait=99999999999999999999999', 'wait=1e9', 'wait="1', 'wait="1"', 'wait=1;wait=2', 'respond-async, wait=1', 'wait=1,' x 500, '=', ';', 'wait = 1', "wait=\xff"],
    'Idempotency-Key'  => ['', ' ', 'k' x 255, 'k' x 256, "\x01", "\xff", '"q"', 'a b'],
    Authorization      => ['', 'Bearer', 'Bearer ', "Bearer $token", "bearer   $token", "Bearer $token ", "Bearer $jwt", "Bearer ${jwt}x", 'Bearer ..', 'Bearer a.b.c', 'Bearer .' . 'A' x 9000 . '.',
        'Basic ' . 'QQ==' x 10, 'Bearer ' . 'leat_' . 'A' x 43, 'Bearer leat_' . 'A' x 9000, "Bearer \xff.\xff.\xff", 'Digest x', 'B', 'Bearer ====.====.====',
        (map { 'Bearer ' . jwt($_->[0], $_->[1], $SECRET) }
            [{alg => 'none'}, {sub => 'x'}], [{alg => 'HS512'}, {sub => 'x'}], [{alg => 'HS256', crit => ['exp']}, {sub => 'x'}], [{alg => 'HS256'}, {}], [{alg => 'HS256'}, {sub => "a\0b"}],
            [{alg => 'HS256'}, {sub => 'x' x 5000}], [{alg => 'HS256'}, '{"sub":"x","exp":1e999}'], [{alg => 'HS256'}, '{"sub":"x","exp":-1e999}'], [{alg => 'HS256'}, '{"sub":"x","nbf":1e999}'],
            [{alg => 'HS256'}, '{"sub":"x","exp":"1"}'], [{alg => 'HS256'}, '{"sub":"x","scope":["a"]}'], [{alg => 'HS256'}, '{"sub":"x","scope":"' . 'read ' x 2000 . '"}'], [{alg => 'HS256'}, "\xff"],
            [{alg => 'HS256'}, ''], ['', {sub => 'x'}], [{alg => ['HS256']}, {sub => 'x'}], [{alg => 'HS256'}, '[' x 500])],
    Cookie             => ['leat_ticket', 'leat_ticket=', "leat_ticket=$ticket", 'leat_ticket=' . 'a' x 9000, ';' x 2000, '=;=;=', ' ; leat_ticket = x', "leat_ticket=\xff", 'a=b; leat_ticket="x"'],
    Origin             => ['null', '', 'https://listed.example', 'https://evil.example', 'http://localhost', 'https://', 'http://[', 'file://', '*', 'x' x 5000, "https://listed.example\xff", 'https://listed.example:443', 'http://localhost:99999999999'],
    'Sec-Fetch-Site'   => ['cross-site', 'same-origin', 'same-site', 'none', '', 'CROSS-SITE', "\xff", 'x' x 3000],
    Accept             => ['', '*/*', 'text/event-stream', 'application/json', 'application/x-ndjson', 'text/event-stream;q=0', 'text/event-stream;q=', ';q=1', ',' x 3000, '"', '"text/event-stream', 'text/event-stream;a="\\', 'application/json;q=0.0001', "\xff/\xff", 'a/b,' x 2000],
    'Content-Type'     => ['', 'application/json', 'application/json; charset=latin1', ' ', ';', '/', '+json', 'x+json', 'text/json', 'multipart/form-data; boundary=', "\xff", 'a' x 5000, 'APPLICATION/JSON', "text/plain; x=\xff"],
    'Content-Encoding' => ['gzip', 'identity', '', 'IDENTITY', 'br, gzip'],
    'X-Request-ID'     => ['', 'abc', 'x' x 500, 'a b', "\xff", '"', '../..', 'a-b_c.d'],
    'User-Agent'       => ['', '"', '\\', 'x' x 6000, "\xff\xfe", '%s%n%s%n'],
    Host               => ['', 'evil.example', '[::1]', 'localhost:99999', '[', ':', "\xff"],
    'X-Forwarded-Proto' => ['https', 'http,https', '', ',', "\xff"],
    'Access-Control-Request-Method' => ['', 'POST', 'BREW'],
    Proxy              => ['http://evil.example'],
);
my @methods = ('BREW', 'get', 'PATCH', 'PROPFIND', 'G' x 300, 'GET_', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'GET');
my @lengths = ('', '0', '-1', '1', '5', '99999999999999999999', '9223372036854775807', '0x10', '1e3', ' 5', '5 ', '+5', 'abc', '000000005', '5,5', "\xff", '1' x 3000);

sub insert_at { substr($_[0], int rand(1 + length $_[0]), 0) = $_[1] }

# One change of a request. {length}: what is said of its body's.
sub change {
    my ($r, $direct) = @_;
    my $dice = rand 100;
    if ($dice < 6) { $r->{method} = pick(@methods) }
    elsif ($dice < 14) {    # a piece of a path, at a slash or anywhere
        my ($path, $query) = $r->{target} =~ /^([^?]*)(.*)$/s;
        my $piece = pick(@paths);
        if    (rand() < 0.5) { $path .= $piece }
        elsif (rand() < 0.5) { my @at; push @at, pos $path while $path =~ /(?=\/)/g; substr($path, pick(@at, 0), 0) = $piece }
        else                 { insert_at($path, $piece) }
        $r->{target} = $path . $query;
    }
    elsif ($dice < 17) {    # one of its bytes, encoded
        my $at = 1 + int rand(length($r->{target}) - 1 || 1);
        substr($r->{target}, $at, 1) = sprintf pick('%%%02x', '%%%02X', '%%25%02x'), ord substr $r->{target}, $at, 1 if $at < length $r->{target};
    }
    elsif ($dice < 29) { $r->{target} .= ($r->{target} =~ /\?/ ? '' : '?') . pick(@queries) }
    elsif ($dice < 33) { insert_at($r->{target}, pick(@bytes, map { $_ x 100 } @bytes)) }
    elsif ($dice < 62) {
        my $name = pick(sort keys %values);
        my $value = pick(@{ $values{$name} });
        $value .= pick(@bytes) if rand() < 0.15;
        @{ $r->{headers} } = map { $r->{headers}[2 * $_] eq $name ? () : @{ $r->{headers} }[2 * $_, 2 * $_ + 1] } 0 .. @{ $r->{headers} } / 2 - 1 if rand() < 0.8;
        push @{ $r->{headers} }, $name => $value;
    }
    elsif ($dice < 66) {    # a byte in a header that it has
        return change($r, $direct) unless @{ $r->{headers} };
        insert_at($r->{headers}[ 1 + 2 * int rand @{ $r->{headers} } / 2 ], pick(@bytes));
    }
    elsif ($dice < 72) { $r->{length} = pick(@lengths) }
    elsif (!defined $r->{body}) { $r->{body} = pick('', '{}', 'x' x 100, '[1]') }
    elsif ($dice < 80) {    # another value of a member
        $r->{body} =~ s/("\w+":)(?:"[^"]*"|[\w.+-]+|\{[^{}]*\}|\[[^\]]*\])/rand() < 0.5 ? $1 . pick(@json_values) : $&/ge;
    }
    elsif ($dice < 84) { $r->{body} =~ s/^\{/'{"' . pick('input', 'type', 'payload', 'ttl', 'nosuch', '', 'k' x 3000, '\\u0000', "\xff", 'type\\u0000', '__proto__') . '":' . pick(@json_values) . ','/e }
    elsif ($dice < 88) { insert_at($r->{body}, pick(@bytes)) }
    elsif ($dice < 91) { $r->{body} = substr $r->{body}, 0, int rand length $r->{body} if length $r->{body} }
    elsif ($dice < 93) { $r->{body} = pick(@json_values) }
    elsif ($dice < 95) { $r->{body} .= $r->{body} }
    elsif ($dice < 97) { $r->{body} = join '', map { chr int rand 256 } 1 .. int rand 200 }
    elsif ($dice < 98) { $r->{body} = pick('x', '[', ' ', '{"type":"cat","input":"' . 'y' x 30) x pick($MAX_BODY - 1, $MAX_BODY + 1, $MAX_RAW + 1) }
    elsif ($dice < 99) { $r->{target} = pick('*', 'http://localhost/api/tasks', 'http://', '://', '?', 'tasks', '/api', '/API/tasks', "\xff", '/' . 'x' x 20_000, '/api/../api/tasks') }
    elsif ($direct) {
        push @{ $r->{more} }, pick(['REQUEST_METHOD'], ['REQUEST_URI'], ['CONTENT_LENGTH'], ['QUERY_STRING'], [CONTENT_LENGTH => 3], [REQUEST_URI => '/api/tasks'], [REQUEST_URI => ''], [REQUEST_METHOD => 'GET'],
            [REQUEST_METHOD => ''], [REMOTE_USER => 'carol'], [REMOTE_USER => "\xff"], [REMOTE_USER => 'x' x 5000], [REMOTE_ADDR => "\xff\"" x 100], [REQUEST_ID => '"'], [SCRIPT_NAME => '/api', PATH_INFO => '/tasks/%00'],
            [PATH_INFO => "/\xff"], ['' => 'x'], ['=' => '='], ["A\0B" => "c\0d"], ['X' x 20_000 => ''], [HTTP_X => 'y' x 100_000], [HTTPS => 'on'], [REQUEST_SCHEME => ''],
            [LEAT_NO_SUCH => 'x'], [LEAT_HTTP_PREFIX => '/elsewhere'], [LEAT_HTTP_MAX_BODY_BYTES => 'x'], [LEAT_HTTP_WAIT_SECONDS_MAX => '-1'], [LEAT_STREAM_HEARTBEAT => '1e999']);
    }
}

# As nginx would send it, and as it would not.
sub send_direct {
    my ($r, $enough) = @_;
    my ($query) = $r->{target} =~ /\?(.*)/s;
    my %header;
    my @params = (
        REQUEST_METHOD => $r->{method}, REQUEST_URI => $r->{target}, QUERY_STRING => $query // '', SERVER_PROTOCOL => 'HTTP/1.1', REMOTE_ADDR => '127.0.0.1',
        REQUEST_SCHEME => 'http', REQUEST_ID => 'f' x 32, HTTP_HOST => 'localhost',
        CONTENT_LENGTH => $r->{length} // (defined $r->{body} ? length $r->{body} : ''),
    );
    for (my $i = 0; $i < @{ $r->{headers} }; $i += 2) {
        my ($name, $value) = @{ $r->{headers} }[$i, $i + 1];
        push @params, $name eq 'Content-Type' ? 'CONTENT_TYPE' : 'HTTP_' . uc($name =~ s/-/_/gr), $value;
    }
    for my $more (@{ $r->{more} || [] }) {
        if (@$more == 1) { @params = map { $params[2 * $_] eq $more->[0] ? () : @params[2 * $_, 2 * $_ + 1] } 0 .. @params / 2 - 1 }
        else             { push @params, @$more }
    }
    $r->{sent} = {params => \@params};
    return Wire::fastcgi($l->state . '/' . $r->{door}, \@params, $r->{body}, 20, $enough);
}

sub send_http {
    my ($r, $enough) = @_;
    my $text = "$r->{method} $r->{target} HTTP/1." . (defined $r->{length} ? 0 : 1) . "\r\n";
    my @headers = @{ $r->{headers} };
    push @headers, Host => 'localhost' unless grep { $_ eq 'Host' } @headers;
    push @headers, Connection => 'close';
    push @headers, 'Content-Length' => $r->{length} // length $r->{body} if defined $r->{length} || defined $r->{body};
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" }
    $text .= "\r\n" . ($r->{body} // '');
    $r->{sent} = $text;
    # more is promised than comes: nginx waits for it, and hands nothing on
    $r->{waits} = ($r->{length} // '') =~ /^ *(\d{1,18}) *$/ && $1 > length($r->{body} // '');
    return Wire::raw($l->port, $text, $r->{waits} ? 0.05 : 20, $enough);
}

# ---- what an answer must be ----------------------------------------------------------------------

my @members = qw(type title status detail code retryable);

sub wrong_with {
    my ($r, $a) = @_;
    my ($h, $body) = ($a->headers, $a->body);
    my @wrong;
    return 'no answer: ' . $a->error unless $a->status;
    push @wrong, 'status ' . $a->status if $a->status >= 500;
    push @wrong, "header $_: $h->{$_}" for grep { /[^!-9;-~]/ || $h->{$_} =~ /[\x00-\x08\x0a-\x1f\x7f]/ } keys %$h;
    # nginx answers in its own way what is not below /api/
    return @wrong if !$r->{door} && ($h->{'content-type'} // '') =~ /^text\/html/ && $a->status =~ /^(?:301|404)$/;
    # the dashboard, and files
    return @wrong if !$r->{door} && (($h->{'content-security-policy'} // '') =~ /script-src 'self'/ || $r->{target} =~ m{/files/} && $a->status =~ /^(?:20[06]|304)$/);
    push @wrong, 'no X-Request-ID' unless length($h->{'x-request-id'} // '');
    my $type = $h->{'content-type'} // '';
    utf8::decode(my $text = $body) or $a->{cut} or $type !~ /json|text/ or push @wrong, 'not UTF-8';
    push @wrong, "$type that is none" if $type =~ /json\b(?!l)/ && $type !~ /ndjson/ && $body !~ /^(?:null)?$/ && !defined $a->json;
    if ($type =~ /event-stream/) {
        my @odd = grep { !/^(?:$|:|id: \S+$|retry: \d+$|data: \{.*\}$)/ } split /\n/, $body =~ s/[^\n]*\z//r;
        push @wrong, "a frame: $odd[0]" if @odd;
    }
    return @wrong if $a->status < 400;
    # nginx keeps the charset of a file for what it says instead of it
    $type =~ s/; charset=utf-8$// if !$r->{door} && $r->{target} =~ m{/files/};
    push @wrong, "media type '$type'" if $type ne 'application/problem+json';
    return @wrong if ($r->{method} eq 'HEAD' && $body eq '');
    my $j = ref $a->json eq 'HASH' ? $a->json : {};
    push @wrong, map { "no $_" } grep { !defined $j->{$_} } @members;
    push @wrong, 'another status in it' if ($j->{status} // '') ne $a->status;
    push @wrong, "code $j->{code}"      if ($j->{code}   // '') !~ /^[a-z]+(?:_[a-z]+)*$/;
    push @wrong, 'retryable'            unless JSON::PP::is_bool($j->{retryable});
    push @wrong, 'no Allow'             if $a->status == 405 && !$h->{allow};
    push @wrong, 'no WWW-Authenticate'  if $a->status == 401 && !$h->{'www-authenticate'};
    return @wrong;
}

# Bytes for people.
sub shown {
    my ($data) = @_;
    my $text = ref $data ? join ' ', map { length $_ > 300 ? substr($_, 0, 300) . '...(' . length($_) . ')' : $_ } @{ $data->{params} } : substr $data, 0, 2000;
    $text =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ge;
    return $text;
}

# What has been too much before, and what is likely to be: sent first, past nginx.
my @first = map { my $more = $_; map { my $method = $_; +{method => $method, door => 'leat.sock', more => [$more]} } qw(GET POST) } (
    ['REQUEST_URI'], [REQUEST_URI => ''], ['REQUEST_METHOD'], [REQUEST_METHOD => ''], ['CONTENT_LENGTH'], [REQUEST_URI => '?'], [REQUEST_URI => '*'], [REQUEST_URI => '/'],
);

# ---- all of it -----------------------------------------------------------------------------------

my %pids = map { $_ => join ' ', sort $l->pids($_) } qw(web runner);
my (%statuses, %codes, @wrong);
my ($sent, $dumped) = (0, 0);
my $end = time + $seconds;
while (time < $end && @wrong < 5) {
    my ($method, $target, $headers, $body) = @{ pick(@good)->() };
    my $r = {method => $method, target => $target, headers => [@$headers], body => $body};
    if (@first) { %$r = (%$r, %{ shift @first }) }
    else {
        $r->{door} = 'leat.sock' if rand() < 0.5;
        change($r, $r->{door}) for 1 .. pick(0, 1, 1, 1, 2, 2, 3, 5);
    }
    # HTTP has no such first line, and no such header: nginx would wait for more, or see another request
    if (!$r->{door}) {
        s/[\r\n]//g for $r->{method}, $r->{target}, @{ $r->{headers} };
    }

    my $compared = rand() < 0.05 ? dump_of_all() : undef;
    my $before   = touched();
    my $a        = $r->{door} ? send_direct($r, rand() < 0.05 ? undef : 1) : send_http($r, rand() < 0.05 ? undef : 1);
    my $after    = touched();
    $sent++;
    $statuses{ ($r->{door} ? 'direct ' : 'nginx ') . $a->status }++;
    $codes{ $a->json->{code} }++ if $a->status >= 400 && ref $a->json eq 'HASH' && defined $a->json->{code};
    next if !$a->status && $r->{waits};
    my @odd = wrong_with($r, $a);
    if ($a->status >= 400) {
        push @odd, "refused, and it wrote: $before then $after" if $before ne $after;
        if (defined $compared) {
            $dumped++;
            push @odd, 'refused, and the dump differs' if $compared ne dump_of_all();
        }
    }
    push @odd, 'a program died' if !$a->status && grep { $pids{$_} ne join ' ', sort $l->pids($_) } keys %pids;
    push @wrong, "@odd\n  request $sent" . ($r->{door} ? " to $r->{door}" : '') . ': ' . shown($r->{sent}) . "\n  body: " . shown($r->{body} // '')
        . "\n  answer: " . shown($a->status . ' ' . join(', ', %{ $a->headers }) . ' ' . $a->body) if @odd;
    # new tasks take part
    my $id = $a->status < 300 && ref $a->json eq 'HASH' ? $a->json->{task_id} : undef;
    push @ids, $id if $id && $id =~ /^[0-9a-f-]{36}\z/;
    shift @ids if @ids > 40;
}
is_deeply \@wrong, [], 'every request has a proper answer, and a refusal leaves no trace' or diag join "\n", @wrong;
note "$sent requests; $dumped dumps compared";
note join ', ', map { "$_: $statuses{$_}" } sort keys %statuses;
note join ', ', map { "$_: $codes{$_}" } sort keys %codes;
cmp_ok $sent, '>=', 10 * $seconds, 'there were many';
ok $statuses{$_}, "some were answered $_" for map { my $how = $_; map { "$how $_" } 200, 202, 400, 404, 405, 422 } qw(direct nginx);

for my $name (sort keys %pids) {
    is join(' ', sort $l->pids($name)), $pids{$name}, "$name is the process that it was";
}
is $l->http(GET => '/api/health')->status, 200, 'and all are well';
close $shell_in;
waitpid $shell_pid, 0;
is +(sql($l, 'PRAGMA integrity_check'))[0][0], 'ok', 'the database too';

# Leaks are looked for when a program ends; that they are found here is seen on one that has one.
my $leaky = "$l->{dir}/leaky";
Leat::write_file("$leaky.c", "#include <stdlib.h>\nint main(void) { void *volatile p = malloc(42); p = NULL; return p != NULL; }\n");
my @cc = ($ENV{CC} || 'cc', '-fsanitize=address,undefined', '-g', '-o', $leaky, "$leaky.c");
is system(@cc), 0, "@cc[0, 1] builds";
like qx($leaky 2>&1), qr/LeakSanitizer: detected memory leaks.*42 byte/s, 'a leak is found where there is one';

kill CONT => $runner;
undef $runner;
is_deeply [$l->down], [], 'all programs end when they are told to';
my $log = $l->log;
my ($found) = $log =~ /^(.*(?:Sanitizer|runtime error:).*(?:\n.*){0,30})/m;
is $found, undef, 'no sanitizer found anything, nor a leak';
is_deeply [$log =~ /^(supervise: .*(?:exited with|killed by).*)$/mg], [], 'none ended in another way';
is_deeply [grep { defined } ($log =~ /^(.*level=error.*)$/mg)[0 .. 4]], [], 'none had an error to report';

diag "SEED=$seed" unless Test::More->builder->is_passing;
$l->stop;
done_testing;
