# Files that a job makes: kept when it completes, refused when they are no plain files, fetched by those who
# may, gone with their task; and never a row without its bytes.
use strict;
use warnings;
use utf8;
use Digest::SHA qw(sha256_hex);
use Encode qw(encode_utf8);
use Leat;
use Test::More;
use Time::HiRes qw(sleep);

binmode Test::More->builder->$_, ':utf8' for qw(output failure_output todo_output);

my $FILES_MAX = 8;
my $BYTES_MAX = 200_000;
my $l = Leat->start(conf => "[runner]\nfiles_max = $FILES_MAX\nfiles_bytes_max = $BYTES_MAX\nlease_seconds = 1\n");
my $build = $ENV{BUILD} || 'build';
my $root  = $l->state . '/files';

# A job is what its input says, run in the folder of files.
$l->job(shell => "#!/bin/sh\ncd \"\$LEAT_FILES\" || exit 1\nexec sh -eu -c \"\$(cat)\"\n");
$l->job(twice => "#!/bin/sh\necho \"\$LEAT_ATTEMPT\" >\"\$LEAT_FILES/\$LEAT_ATTEMPT.txt\"\necho \"\$LEAT_ATTEMPT\" >\"\$LEAT_FILES/both.txt\"\n"
        . "[ \$LEAT_ATTEMPT = 2 ]\n", "attempts = 2\nbackoff = 0\n");

sub run_task {
    my ($input, %opt) = @_;
    my $r = $l->http(POST => '/api/tasks', json => {type => $opt{type} // 'shell', input => $input, group => $opt{group}},
        headers => {Prefer => 'wait=20', %{ $opt{headers} || {} }});
    return $r->json->{task} // {status => "refused: $r->{body}", id => 'none'};
}

sub events_of {
    my ($id) = @_;
    return @{ $l->http(GET => "/api/tasks/$id/events", headers => {Accept => 'application/json'})->json->{events} };
}

sub warnings_of {
    my ($id) = @_;
    return map { $_->{payload}{message} } grep { $_->{type} eq 'log.append' && $_->{payload}{level} eq 'warn' } events_of($id);
}

sub names { return [map { $_->{name} } @{ $_[0]{files} }] }
sub kept { my ($id) = @_; return sort map { s{.*/}{}r } glob "$root/$id/*" }

# ---- what is kept --------------------------------------------------------------------------------

my $made = run_task(<<'JOB');
printf 'one,two\n' >table.csv
printf '<h1>no</h1>' >page.html
head -c 100000 /dev/urandom >'Grüße an alle.bin'
printf 'x' >'100% & more?#.txt'
: >empty
cp 'Grüße an alle.bin' "$LEAT_FILES/../copy.$LEAT_TASK_ID"
echo done
JOB
my ($copy) = glob $l->state . "/work/copy.$made->{id}";
my $bytes = Leat::slurp($copy);
unlink $copy;

subtest 'several files' => sub {
    is $made->{status}, 'completed', 'a task with files completes';
    is $made->{result}, 'done', 'it has its result too';
    my @expected = (
        ['100% & more?#.txt', 1,       'text/plain; charset=utf-8', '100%25%20%26%20more%3F%23.txt'],
        ['Grüße an alle.bin', 100_000, 'application/octet-stream',  'Gr%C3%BC%C3%9Fe%20an%20alle.bin'],
        ['empty',             0,       'application/octet-stream',  'empty'],
        ['page.html',         11,      'text/html; charset=utf-8',  'page.html'],
        ['table.csv',         8,       'text/csv; charset=utf-8',   'table.csv'],
    );
    @expected = map { +{name => $_->[0], bytes => $_->[1], content_type => $_->[2],
            url => "/api/tasks/$made->{id}/files/$_->[3]"} } @expected;
    is_deeply $made->{files}, \@expected, 'the document names them';
    my ($listed) = grep { $_->{id} eq $made->{id} } @{ $l->http(GET => '/api/tasks')->json->{tasks} };
    is_deeply $listed->{files}, \@expected, 'so do lists';
    my @events = events_of($made->{id});
    is_deeply [map { $_->{payload} } grep { $_->{type} eq 'file.created' } @events], \@expected, 'each has its event';
    is $events[-1]{type}, 'task.status_changed', '... before the last change';
    is_deeply [map { $_->{task_seq} } @events], [1 .. @events], '... without a gap';
    is sprintf('%o', (stat "$root/$made->{id}")[2] & 0777), '750', 'the folder is for the group to read';
    is sprintf('%o', (stat "$root/$made->{id}/empty")[2] & 07777), '640', 'so are the files';
    is_deeply [glob $l->state . '/work/*'], [], 'no working folder is left';
};

subtest 'fetched through the web server' => sub {
    my $file = $made->{files}[1];
    my $r = $l->http(GET => $file->{url});
    is $r->status, 200, 'fetched';
    is sha256_hex($r->body), sha256_hex($bytes), 'every byte';
    is $r->header('Content-Type'), 'application/octet-stream', 'its media type';
    is $r->header('Content-Length'), 100_000, 'Content-Length';
    is $r->header('Content-Disposition'),
        q(attachment; filename="Gr____e an alle.bin"; filename*=UTF-8''Gr%C3%BC%C3%9Fe%20an%20alle.bin), 'saved under its name';
    is $r->header('X-Content-Type-Options'), 'nosniff', 'nosniff';
    is $r->header('Content-Security-Policy'), q(sandbox; default-src 'none'), 'sandboxed';
    is $r->header('Cache-Control'), 'private, no-cache', 'nobody between may keep it';
    ok $r->header('X-Request-ID'), 'X-Request-ID';
    is $r->header('X-Accel-Redirect'), undef, 'the way to it is not told';

    my $etag = $r->header('ETag');
    like $etag, qr/^"[0-9a-f]+-[0-9a-f]+"$/, 'a strong ETag';
    is $l->http(GET => $file->{url}, headers => {'If-None-Match' => $etag})->status, 304, 'not modified';
    my $part = $l->http(GET => $file->{url}, headers => {Range => 'bytes=1000-1999', 'If-Range' => $etag});
    is $part->status . ' ' . $part->header('Content-Range'), '206 bytes 1000-1999/100000', 'a range';
    ok $part->body eq substr($bytes, 1000, 1000), '... of the right bytes';
    my $tail = $l->http(GET => $file->{url}, headers => {Range => 'bytes=-10'});
    ok $tail->body eq substr($bytes, -10), 'the end of it';
    is $l->http(GET => $file->{url}, headers => {Range => 'bytes=100000-'})->status, 416, 'beyond it';

    my $head = $l->http(HEAD => $file->{url});
    is $head->status . ' ' . $head->header('Content-Length'), '200 100000', 'HEAD';
    is $l->http(GET => $made->{files}[0]{url})->body, 'x', 'a name that is special in URLs';
    my $empty = $l->http(GET => $made->{files}[2]{url});
    is $empty->status . $empty->body, '200', 'an empty one';
    is $l->http(GET => $made->{files}[4]{url})->header('Content-Disposition'), q(inline; filename="table.csv"; filename*=UTF-8''table.csv), 'text is shown';
    my $page = $l->http(GET => $made->{files}[3]{url});
    like $page->header('Content-Disposition'), qr/^attachment;/, 'a page is not shown';
    is $page->header('Content-Security-Policy'), q(sandbox; default-src 'none'), 'and would run nothing';
    my $away = $l->http(GET => $file->{url}, headers => {Origin => 'https://foe.example'});
    isnt $away->header('Access-Control-Allow-Origin') // '', 'https://foe.example', 'no other origin may read it';
};

# The answer of leat.fcgi as a CGI program, with more settings; the path is sent as it stands.
sub cgi {
    my ($method, $path, %env) = @_;
    my @env = map { "$_=$env{$_}" } sort keys %env;
    my $pid = open my $out, '-|';
    if (!$pid) {
        open STDIN, '<', '/dev/null';
        exec 'env', '-i', @env, "REQUEST_METHOD=$method", "REQUEST_URI=$path", "$build/leat.fcgi", '--config', $l->conf_file;
    }
    binmode $out;
    my $answer = do { local $/; readline $out };
    close $out;
    my ($head, $body) = split /\r\n\r\n/, $answer, 2;
    $head =~ s/^Status: (\d+)/HTTP\/1.1 $1/m;
    my $r = Leat::Answer::parse($head);
    $r->{body} = $body;
    return $r;
}

subtest 'told to the web server, or sent' => sub {
    my $file = $made->{files}[1];
    my $own = cgi(GET => $file->{url});
    is $own->status, 200, 'leat.fcgi itself';
    ok $own->body eq $bytes, '... sends every byte';
    is $own->header('Content-Length'), 100_000, '... with its length';
    is $own->header('ETag'), $l->http(HEAD => $file->{url})->header('ETag'), '... and the ETag that nginx gives it';
    is cgi(GET => $file->{url}, HTTP_IF_NONE_MATCH => $own->header('ETag'))->status, 304, '... not modified';
    is cgi(HEAD => $file->{url})->body, '', '... HEAD';
    is cgi(GET => $file->{url}, HTTP_RANGE => 'bytes=0-1')->status, 200, '... whole, whatever range';

    my $accel = cgi(GET => $file->{url}, LEAT_HTTP_FILES_ACCEL => '/there');
    is $accel->header('X-Accel-Redirect'), "/there/$made->{id}/Gr%C3%BC%C3%9Fe%20an%20alle.bin", 'X-Accel-Redirect';
    is $accel->body, '', '... and nothing else';
    my $send = cgi(GET => $made->{files}[0]{url}, LEAT_HTTP_FILES_SENDFILE => 'yes');
    my $real = qx(realpath $root);
    chomp $real;
    is $send->header('X-Sendfile'), "$real/$made->{id}/100%25%20%26%20more%3F%23.txt", 'X-Sendfile';
    is $send->body, '', '... and nothing else';
    is cgi(GET => $file->{url} =~ s/Gr/Gx/r, $_ => $_ =~ /ACCEL/ ? '/there' : 'yes')->status, 404, "$_: only what has a row"
        for qw(LEAT_HTTP_FILES_ACCEL LEAT_HTTP_FILES_SENDFILE);
};

subtest 'sent through nginx without help' => sub {
    my $site = $l->state . '/nginx/leat-pass.conf';
    my $text = Leat::slurp($site);
    Leat::write_file($site, $text =~ s/^.*LEAT_HTTP_FILES_ACCEL.*$//mr);
    kill HUP => $l->pids('server');
    my $file = $made->{files}[1];
    my $r = wait_until { my $r = $l->http(GET => $file->{url}, headers => {Range => 'bytes=0-9'}); $r->status == 200 && $r } 10;
    ok $r && $r->body eq $bytes, 'every byte';
    is $r->header('Content-Length'), 100_000, 'Content-Length';
    is $l->http(HEAD => $file->{url})->header('Content-Length'), 100_000, 'HEAD';
    is $l->http(GET => $file->{url}, headers => {'If-None-Match' => $r->header('ETag')})->status, 304, 'not modified';
    Leat::write_file($site, $text);
    kill HUP => $l->pids('server');
    ok wait_until { $l->http(GET => $file->{url}, headers => {Range => 'bytes=0-9'})->status == 206 }, 'and with it again';
};

# ---- who may, and by which paths -----------------------------------------------------------------

subtest 'who may' => sub {
    my %as;
    for (['alice', 'create,read'], ['bob', 'create,read'], ['carol', 'create'], ['chief', 'read,admin']) {
        my $token = $l->leat(qw(token add --owner), $_->[0], '--scope', $_->[1])->{out};
        $as{ $_->[0] } = {Authorization => "Bearer $token"};
    }
    my $task = run_task('echo mine >mine.txt', headers => $as{alice});
    my $url = $task->{files}[0]{url};
    is $l->http(GET => $url, headers => $as{alice})->body, "mine\n", 'the owner reads it';
    is $l->http(GET => $url, headers => $as{chief})->body, "mine\n", 'an admin reads it';
    my $r = $l->http(GET => $url, headers => $as{bob});
    is $r->status . ' ' . $r->json->{code}, '404 not_found', 'another owner finds nothing';
    is $l->http(GET => "/api/tasks/$task->{id}/files/other.txt", headers => $as{bob})->body =~ s/"request_id":"\w+"//r,
        $r->body =~ s/"request_id":"\w+"//r, '... and cannot tell whether it is there';
    is $l->http(GET => $url, headers => $as{carol})->status, 403, 'not without the scope read';
    is $l->http(GET => $url, headers => {Authorization => 'Bearer nonsense'})->status, 401, 'not by nonsense';
    for (['this task', {task => $task->{id}}, 200], ['another task', undef, 403], ['a group', {group => 'g'}, 403]) {
        my ($what, $for, $status) = @$_;
        $for //= {task => run_task('true', headers => $as{alice})->{id}};
        my $ticket = $l->http(POST => '/api/tickets', json => $for, headers => $as{alice})->json->{ticket};
        is $l->http(GET => "$url?ticket=$ticket")->status, $status, "a ticket for $what";
    }
    is $l->http(GET => "/leat-files/$task->{id}/mine.txt", headers => $as{alice})->status, 404, 'not behind our back';
};

subtest 'paths' => sub {
    my $task = run_task('echo a >a.txt');
    my $base = "/api/tasks/$task->{id}/files";
    Leat::write_file($l->state . "/files/$task->{id}/stray.txt", 'no row');
    is $l->http(GET => "$base/%61.txt")->body, "a\n", 'a name is decoded once';
    for my $name ('..%2f..%2fleat.db', '%2e%2e%2f%2e%2e%2fleat.db', '..%2fa.txt', '%2e%2e', '..', '..%5cleat.db', 'a.txt%00', '%00', 'a.txt%2f',
        '%2fetc%2fpasswd', 'a.txt%0a', 'a.txt%252f', '.', '', 'stray.txt', 'A.TXT', 'a.txt.', 'a.txt%20', 'x' x 201, '%ff', '../../leat.db', './../../leat.db',
        '..%2f' . $made->{id} . '%2ftable.csv', "../../$made->{id}/files/nothing")
    {
        for my $r ($l->http(GET => "$base/$name"), cgi(GET => "$base/$name")) {
            like $r->status, qr/^40[04]$/, "$name: " . $r->status;
            unlike $r->body, qr/SQLite|root:|no row/, '... and nothing of it';
        }
    }
};

# ---- what is refused -----------------------------------------------------------------------------

subtest 'only plain files' => sub {
    my $outside = $l->state . '/outside';
    Leat::write_file($outside, 'secret');
    my $task = run_task(<<"JOB");
echo good >good.txt
ln -s /etc/passwd passwd
ln -s good.txt relative
ln $outside hard
ln good.txt ../good.\$LEAT_TASK_ID
echo alone >alone.txt
mkfifo pipe
mkdir folder
echo in >folder/file
echo dot >.hidden
: >"\$(printf 'bad\\377')"
: >"\$(printf 'line\\nbreak')"
: >'back\\slash'
: >'up%2fdown'
: >\$(printf '%0201d' 0)
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")' 2>/dev/null || perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "socket", Listen => 1) or die'
mknod null c 1 3 2>/dev/null || :
JOB
    my $device = $> == 0 && $task->{id} && grep { /"null"/ } warnings_of($task->{id});
    is $task->{status}, 'completed', 'the task completes all the same';
    is_deeply names($task), ['alone.txt'], 'with the plain file';
    is_deeply [kept($task->{id})], ['alone.txt'], 'which is all that is there';
    my %why = map { /^file "(.*)" is not kept: (.*)$/s ? ($1 => $2) : ($_ => '?') } warnings_of($task->{id});
    is_deeply \%why, {
        'passwd' => 'it is a symbolic link', 'relative' => 'it is a symbolic link',
        'hard' => 'it has another name (a hard link)', 'good.txt' => 'it has another name (a hard link)',
        'pipe' => 'it is a pipe', 'folder' => 'it is a folder', 'socket' => 'it is a socket',
        '.hidden' => 'its name begins with a dot', "bad\x{fffd}" => 'its name is not UTF-8',
        "line\nbreak" => 'its name has a control character', 'back\\slash' => 'its name has a slash or backslash',
        'up%2fdown' => 'its name has what looks like a percent-encoding', '0' x 201 => 'its name is longer than 200 bytes',
        $device ? ('null' => 'it is a device') : (),
    }, 'the log says why the others are not kept';
    is Leat::slurp($outside), 'secret', 'what is outside is as it was';
    is sprintf('%o', (stat $outside)[2] & 0777), sprintf('%o', 0666 & ~umask), '... with its mode';
    is_deeply [grep { !/good/ } glob $l->state . '/work/*'], [], 'no working folder is left';
};

subtest 'a job of another user' => sub {
    plan skip_all => 'only root can start one' if $>;
    $l->job(nobodys => "#!/bin/sh\ncd \"\$LEAT_FILES\" || exit 1\nexec sh -eu -c \"\$(cat)\"\n", "user = nobody\n");
    my $open = "$l->{dir}/open";
    mkdir $open or die "$open: $!";
    chmod 0711, $l->{dir}, $l->state;    # private folders that it must pass through
    chmod 0777, $open;
    Leat::write_file("$open/roots", 'secret');
    chmod 0600, "$open/roots";
    Leat::write_file("$open/all", "for all\n");
    chmod 0644, "$open/all";
    my $task = run_task("id -u >own; mv $open/roots theirs; mv $open/all made", type => 'nobodys');
    is $task->{status}, 'completed', 'the task completes';
    is_deeply names($task), [qw(made own)], 'what is its own is kept, and what it can read, as of a container';
    is $l->http(GET => $task->{files}[0]{url})->body, "for all\n", '... a copy';
    is $l->http(GET => $task->{files}[1]{url})->body, getpwnam('nobody') . "\n", '... by nobody';
    is +(stat "$root/$task->{id}/own")[4], 0, "... and is the runner's now";
    is_deeply [warnings_of($task->{id})], ['file "theirs" is not kept: it belongs to another user, and not everybody may read it'], 'what it only found is not';
    chmod 0700, $l->{dir}, $l->state;
};

subtest 'of many, some are told' => sub {
    my $task = run_task('for i in $(seq 30); do ln -s x link$i; done; echo y >y');
    is_deeply names($task), ['y'], 'the good one is kept';
    my @said = warnings_of($task->{id});
    is scalar @said, 21, 'twenty and a last one';
    is $said[-1], '10 more files are not kept', 'which counts the rest';
};

subtest 'bounds' => sub {
    my $task = run_task("for i in \$(seq $FILES_MAX); do echo \$i >\$i; done");
    is "$task->{status} " . @{ $task->{files} }, "completed $FILES_MAX", 'as many as may be';
    for (["for i in \$(seq 9); do echo \$i >\$i; done", "it made more than $FILES_MAX files (files_max)", 'one more'],
        ['for i in $(seq 1100); do : >$i; done', "it made more than $FILES_MAX files (files_max)", 'a flood'],
        ["head -c 150000 /dev/zero >a; head -c 50001 /dev/zero >b", "its files are larger than $BYTES_MAX bytes in all (files_bytes_max)", 'one byte more'],
        ['truncate -s 1T hole', "its files are larger than $BYTES_MAX bytes in all (files_bytes_max)", 'a hole'])
    {
        my ($input, $message, $what) = @$_;
        $task = run_task($input);
        is "$task->{status} " . ($task->{error}{code} // ''), 'failed result_too_large', $what;
        is $task->{error}{message}, $message, '... and which bound it was';
        is_deeply [$task->{files}, [kept($task->{id})], [grep { $_->{type} eq 'file.created' } events_of($task->{id})]], [[], [], []], '... has no files';
    }
    $task = run_task('head -c 150000 /dev/zero >a; head -c 50000 /dev/zero >b');
    is $task->{status}, 'completed', 'as large as may be';
};

subtest 'who does not complete has none' => sub {
    for ('echo x >x; exit 65', 'echo x >x; kill -KILL $$') {
        my $task = run_task($_);
        is $task->{status}, 'failed', $_;
        is_deeply $task->{files}, [], '... no files';
        ok !-e "$root/$task->{id}", '... no folder of them';
        is $l->http(GET => "/api/tasks/$task->{id}/files/x")->status, 404, '... nor a way to them';
    }
    my $none = run_task('true');
    is_deeply [$none->{status}, $none->{files}], ['completed', []], 'who makes none has none';
    ok !-e "$root/$none->{id}", '... and no folder';
    my $away = run_task('cd /; rmdir "$LEAT_FILES"; ln -s /etc "$LEAT_FILES"');
    is_deeply $away->{files}, [], 'a folder that became a link has none';
    is $away->{status} . ' ' . ($away->{error}{code} // ''), 'failed exec_failed', '... and the task says so';
    my $gone = run_task('cd /; rmdir "$LEAT_FILES"');
    is_deeply [$gone->{status}, $gone->{files}], ['completed', []], 'a folder that is gone is no fault';
    is_deeply [grep { !/good/ } glob $l->state . '/work/*'], [], 'no working folder is left';
};

subtest 'a process that left the job exchanges them' => sub {
    # setsid leaves the group, and so lives on
    my $task = run_task(<<'JOB');
echo 0 >f
setsid sh -c 'end=$(($(date +%s) + 2)); while [ $(date +%s) -lt $end ]; do ln -sf /etc/passwd g && mv -T g f; echo 1 >h && mv -T h f; done' >/dev/null 2>&1 3>&- &
sleep 0.1
JOB
    is $task->{status}, 'completed', 'the task completes';
    for (@{ $task->{files} }) {
        my $path = "$root/$task->{id}/$_->{name}";
        ok -f $path && !-l $path && -s _ == $_->{bytes}, "$_->{name} is a plain file of $_->{bytes} bytes";
        unlike $l->http(GET => $_->{url})->body, qr/root:/, '... of the job';
    }
    is_deeply [kept($task->{id})], [sort @{ names($task) }], 'and each has a row';
};

# ---- the end of them -----------------------------------------------------------------------------

subtest 'gone with their task' => sub {
    my $task = run_task('echo a >a; echo b >b');
    ok -d "$root/$task->{id}", 'a folder';
    is $l->http(DELETE => "/api/tasks/$task->{id}")->status, 204, 'deleted';
    ok !-e "$root/$task->{id}", 'the folder is gone';
    is $l->http(GET => $task->{files}[0]{url})->status, 404, 'so is the way to it';
};

subtest 'a second attempt has its own' => sub {
    my $task = run_task('', type => 'twice');
    is "$task->{status} $task->{attempt}", 'completed 2', 'the second attempt completes';
    is_deeply names($task), ['2.txt', 'both.txt'], 'with its files alone';
    is $l->http(GET => $task->{files}[1]{url})->body, "2\n", 'and their bytes';

    # what a killed runner may have left at the task's place
    $l->job(waits => "#!/bin/sh\nuntil [ -e $l->{dir}/go ]; do sleep 0.02; done\necho new >\"\$LEAT_FILES/new.txt\"\n");
    my $id = $l->http(POST => '/api/tasks', json => {type => 'waits'})->json->{task_id};
    mkdir "$root/$id" or die "$root/$id: $!";
    Leat::write_file("$root/$id/old.txt", 'old');
    Leat::write_file("$l->{dir}/go", '');
    wait_until { $l->http(GET => "/api/tasks/$id")->json->{status} eq 'completed' } 20;
    is_deeply [kept($id)], ['new.txt'], 'what lay at its place is gone';
};

subtest 'runners that are killed' => sub {
    $l->job(many => <<'JOB', "backoff = 0\nattempts = 3\nlost_attempts = 100\n");
#!/bin/sh
for i in 1 2 3 4 5; do echo "$LEAT_TASK_ID $i" >"$LEAT_FILES/$i.txt"; done
JOB
    my @ids;
    my ($until, $latest) = (time + 12, time + 120);    # a slow machine has more time for so many
    my $kills = 0;
    while (time < $until || ($kills <= 10 && time < $latest)) {
        push @ids, $l->http(POST => '/api/tasks?type=many', body => '')->json->{task_id} for 1 .. 6;
        sleep 0.05 + rand 0.4;
        $kills++ if kill KILL => $l->pids('runner');
        wait_until { my ($pid) = $l->pids('runner'); $pid && -d "/proc/$pid" } 5;
    }
    my ($done, $whole) = (0, 0);
    for my $id (@ids) {
        my $task;
        wait_until { $task = $l->http(GET => "/api/tasks/$id")->json; $task->{status} !~ /^(?:pending|running)$/ } 60;
        $done++ if $task->{status} eq 'completed';
        my @right = grep { $l->http(GET => "/api/tasks/$id/files/$_.txt")->body eq "$id $_\n" } 1 .. 5;
        $whole++ if @right == 5 && @{ $task->{files} } == 5 && join(' ', kept($id)) eq '1.txt 2.txt 3.txt 4.txt 5.txt';
    }
    cmp_ok $kills, '>', 10, "$kills runners were killed";
    is $done, @ids, scalar(@ids) . ' tasks completed all the same';
    is $whole, @ids, '... each with all its files';
    my @created = map { scalar grep { $_->{type} eq 'file.created' } events_of($_) } @ids;
    is_deeply [grep { $_ != 5 } @created], [], '... each told once';
    wait_until { !grep { !/good/ } glob $l->state . '/work/*' } 10;
    is_deeply [grep { !/good/ } glob $l->state . '/work/*'], [], 'no working folder is left';
};

$l->stop;
done_testing;
