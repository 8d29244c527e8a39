# Groups: what they say of their tasks, their context, what is published into them, and what is done to
# all their tasks at once.
use strict;
use warnings;
use Leat;
use Test::More;

# bodies may be larger than a context may
my $l = Leat->start(conf => "[runner]\nworkers = 8\n[http]\nmax_body_bytes = 4194304\n");

# fails for good while this file is missing
my $fine = "$l->{dir}/fine";
$l->job(picky => "#!/bin/sh\n[ -e $fine ] || exit 65\n");

# reports half, then runs until the file of its input's name is there
$l->job(gated => "#!/bin/sh\necho 50 >&3\nname=\$(cat)\nwhile [ ! -e $l->{dir}/open-\$name ]; do sleep 0.02; done\n");

# reads the context, says so, and gives a new one once it is let
$l->job(slowly => "#!/bin/sh\nwas=\$(cat \$LEAT_CONTEXT_FILE)\necho 50 >&3\nname=\$(cat)\nwhile [ ! -e $l->{dir}/open-\$name ]; do sleep 0.02; done\n"
        . "echo \"{\\\"context\\\":{\\\"by\\\":\\\"\$name\\\",\\\"was\\\":\$was}}\" >&3\n");

# wraps the context, then fails if so told
my $remembers = <<'JOB';
#!/bin/sh
input=$(cat)
printf '{"context":{"by":"%s","was":%s}}\n' "$input" "$(cat "$LEAT_CONTEXT_FILE")" >&3
[ "$input" != fail ] || exit 65
JOB
$l->job(remembers => $remembers, "serialize = group\n");
$l->job(inturn => "#!/bin/sh\nuntil [ -e $l->{dir}/turn ]; do sleep 0.02; done\n", "serialize = group\n");

sub create {
    my (%fields) = @_;
    my $r = $l->http(POST => '/api/tasks', json => \%fields);
    is $r->status, 202, "create $fields{type}" or diag $r->body;
    return $r->json->{task_id};
}

sub task { return $l->http(GET => "/api/tasks/$_[0]")->json }

sub reaches { return $l->reaches(@_) }

sub opens { Leat::write_file("$l->{dir}/open-$_[0]", '') }

sub encoded {
    my ($name) = @_;
    $name =~ s/([^\w.-])/sprintf '%%%02X', ord $1/ge;
    return $name;
}

sub group { return $l->http(GET => '/api/groups/' . encoded($_[0]))->json }

sub token {
    my ($owner, $scope) = @_;
    my $r = $l->leat('token', 'add', '--owner', $owner, '--scope', $scope);
    $r->{status} == 0 or die "token add: $r->{err}";
    return (Authorization => "Bearer $r->{out}");
}

# The events of a group so far.
sub events {
    my ($name) = @_;
    my $r = $l->http(GET => '/api/groups/' . encoded($name) . '/events?starting_after=earliest&limit=1000', headers => {Accept => 'application/json'});
    return @{ $r->json->{events} };
}

my %none = map { $_ => 0 } qw(pending running completed failed timeout cancelled);

subtest 'a group never used is idle' => sub {
    my $r = $l->http(GET => '/api/groups/never');
    is $r->status, 200, 'status of the answer';
    my $g = $r->json;
    is "$g->{id} $g->{status} $g->{version} $g->{progress} $g->{total}", 'never idle 0 0 0', 'idle';
    ok exists $g->{context} && !defined $g->{context}, 'context null';
    is_deeply $g->{counts}, \%none, 'counts nothing';
    is_deeply [grep { $_->{id} eq 'never' } @{ $l->http(GET => '/api/groups')->json->{groups} }], [],
        'and was not made by being read';
    is $l->http(GET => "/api/groups/$_")->json->{total}, 0, length . ' bytes' for 'x' x 200;
    is $l->http(GET => '/api/groups/' . 'x' x 201 . $_)->status, 422, "a name too long is refused: $_"
        for '', '/context', '/events';
    is $l->http(GET => '/api/groups/a%c2%85b')->status, 422, 'one with a control character too';
    is $l->http(GET => '/api/groups/a%01b')->status, 400, 'nor has one control characters';
};

subtest 'a name that no path can carry stands in the query' => sub {
    # the web server, or the path, would take each of these for something else
    for my $name ('a/b', '/', 'x//y', 'a/../b c' =~ s/\.\./.../r, '%41', 'a?b', '100%', "\xc3\xa4 &=+", 'events', '--') {
        my $query = 'group=' . encoded($name);
        my $made  = $l->http(POST => "/api/tasks?type=picky&delay=600&$query", body => '');
        is $made->status, 202, "'$name'" or diag $made->body;
        my $g = $l->http(GET => "/api/groups/-?$query")->json;
        utf8::encode(my $id = $g->{id});
        is_deeply [$id, $g->{total}], [$name, 1], '... its document';
        my ($first) = @{ $l->http(GET => "/api/groups/-/events?starting_after=earliest&$query", headers => {Accept => 'application/json'})->json->{events} };
        is $first->{task_id}, $made->json->{task_id}, '... its events';
        my $s = $l->stream("/api/groups/-/events?$query")->next_event(10);
        is $s->{json}{payload}{snapshot}{total}, 1, '... as a stream';
        my $put = $l->http(PUT => "/api/groups/-/context?$query", json => {here => 1}, headers => {'If-Match' => '"0"'});
        is $put->status . ' ' . $put->header('ETag'), '200 "1"', '... its context';
        is_deeply $l->http(GET => "/api/groups/-/context?$query")->json, {here => 1}, '... as it was put';
        is $l->http(POST => "/api/groups/-/events?$query", json => {type => 'doc.created'})->status, 202, '... a publication';
        is $l->http(POST => "/api/groups/-/cancel?$query")->json->{cancelled}, 1, '... its tasks are cancelled';
        is $l->http(POST => "/api/groups/-/retry?$query")->json->{retried}, 1, '... and retried';
        $l->http(POST => "/api/groups/-/cancel?$query");
    }
    my @before = map { $_->{id} } @{ $l->http(GET => '/api/groups')->json->{groups} };
    for my $bad ('', '-', '.', '..', 'a/../b', './a', 'a/.', "a\x01b", 'x' x 201) {
        my $query = 'group=' . encoded($bad);
        for ([POST => "/api/tasks?type=picky&$query"], [POST => '/api/tasks', json => {type => 'picky', group => $bad}]) {
            my ($method, $path, %body) = @$_;
            my $r = $l->http($method => $path, %body ? %body : (body => ''));
            is $r->status . ' ' . $r->json->{code}, '422 invalid_request', "not a name: '$bad'";
        }
        for ([GET => "/api/groups/-?$query"], [POST => "/api/groups/-/events?$query", json => {type => 'doc.created'}],
            [GET => "/api/groups/-/context?$query"], [PUT => "/api/groups/-/context?$query", json => 1],
            [GET => "/api/groups/-/events?$query"], [POST => "/api/groups/-/cancel?$query"], [POST => "/api/groups/-/retry?$query"]) {
            my ($method, $path, @body) = @$_;
            my $r = $l->http($method => $path, @body);
            is $r->status . ' ' . $r->json->{code}, '422 invalid_request', "... $method $path";
        }
    }
    is $l->http(GET => '/api/groups/-')->status, 422, 'without it there is no group';
    is_deeply [map { $_->{id} } @{ $l->http(GET => '/api/groups')->json->{groups} }], \@before, 'nothing was made';

    my %me = token('grace', 'create,read');
    $l->http(POST => '/api/tasks?type=picky&delay=600&group=a%2Fb', body => '', headers => \%me);
    my $t = $l->http(POST => '/api/tickets', json => {group => 'a/b'}, headers => \%me)->json;
    is $l->stream("/api/groups/-/events?group=a/b&ticket=$t->{ticket}")->next_event(10)->{json}{payload}{snapshot}{total}, 1, 'a ticket opens it';
    subtest 'a ticket for a name with a slash, at the address that it names' => sub {
        is $l->stream($t->{url})->status, 200, 'it opens';
    };
    isnt $l->stream("/api/groups/-/events?group=a&ticket=$t->{ticket}")->status, 200, '... and no other';

    my %admin_at = ('in the path' => '/api/groups/a%2Fb*?owner=grace', 'in the query' => '/api/groups/-*?group=a%2Fb&owner=grace');
    for my $where (sort keys %admin_at) {
        subtest "an admin names the group of another owner $where" => sub {
            my $path = $admin_at{$where};
            my $at = sub { return $path =~ s/\*/$_[0]/r };
            my $g = $l->http(GET => $at->(''))->json;
            is "$g->{owner} $g->{total}", 'grace 1', 'it is that';
            my %links = map { ($_ || '/self') =~ s{/}{}r => "/api/groups/a%2Fb$_?owner=grace" } '', '/events', '/context';
            is_deeply $g->{links}, \%links, '... and so are its links';
            my ($listed) = grep { "$_->{owner} $_->{id}" eq 'grace a/b' } @{ $l->http(GET => '/api/groups')->json->{groups} };
            is_deeply $listed->{links}, \%links, '... also in a list';
            is $l->http(GET => '/api/groups/-?group=a%2Fb')->json->{links}{self}, '/api/groups/a%2Fb', '... those of the asker\'s own need no name';
            my $version = $l->http(GET => $at->('/context'))->header('ETag');
            is $l->http(PUT => $at->('/context'), json => {by => 'admin'}, headers => {'If-Match' => $version})->status, 200, '... for its context';
            is $l->http(POST => $at->('/events'), json => {type => 'doc.created'})->status, 202, '... publishes into it';
            my @events = @{ $l->http(GET => $at->('/events') . '&last_event_id=earliest', headers => {Accept => 'application/json'})->json->{events} };
            is +(grep { $_->{type} eq 'doc.created' } @events)[0]{group_id}, 'a/b', '... reads its events';
            is $l->http(POST => $at->('/cancel'))->status, 202, '... cancels its tasks';
            my ($task) = map { $_->{task_id} } grep { $_->{task_id} } @events;
            is $l->reaches($task)->{owner}, 'grace', '... which ends them';
            is $l->http(POST => $at->('/retry'))->json->{retried}, 1, '... and retries them';
            is $l->http(GET => $at->(''), headers => {token('heidi', 'create,read,publish')})->status, 403, '... and nobody else does';
        };
    }
    is_deeply $l->http(GET => '/api/groups/-?group=a%2Fb')->json->{context}, {here => 1}, 'that of the asker is another';
};

subtest 'counts, progress and status are those of its tasks' => sub {
    my $check = sub {
        my ($status, $progress, %counts) = @_;
        my $g;
        wait_until {
            $g = group('sum');
            $g->{status} eq $status && $g->{progress} == $progress
        } 20;
        is $g->{status},   $status,   $status;
        is $g->{progress}, $progress, "progress $progress";
        my $total = 0;
        $total += $_ for values %counts;
        is $g->{total}, $total, "total $total";
        is_deeply $g->{counts}, {%none, %counts}, 'counts';
    };
    my $late = create(type => 'wordcount', group => 'sum', delay => 600);
    $check->(pending => 0, pending => 1);
    reaches(create(type => 'wordcount', group => 'sum', input => 'a'));
    $check->(pending => 50, pending => 1, completed => 1);
    my $running = create(type => 'gated', group => 'sum', input => 'sum');
    my $failed  = reaches(create(type => 'picky', group => 'sum'));
    is $failed->{status}, 'failed', 'one fails';
    $check->(running => 62.5, pending => 1, completed => 1, running => 1, failed => 1);
    opens('sum');
    reaches($running);
    $check->(pending => 75, pending => 1, completed => 2, failed => 1);
    is $l->http(POST => "/api/tasks/$late/cancel")->status, 202, 'cancel';
    $check->(failed => 100, completed => 2, failed => 1, cancelled => 1);
    is $l->http(DELETE => "/api/tasks/$failed->{id}")->status, 204, 'delete the failed one';
    $check->(completed => 100, completed => 2, cancelled => 1);
    is $l->http(DELETE => "/api/tasks/$_->{id}")->status, 204, 'delete'
        for grep { $_->{status} eq 'completed' } @{ $l->http(GET => '/api/tasks?group=sum')->json->{tasks} };
    $check->(cancelled => 100, cancelled => 1);
    is $l->http(DELETE => "/api/tasks/$late")->status, 204, 'delete the last';
    $check->(idle => 0);

    my @changed = grep { $_->{type} eq 'group.status_changed' } events('sum');
    is $changed[-1]{payload}{to}, 'idle', 'the log has the last change';
    my $from = $changed[0]{payload}{from};    # a deletion takes the log before it
    for (@changed) {
        is $_->{payload}{from}, $from, "from $from to $_->{payload}{to}";
        $from = $_->{payload}{to};
    }
};

subtest 'GET /api/groups: pages, latest change first' => sub {
    my %headers = token('lister', 'create,read,publish');
    my @names = ('plain', 'with space', 'with/slash', "100% \x{e4}?&#+", '1.6.lister');
    my $touch = sub {
        my ($name) = @_;
        utf8::encode(my $bytes = $name);
        my $r = $l->http(PUT => '/api/groups/' . encoded($bytes) . '/context', json => {name => $name}, headers => \%headers);
        is $r->status, 200, 'touched' or diag $r->body;
    };
    my $list = sub { return $l->http(GET => "/api/groups?$_[0]", headers => \%headers)->json };
    $touch->($_) for @names;
    my $all = $list->('')->{groups};
    is_deeply [sort map { $_->{id} } @$all], [sort @names], 'the owner\'s, all of them';
    ok !exists $_->{context}, 'without its context' for @$all;
    my @times = map { $_->{updated_at} } @$all;
    is_deeply \@times, [sort { $b <=> $a } @times], 'latest change first';
    is $l->http(GET => $_->{links}{self}, headers => \%headers)->json->{context}{name}, $_->{id}, 'its link leads to it' for @$all;

    my ($first, $last) = ($all->[0], $all->[-1]);
    wait_until { $touch->($last->{id}); $list->('page_size=1')->{groups}[0]{id} eq $last->{id} } 5;
    my ($token, @paged, @sizes) = ('');
    do {
        my $page = $list->("page_size=2&page_token=$token");
        push @sizes, scalar @{ $page->{groups} };
        push @paged, map { $_->{id} } @{ $page->{groups} };
        $token = $page->{next_page_token};
    } while $token ne '' && @sizes < 9;
    is "@sizes", '2 2 1', 'three pages';
    is_deeply \@paged, [$last->{id}, map { $_->{id} } @$all[0 .. 3]], 'no gap, no double, the changed one first';
    is_deeply [map { $_->{id} } @{ $list->('page_size=5')->{groups} }], \@paged, 'as one page';
    is $list->('page_size=5')->{next_page_token}, '', 'a full last page is the last';

    my %other = token('stranger', 'create,read,publish');
    is_deeply $l->http(GET => '/api/groups', headers => \%other)->json->{groups}, [], 'another owner has none of them';
    my $theirs = $l->http(GET => '/api/groups/plain', headers => \%other)->json;
    is $theirs->{version}, 0, 'and reads their own of the same name';
    is $l->http(GET => '/api/groups?owner=lister', headers => \%other)->status, 403, 'names no other owner';
    is scalar @{ $l->http(GET => '/api/groups?owner=lister')->json->{groups} }, 5, 'an admin does';
    is $l->http(GET => "/api/groups?$_", headers => \%headers)->status, 422, $_
        for qw(page_size=0 page_size=x page_token=x page_token=MS45OS5h);
};

subtest 'the context and its ETag' => sub {
    my $path = '/api/groups/kept/context';
    my $put  = sub { my ($body, %headers) = @_; return $l->http(PUT => $path, body => $body, headers => \%headers) };
    my $r = $l->http(GET => $path);
    is join(' ', $r->status, $r->header('ETag'), $r->body), '200 "0" null', 'never set';
    is $l->http(GET => $path, headers => {'If-None-Match' => '"0"'})->status, 304, '304 for that too';
    my $exact = '{"z":1.50,"a":92233720368547758079,"b":-1e999,"t":"\u00e4"}';
    is $put->($exact, 'If-Match' => '*')->status, 412, 'If-Match: * needs one';
    is $put->($exact, 'If-None-Match' => '"0"')->status, 412, 'If-None-Match: a version that there is';
    $r = $put->($exact, 'If-None-Match' => '*');
    is $r->status . ' ' . $r->header('ETag'), '200 "1"', 'set';
    $r = $l->http(GET => $path);
    is $r->header('ETag') . ' ' . $r->body, '"1" ' . $exact, 'read, digit for digit';
    $r = $l->http(GET => $path, headers => {'If-None-Match' => '"7", W/"1"'});
    is join(' ', $r->status, $r->header('ETag'), length $r->body), '304 "1" 0', '304 while it is the same';
    for (['If-Match' => '"0"'], ['If-None-Match' => '*'], ['If-None-Match' => '"7", "1"'], ['If-Match' => '"1"', 'If-None-Match' => '"1"']) {
        $r = $put->('[2]', @$_);
        is $r->status . ' ' . $r->json->{code}, '412 version_clash', "a clash: @$_";
    }
    is $l->http(GET => $path)->body, $exact, 'changes nothing';
    $r = $put->('[2]', 'If-Match' => '"1"');
    is $r->status . ' ' . $r->header('ETag'), '200 "2"', 'a match replaces it';
    is $put->('"three"')->header('ETag'), '"3"', 'so does a PUT without If-Match';
    is $l->http(GET => $path, headers => {'If-None-Match' => '"2"'})->status, 200, 'another version is sent';
    $r = $put->('{"a":');
    is $r->status . ' ' . $r->json->{code}, '400 bad_json', 'bad JSON';
    my $g = group('kept');
    is "$g->{version} $g->{context}", '3 three', 'the document has it';
    is_deeply [map { $_->{payload}{version} } grep { $_->{type} eq 'group.context_changed' } events('kept')],
        [1, 2, 3], 'each change is in the log, once';
};

subtest 'a job reads the context and replaces it' => sub {
    my $one = reaches(create(type => 'remembers', group => 'chat', input => 'one'));
    is $one->{status}, 'completed', 'the first';
    my $g = group('chat');
    is_deeply $g->{context}, {by => 'one', was => undef}, 'found null and replaced it';
    is $g->{version}, 1, 'version';
    is reaches(create(type => 'remembers', group => 'chat', input => 'fail'))->{status}, 'failed', 'one fails';
    is group('chat')->{version}, 1, 'and its context is not kept';
    my ($two, $three) = map { create(type => 'remembers', group => 'chat', input => $_) } qw(two three);
    reaches($three);
    is_deeply group('chat')->{context}, {by => 'three', was => {by => 'two', was => {by => 'one', was => undef}}},
        'each finds what the one before left';
    is_deeply [map { $_->{payload}{version} } grep { $_->{type} eq 'group.context_changed' } events('chat')],
        [1, 2, 3], 'group.context_changed for those that completed';
    is reaches(create(type => 'wordcount', group => 'chat', input => 'x'))->{status}, 'completed', 'one that says nothing of it';
    is group('chat')->{version}, 3, 'leaves it alone';
};

subtest 'a PUT while a job runs is not overwritten' => sub {
    my $path = '/api/groups/busy/context';
    my $id   = create(type => 'slowly', group => 'busy', input => 'late');
    ok wait_until(sub { (task($id)->{progress} // 0) == 50 }, 60), 'the job has read the context';
    my $r = $l->http(PUT => $path, body => '{"by":"user","n":1.50}', headers => {'If-Match' => '"0"'});
    is $r->status . ' ' . $r->header('ETag'), '200 "1"', 'a PUT';
    my $s = $l->stream('/api/groups/busy/events?starting_after=earliest&types=group.*');
    opens('late');
    my $task = reaches($id);
    is "$task->{status} " . ($task->{error} // '-'), 'completed -', 'the task completes all the same';
    $r = $l->http(GET => $path);
    is $r->header('ETag') . ' ' . $r->body, '"1" {"by":"user","n":1.50}', 'the newer one stays';
    my $conflict = $s->next_event(60, 'group.context_conflict')->{json};
    is_deeply $conflict->{payload}, {task_id => $id, version => 1, context => {by => 'late', was => undef}}, 'the other is told';
    is "$conflict->{group_id} $conflict->{task_id}", "busy $id", 'with its task';
    my @types = map { $_->{type} } grep { $_->{type} ne 'group.status_changed' } events('busy');
    is_deeply [@types[-2, -1]], [qw(group.context_conflict task.status_changed)], 'before the task ends';
    create(type => 'slowly', group => 'busy', input => 'next');
    opens('next');
    ok wait_until(sub { group('busy')->{version} == 2 }, 60), 'the next job was given the newer one';
    is_deeply group('busy')->{context}, {by => 'next', was => {by => 'user', n => 1.5}}, 'and replaces it';
    is scalar(grep { $_->{type} eq 'group.context_conflict' } events('busy')), 1, 'without a conflict';
};

subtest 'a context is at most a mebibyte, and only who asks for it gets it' => sub {
    my $path  = '/api/groups/large/context';
    my $whole = '"' . 'x' x 1048574 . '"';
    my $r     = $l->http(PUT => $path, body => $whole);
    is $r->status . ' ' . length $r->body, '200 1048576', 'a mebibyte';
    $r = $l->http(PUT => $path, body => '"' . 'x' x 1048575 . '"');
    is $r->status . ' ' . $r->json->{code}, '413 body_too_large', 'a byte more';
    like $r->json->{detail}, qr/1048576 bytes/, 'which names the limit';
    is $l->http(GET => $path)->header('ETag'), '"1"', 'changed nothing';
    is length group('large')->{context}, 1048574, 'the document of the group has it';
    my ($listed) = grep { $_->{id} eq 'large' } @{ $l->http(GET => '/api/groups')->json->{groups} };
    is "$listed->{version} " . exists $listed->{context}, '1 ', 'a list does not';
    my $snapshot = $l->stream('/api/groups/large/events')->next_event(60)->{json}{payload}{snapshot};
    is "$snapshot->{id} $snapshot->{version} " . exists $snapshot->{context}, 'large 1 ', 'nor does a snapshot';
};

subtest 'serialize = group: one at a time, in order' => sub {
    my @ids  = map { create(type => 'inturn', group => 'row') } 1 .. 3;
    my $free = create(type => 'inturn', group => 'elsewhere');
    ok scalar(wait_until { ($l->http(GET => "/api/tasks/$free")->json->{status} // '') eq 'running' } 60), 'another group does not wait for them';
    Leat::write_file("$l->{dir}/turn", '');
    my @tasks = map { reaches($_) } @ids;
    is_deeply [map { $_->{status} } @tasks], [('completed') x 3], 'all complete';
    cmp_ok $tasks[$_]{started_at}, '>=', $tasks[$_ - 1]{completed_at}, "$_ after the one before" for 1, 2;
    my @steps = map { "$_->{payload}{to} $_->{task_id}" } grep { $_->{type} eq 'task.status_changed' } events('row');
    is_deeply \@steps, [map { ("running $_", "completed $_") } @ids], 'the log too';
};

subtest 'publishing into a group' => sub {
    my $path = '/api/groups/' . encoded('room/1 a') . '/events';
    my $s = $l->stream($path);
    is $s->next_event(10)->{json}{type}, 'stream.connected', 'watched before its first event';
    my $body = '{"type":"doc.created","payload":{"n":92233720368547758079,"x":"a\nb"}}';
    my $r = $l->http(POST => $path, body => $body, headers => {'X-Request-ID' => 'pub-1'});
    is $r->status, 202, 'status' or diag $r->body;
    my $frame = $s->next_event(10, 'doc.created');
    ok $frame, 'it arrives';
    is $frame->{id}, $r->json->{id}, 'by the id of the answer';
    my $e = $frame->{json};
    is_deeply [@$e{qw(type group_id task_id request_id)}], ['doc.created', 'room/1 a', undef, 'pub-1'], 'the envelope';
    like $frame->{data}, qr/"payload":\{"n":92233720368547758079,"x":"a\\nb"\}/, 'the payload, digit for digit';
    is $l->http(POST => $path, body => '{"type":"a.b"}')->status, 202, 'without a payload';
    $frame = $s->next_event(10, 'a.b');
    is_deeply $frame->{json}{payload}, {}, 'it is {}';
    for my $type (qw(task.x group.status_changed log.append file.x stream.end task), '', 'Doc.created', 'doc..x', '.doc',
        'doc.', 'doc created')
    {
        my $r = $l->http(POST => $path, json => {type => $type, payload => 1});
        is $r->status . ' ' . $r->json->{code}, '422 invalid_request', "'$type'";
    }
    is $l->http(POST => $path, body => $_)->status, 422, $_ for '{}', '{"type":7}', '{"type":"a.b","payloads":1}', '[]';
    is $l->http(POST => $path, body => '{')->status, 400, 'bad JSON';
    is_deeply [map { $_->{type} } events('room/1 a')], [qw(doc.created a.b)], 'nothing else was written';
    is $l->http(POST => $path, json => {type => 'a.b'}, headers => {token('reader', 'read')})->status, 403, 'needs the scope';
    $s->close;
};

subtest 'cancel and retry of all tasks' => sub {
    my $late = create(type => 'wordcount', group => 'bulk', delay => 600, input => 'a b');
    my $running = create(type => 'gated', group => 'bulk', input => 'bulk');
    my $done    = reaches(create(type => 'wordcount', group => 'bulk', input => 'a'));
    my $failed  = reaches(create(type => 'picky', group => 'bulk'))->{id};
    my $other   = create(type => 'wordcount', group => 'bulky', delay => 600);
    is reaches($running, 'running')->{status}, 'running', 'one runs';
    my $post = sub { return $l->http(POST => "/api/groups/$_[0]/$_[1]") };
    my $r = $post->(bulk => 'cancel');
    is $r->status, 202, 'cancel';
    is_deeply $r->json, {success => JSON::PP::true, cancelled => 1, cancel_requested => 1}, 'the counts';
    is task($late)->{status}, 'cancelled', 'the pending one at once';
    is reaches($running)->{status}, 'cancelled', 'the running one when its job is stopped';
    my $g = group('bulk');
    is_deeply $g->{counts}, {%none, completed => 1, failed => 1, cancelled => 2}, 'the others are left alone';
    is $g->{status}, 'failed', 'status';
    is task($other)->{status}, 'pending', 'another group is too';
    is_deeply $post->(bulk => 'cancel')->json, {success => JSON::PP::true, cancelled => 0, cancel_requested => 0},
        'nothing is left to cancel';

    Leat::write_file($fine, '');
    opens('bulk');
    $r = $post->(bulk => 'retry');
    is $r->status, 202, 'retry';
    is_deeply $r->json, {success => JSON::PP::true, retried => 3}, 'the count';
    is reaches($_)->{status}, 'completed', 'completes' for $late, $running, $failed;
    is task($failed)->{attempt}, 2, 'at its second attempt';
    is task($done->{id})->{completed_at}, $done->{completed_at}, 'what was completed stays';
    is group('bulk')->{status}, 'completed', 'status';
    is_deeply $post->(bulk => 'retry')->json, {success => JSON::PP::true, retried => 0}, 'nothing is left to retry';
    for my $what (qw(cancel retry)) {
        is $post->('never-used', $what)->status, 202, "$what of a group never used";
    }
    is $post->(bulky => 'cancel')->json->{cancelled}, 1, '(cancelled)';
};

$l->stop;
done_testing;
