# Large and binary inputs and results: every byte arrives, and the bounds are where they are said to be.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use IO::Uncompress::Gunzip qw(gunzip);
use Leat;
use Test::More;

my $MAX_RAW    = 67_108_864;    # the default of max_raw_bytes
my $MAX_INLINE = 65_536;        # and of inline_result_bytes
my $MAX_RESULT = 8_388_608;     # and of max_result_bytes

my $l = Leat->start;

# as many bytes of text as the input says
$l->job(letters => "#!/bin/sh\nhead -c \"\$(cat)\" /dev/zero | tr '\\0' x\n");

$l->job(cat => "#!/bin/sh\nexec cat\n");

# The task of an answer, when it has ended.
sub finished {
    my ($r) = @_;
    my $id = $r->json && $r->json->{task_id} or return {id => 'none', status => "refused: $r->{body}"};
    my $task;
    wait_until {
        $task = $l->http(GET => "/api/tasks/$id")->json;
        $task->{status} !~ /^(?:pending|running)$/
    } 30;
    return $task;
}

sub result_of { return $l->http(GET => "/api/tasks/$_[0]{id}/result") }

# The payload of its last change of status.
sub last_change {
    my ($task) = @_;
    my $r = $l->http(GET => "/api/tasks/$task->{id}/events", headers => {Accept => 'application/json'});
    return (grep { $_->{type} eq 'task.status_changed' } @{ $r->json->{events} })[-1]{payload};
}

sub random_bytes {
    my ($count) = @_;
    open my $in, '<:raw', '/dev/urandom' or die "/dev/urandom: $!";
    read($in, my $bytes, $count) == $count or die '/dev/urandom is short';
    return $bytes;
}

my $file  = "$l->{dir}/random";
my $bytes = random_bytes(5_000_000);
Leat::write_file($file, $bytes);

subtest 'five megabytes come back as they went' => sub {
    # as a user does, so with all that curl adds: a form's Content-Type, Expect: 100-continue
    my @curl = (qw(curl -sf --noproxy * --data-binary), "\@$file", $l->url . '/api/tasks?type=gzip');
    open my $out, '-|', @curl or die "curl: $!";
    my $answer = Leat::Answer::parse('HTTP/1.1 202');
    $answer->{json} = Leat::decode($answer->{body} = do { local $/; readline($out) // '' });
    my $task = finished($answer);
    is $task->{status}, 'completed', 'curl --data-binary @file';
    is $task->{result}, undef, 'too large for the document';
    is $task->{result_type}, 'application/gzip', 'result_type';
    my $r = result_of($task);
    is $r->status, 200, 'fetched';
    is $r->header('Content-Type'), 'application/gzip', 'its media type';
    is length $r->body, $task->{result_bytes}, 'result_bytes';
    my $zipped = $r->body;
    gunzip(\$zipped, \my $unzipped);
    ok $unzipped eq $bytes, 'the same bytes, once unzipped';
    is $r->header('Content-Length'), $task->{result_bytes}, 'Content-Length';
    is $r->header('Content-Encoding'), undef, 'nobody unzips it on the way';
};

subtest 'a digest of it is right' => sub {
    for my $coding ([], ['-H', 'Transfer-Encoding: chunked']) {
        my $task = finished($l->http(POST => '/api/tasks?type=sha256', body_file => $file, curl => $coding));
        is $task->{result}, sha256_hex($bytes), @$coding ? 'sent in chunks' : 'sent with its length';
    }
};

subtest 'binary results are bytes' => sub {
    for my $bytes (join('', map { chr } 0 .. 255), "\xc3", "a\0\xff") {
        my $task = finished($l->http(POST => '/api/tasks?type=cat', body => $bytes));
        my $what = length($bytes) . ' bytes';
        is $task->{result}, undef, "$what: not in the document";
        is $task->{result_type}, 'application/octet-stream', 'result_type';
        is $task->{result_bytes}, length $bytes, 'result_bytes';
        my $r = result_of($task);
        ok $r->body eq $bytes, 'every byte';
        is $r->header('Content-Type'), 'application/octet-stream', 'media type';
        my $change = last_change($task);
        ok !exists $change->{result}, 'not in the event either';
        is $change->{result_url}, $task->{links}{result}, 'which says where it is';
    }
};

subtest 'a result is in the document up to inline_result_bytes' => sub {
    my $task = finished($l->http(POST => '/api/tasks?type=letters', body => $MAX_INLINE));
    is $task->{result}, 'x' x $MAX_INLINE, 'at the bound it is there';
    my $change = last_change($task);
    is $change->{result}, 'x' x $MAX_INLINE, 'and in the event';
    ok !exists $change->{result_url}, 'which names no address then';

    $task = finished($l->http(POST => '/api/tasks?type=letters', body => $MAX_INLINE + 1));
    is "$task->{status} $task->{result_bytes}", 'completed ' . ($MAX_INLINE + 1), 'one byte more';
    is $task->{result}, undef, 'is not';
    is $task->{result_type}, 'text/plain; charset=utf-8', 'result_type';
    $change = last_change($task);
    ok !exists $change->{result}, 'nor in the event';
    is $change->{result_url}, "/api/tasks/$task->{id}/result", 'which says where it is';
    is $l->http(GET => $change->{result_url})->body, 'x' x ($MAX_INLINE + 1), 'there';
};

subtest 'a result is at most max_result_bytes' => sub {
    my $task = finished($l->http(POST => '/api/tasks?type=letters', body => $MAX_RESULT));
    is "$task->{status} $task->{result_bytes}", "completed $MAX_RESULT", 'at the bound';
    is length result_of($task)->body, $MAX_RESULT, 'whole';
    $task = finished($l->http(POST => '/api/tasks?type=letters', body => $MAX_RESULT + 1));
    is "$task->{status} " . ($task->{error}{code} // ''), 'failed result_too_large', 'one byte more';
    is result_of($task)->status, 404, 'has no result';
};

subtest 'an input is at most max_raw_bytes, and it is Leat that says so' => sub {
    my $large = "$l->{dir}/large";
    Leat::write_file($large, $bytes);
    truncate $large, $MAX_RAW or die "$large: $!";
    my $sha = Digest::SHA->new(256)->addfile($large, 'b')->hexdigest;
    my $task = finished($l->http(POST => '/api/tasks?type=sha256', body_file => $large));
    is $task->{result}, $sha, 'at the bound every byte arrives';

    my $count = @{ $l->http(GET => '/api/tasks')->json->{tasks} };
    truncate $large, $MAX_RAW + 1 or die "$large: $!";
    # nginx refuses by itself what is larger than 80 MiB, in the same words
    for my $size ($MAX_RAW + 1, 90_000_000) {
        truncate $large, $size or die "$large: $!";
        my $r = $l->http(POST => '/api/tasks?type=sha256', body_file => $large);
        is $r->status, 413, "$size bytes are too many";
        is $r->json && $r->json->{code}, 'body_too_large', 'code';
        is $r->header('Content-Type'), 'application/problem+json', 'a problem';
        is $r->json->{status}, 413, 'that says so itself';
    }
    is @{ $l->http(GET => '/api/tasks')->json->{tasks} }, $count, 'nothing was created';
    is $l->http(GET => '/api/health')->status, 200, 'nothing broke';
};

$l->stop;
done_testing;
