# `token = yes` in TYPE.conf: a job makes and watches other tasks as the owner of its own, while its attempt lives.
use strict;
use warnings;
use Leat;
use ByHand qw(sql);
use Test::More;

my $l = Leat->start(conf => "[runner]\nlease_seconds = 1\n");
my $d = $l->state;

$l->job(child => "#!/bin/sh\necho \"\$LEAT_OWNER \$(cat)\"\n");
$l->job(parent => <<'SH', "token = yes\n");
#!/bin/sh
me="Authorization: Bearer $LEAT_TOKEN"
id=$(curl -sf -H "$me" --data-binary 'of mine' "$LEAT_URL/api/tasks?type=child" | sed 's/.*"task_id":"\([^"]*\)".*/\1/')
curl -sfN -H "$me" -H 'Accept: text/event-stream' "$LEAT_URL/api/tasks/$id/events" | grep -c '"stream.end"'
curl -sf -H "$me" "$LEAT_URL/api/tasks/$id/result"
SH
$l->job(tells => "#!/bin/sh\nfolder=\$(cat)\necho \"\$LEAT_URL \$LEAT_TOKEN\" >\$folder/said-\$LEAT_ATTEMPT\n"
        . "until [ -e \$folder/go ]; do sleep 0.02; done\n", "token = yes\nkill_grace = 0\nlost_attempts = 10\n");
$l->job(bare => "#!/bin/sh\nenv | grep -cE '^LEAT_(URL|TOKEN)='\nexit 0\n");

my %as;
$as{$_} = {Authorization => 'Bearer ' . $l->leat(qw(token add --owner), $_)->{out}} for qw(alice bob);

sub create {
    my ($type, $input) = @_;
    my $r = $l->http(POST => "/api/tasks?type=$type", body => $input, headers => $as{alice});
    return $r->json->{task_id} // die "refused: $r->{body}";
}

sub task { return $l->http(GET => "/api/tasks/$_[0]", headers => $as{alice})->json }

sub ended {
    my ($id) = @_;
    my $task;
    wait_until { $task = task($id); $task->{status} =~ /^(?:completed|failed|cancelled|timeout)$/ } 30;
    return $task;
}

# The url and the token that attempt N of `tells` was told.
sub told {
    my ($folder, $n) = @_;
    wait_until { Leat::slurp("$folder/said-$n") =~ /\n/ } 20;
    return split ' ', Leat::slurp("$folder/said-$n");
}

sub status_with {
    my ($token, @request) = @_;
    return $l->http(@request ? @request : (GET => '/api/tasks'), headers => {Authorization => "Bearer $token"})->status;
}

subtest 'a job makes and watches a task of its owner' => sub {
    my $task = ended(create('parent', ''));
    is $task->{status}, 'completed', 'it completes' or diag explain $task->{error};
    is $task->{result}, "1\nalice of mine", 'the other one is its owner\'s, and was watched to its end' or diag $task->{result};
    is ended(create('bare', ''))->{result}, 0, 'without token = yes it is told nothing';
};

subtest 'what the token is good for, and until when' => sub {
    mkdir my $folder = "$d/one";
    my $id = create('tells', $folder);
    my ($url, $token) = told($folder, 1);
    is $url, $l->url, 'the url of the site';
    like $token, qr/^leat_[\w-]{43}$/, 'a token';
    is status_with($token), 200, 'it reads';
    is status_with($token, GET => "/api/tasks/$id"), 200, '... its owner\'s tasks';
    is status_with($token, POST => '/api/tasks?type=child'), 202, 'it creates';
    is $l->http(POST => '/api/groups/g/events', json => {type => 'doc.created'}, headers => {Authorization => "Bearer $token"})->status, 202, 'it publishes';
    is status_with($token, GET => '/api/stats'), 403, 'it is no admin';
    my $other = $l->http(POST => '/api/tasks?type=child', body => 'x', headers => $as{bob})->json->{task_id};
    is status_with($token, GET => "/api/tasks/$other"), 404, 'nor anybody else';
    unlike $l->leat(qw(token list))->{out}, qr/ alice +\S+ +create,read,publish +[^-\s]/, 'it is none of those that people look after';
    is scalar(() = $l->leat(qw(token list))->{out} =~ /^ *\d/mg), 2, '... which are two';

    my $s = $l->stream("/api/groups/g/events", headers => {Authorization => "Bearer $token"});
    is $s->status, 200, 'a stream is open';
    my ($mine, $others) = map {
        $l->http(POST => '/api/tickets', json => {group => 'g', ttl => 3600}, headers => {Authorization => $_})->json->{ticket}
    } "Bearer $token", $as{alice}{Authorization};
    is $l->http(GET => "/api/groups/g?ticket=$_")->status, 200, 'a ticket is good' for $mine, $others;
    Leat::write_file("$folder/go", '');
    is ended($id)->{status}, 'completed', 'the job ends';
    is status_with($token), 401, 'so does the token';
    is $l->http(GET => "/api/groups/g?ticket=$mine")->status,   401, 'and the ticket that was made with it';
    is $l->http(GET => "/api/groups/g?ticket=$others")->status, 200, 'another of its owner stays';
    $l->http(POST => '/api/groups/g/events', json => {type => 'doc.created'}, headers => $as{alice});
    $s->close;
    my $files = join '', map { Leat::slurp($_) } grep { -f } glob("$d/leat.db*"), glob("$d/*.log"), glob("$d/nginx/*.log");
    ok length $files > 10_000, 'the files of the site are read';
    is index($files . $l->log, $token), -1, 'and hold no token';
};

subtest 'a stream that it opened ends with it' => sub {
    mkdir my $folder = "$d/two";
    $l->down;
    $l->conf("[stream]\nheartbeat = 1\n[runner]\nlease_seconds = 1\n");
    $l->up;
    my $id = create('tells', $folder);
    my (undef, $token) = told($folder, 1);
    my $s = $l->stream('/api/events', headers => {Authorization => "Bearer $token"});
    is $s->status, 200, 'it is open';
    Leat::write_file("$folder/go", '');
    my $end = ($s->rest(30))[-1];
    is $end->{json}{type} . ' ' . $end->{json}{payload}{reason}, 'stream.end revoked', 'it ends';
};

subtest 'an attempt whose runner is lost' => sub {
    mkdir my $folder = "$d/three";
    my $id = create('tells', $folder);
    my (undef, $first) = told($folder, 1);
    is status_with($first), 200, 'its token is good';
    my ($runner) = $l->pids('runner');
    kill KILL => $runner;
    my (undef, $second) = told($folder, 2);
    ok $second, 'the next attempt begins' or diag $l->log;
    isnt $second, $first, 'with a token of its own';
    is status_with($second), 200, '... which is good';
    is status_with($first),  401, 'that of the first is not';
    Leat::write_file("$folder/go", '');
    is ended($id)->{status}, 'completed', 'it ends';
    is status_with($second), 401, 'and so does its token';
    is $l->http(DELETE => "/api/tasks/$id", headers => $as{alice})->status, 204, 'the task is deleted';
    is +(sql($l, "SELECT count(*) FROM credentials WHERE task NOT IN (SELECT n FROM tasks)"))[0][0], 0, '... with what is known of them';
};

subtest 'a site that does not say where it is' => sub {
    $l->down;
    $l->conf("[http]\nurl =\n");
    $l->up;
    mkdir my $folder = "$d/four";
    Leat::write_file("$folder/go", '');
    my $id = create('tells', $folder);
    is ended($id)->{status}, 'completed', 'the job runs';
    is Leat::slurp("$folder/said-1"), " \n", 'and is told nothing';
    is +(sql($l, "SELECT count(*) FROM credentials WHERE task = (SELECT n FROM tasks WHERE id = '$id')"))[0][0], 0, 'there is no token';
};

$l->stop;
done_testing;
