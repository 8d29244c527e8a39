# What `make run` makes of its variables and of the settings: where it may live, who is who, what the web server
# waits for; and what it says when a program dies under a request.
use strict;
use warnings;
use utf8;
use File::Temp qw(tempdir);
use Leat;
use POSIX ();
use Test::More;

my $l;

sub passed_on { return Leat::slurp($l->state . '/nginx/leat-pass.conf') }

subtest 'a state folder with blanks and umlauts' => sub {
    utf8::encode(my $name = 'Zustände von "a'  =~ s/"//r);
    $l = Leat->start(state => $name, env => {PAGES => ''});
    $l->job(makes => "#!/bin/sh\nprintf abcdef >\"\$LEAT_FILES/photo.jpg\"\necho done\n");
    my $r = $l->http(POST => '/api/tasks', json => {type => 'makes'}, headers => {Prefer => 'wait=20'});
    is $r->status . ' ' . $r->json->{status}, '200 completed', 'a task';
    subtest 'a file there, by the web server' => sub {
        is $l->http(GET => $r->json->{task}{files}[0]{url}, headers => {Range => 'bytes=2-'})->body, 'cdef', 'a part of it';
    };
    is(($l->stream("/api/tasks/$r->{json}{task_id}/events")->rest(20))[-1]{json}{payload}{reason}, 'finished', 'events');
    is $l->http(TRACE => '/api/tasks')->json->{code}, 'method_not_allowed', 'a refusal';
    is $l->leat(qw(token add --owner alice))->{status}, 0, 'the settings are beside it';
};

subtest 'pid files name what runs, and go with it' => sub {
    is scalar($l->pids('web')), 2, 'two leat.fcgi';
    is scalar($l->pids($_)), 1, "one $_" for qw(runner server);
    for my $name (qw(web runner server)) {
        my %old = map { $_ => 1 } $l->pids($name);
        my ($victim) = keys %old;
        kill KILL => $victim;
        my $back = wait_until { my @now = $l->pids($name); @now == keys %old && !grep { $_ == $victim } @now } 10;
        ok $back, "$name: another takes its place";
        ok scalar(wait_until { $l->http(GET => '/api/health')->status == 200 } 10), '... and all is well';
    }
    is_deeply [$l->down], [], 'it stops';
    is_deeply [glob "'" . $l->state . "'/*.pid"], [], 'no pid file is left';
    is -e $l->state . '/leat.sock', undef, 'nor the socket';
};

subtest 'a state folder whose socket would have too long a path is refused at once' => sub {
    my $long  = $l->{dir} . '/' . 'x' x 150;
    ok !eval { Leat->start(state => 'x' x 150); 1 }, 'refused';
    like $@, qr/run: STATE=\S+: too long: the path of the socket in it has \d+ bytes, and 107 are allowed/, '... and says why';
    ok !-e $long, '... before anything is made';
};

subtest 'a web server that it does not know is refused by name' => sub {
    ok !eval { Leat->start(server => 'iis'); 1 }, 'refused';
    like $@, qr/^run: SERVER=iis: one of nginx, apache, apache-fcgid, apache-cgi, lighttpd$/m, '... and says which there are';
};

subtest 'so is a state folder that mod_fcgid cannot start a program in; Apache starts one for CGI there' => sub {
    ok !eval { Leat->start(server => 'apache-fcgid', state => 'a b'); 1 }, 'refused';
    like $@, qr/^run: STATE=.*a b: mod_fcgid starts no program whose path has a blank$/m, '... and says why';
    utf8::encode(my $name = 'ein für allemal');
    my $cgi = Leat->start(server => 'apache-cgi', state => $name);
    is $cgi->http(GET => '/api/health')->status, 200, 'CGI';
    $cgi->stop;
};

subtest 'ADMIN=no, and pages of its own' => sub {
    $l->stop;
    my $pages = tempdir('leat-XXXXXX', DIR => '/tmp', CLEANUP => 1);
    Leat::write_file("$pages/index.html", "<p>mine\n");
    Leat::write_file("$pages/app.js",     "1\n");
    $l = Leat->start(env => {ADMIN => 'no', PAGES => $pages});
    is $l->http(GET => '/')->body, "<p>mine\n", 'a page';
    unlike $l->log, qr/\[(?:warn|error)\]/, '... and the web server finds nothing odd in its settings';
    like $l->http(GET => '/')->header('Content-Type'), qr{^text/html\b}, '... is HTML';
    like $l->http(GET => '/app.js')->header('Content-Type'), qr{^text/javascript\b}, 'a script';
    is $l->http(GET => '/none')->status, 404, 'nothing else';
    is $l->http(GET => '/api/tasks')->status, 200, 'the API beside it';
    is $l->http(GET => '/api/stats')->status, 403, 'no admin';
    $l->down;
    $l->{env} = {};
    $l->up;
    like $l->http(GET => '/')->body, qr{^<!doctype html>.*<title>Leat</title>}s, 'without pages there is the dashboard';
    like $l->http(GET => '/try.txt')->body, qr/^Leat runs here/, '... and what to try';
    is $l->http(GET => '/api/stats')->status, 200, 'an admin';
};

subtest 'what there is to try names jobs that there are' => sub {
    my $jobs = tempdir('leat-XXXXXX', DIR => '/tmp', CLEANUP => 1);
    $l->down;
    my $shipped = $l->{jobs};
    $l->{jobs} = $jobs;
    $l->up;
    like $l->http(GET => '/try.txt')->body, qr/put an executable into \Q$jobs\E/, 'there is none';
    $l->down;
    Leat::write_file("$jobs/mine.conf", "timeout = 5\n");
    $l->job(mine => "#!/bin/sh\nexec cat\n");
    $l->up;
    my $try = $l->http(GET => '/try.txt')->body;
    like $try, qr/"type":"mine"/, 'one of its own';
    unlike $try, qr/wordcount|countdown|sha256/, '... and no other';
    $l->{jobs} = $shipped;
};

subtest 'the web server waits for longer, and takes more, than the settings say' => sub {
    my ($patience, $size) = (qr/^fastcgi_read_timeout (\d+)s;$/m, qr/^client_max_body_size (\d+)m;$/m);
    cmp_ok +(passed_on() =~ $patience)[0], '>=', 75, 'as shipped';
    unlike $l->log, qr/the web server has to wait/, '... of which nothing needs to be said';
    $l->down;
    $l->conf("[stream]\nheartbeat = 100\n[http]\nmax_raw_bytes = 200000000\n");
    $l->up;
    cmp_ok +(passed_on() =~ $patience)[0], '>', 200, 'two heartbeats';
    cmp_ok +(passed_on() =~ $size)[0], '>', 191, 'a larger body';
    my $warns = qr/level=warn\b.*the web server has to wait longer than this for leat\.fcgi.* setting=(\w+) seconds=(\d+)/;
    is join(' ', $l->log =~ $warns), 'heartbeat 100', 'a web server of one\'s own knows nothing of it: the log says so';
    $l->down;
    $l->conf("[http]\nwait_seconds_max = 300\n");
    $l->up;
    cmp_ok +(passed_on() =~ $patience)[0], '>', 300, 'a long wait';
    like $l->log, qr/the web server has to wait.* setting=wait_seconds_max seconds=300/, '... is said too';
};

subtest 'a web server that cannot start is told at once' => sub {
    $l->down;
    $l->conf('');
    local $ENV{PATH} = "$l->{dir}/bin:$ENV{PATH}";
    mkdir "$l->{dir}/bin" or die;
    Leat::write_file("$l->{dir}/bin/nginx", "#!/bin/sh\necho nginx: no such directive >&2\nexit 1\n");
    chmod 0755, "$l->{dir}/bin/nginx";
    my $begin = time;
    ok !eval { $l->up; 1 }, 'no server';
    cmp_ok time - $begin, '<', 25, 'it is not waited for';
    like $@, qr/no such directive/, '... and what it said is seen';
};

subtest 'who dies under a request that may have written, says nothing of it' => sub {
    $l->down;
    $l->job(naps => "#!/bin/sh\nexec sleep 60\n");
    $l->up;
    my $killed_under = sub {
        my ($group, @request) = @_;
        my $killer = fork // die "fork: $!";
        if (!$killer) {
            my $waits = wait_until { @{ $l->http(GET => "/api/tasks?group=$group")->json->{tasks} } } 20;
            kill KILL => $l->pids('web') if $waits;
            POSIX::_exit(0);
        }
        my $r = $l->http(@request);
        waitpid $killer, 0;
        ok scalar(wait_until { $l->http(GET => '/api/health')->status == 200 } 10), 'others took over';
        return $r;
    };
    my $r = $killed_under->('waits', POST => '/api/tasks', json => {type => 'naps', group => 'waits'}, headers => {Prefer => 'wait=20'});
    my $j = $r->json // {};
    is join(' ', $r->status, $j->{code} // '', $j->{retryable} ? 'yes' : 'no', $r->header('Retry-After') // 'none'),
        '500 outcome_unknown no none', 'a POST that waits'
        or diag explain $r;
    is scalar @{ $l->http(GET => '/api/tasks?group=waits')->json->{tasks} }, 1, '... had made its task';
};

subtest 'nor does a web server whose own time is up' => sub {
    my ($changed, $back) = $l->change_site(sub { s/^(\s*fastcgi_read_timeout) \d+s;/$1 1s;/m || s/\btimeout=\d+/timeout=1/ }, 'leat-pass.conf');
    ok $changed && $back, 'one that waits a second';
    my $r = $l->http(POST => '/api/tasks', json => {type => 'naps', group => 'late'}, headers => {Prefer => 'wait=20'});
    my $j = $r->json // {};
    isnt $j->{retryable} // 1, JSON::PP::true, '... does not say that it may be asked again' or diag explain $r;
    like $r->status . ' ' . ($j->{code} // ''), qr/^50[04] outcome_unknown$/, '... but that nobody knows';
    is scalar @{ $l->http(GET => '/api/tasks?group=late')->json->{tasks} }, 1, '... the task is there';
};

$l->stop;
done_testing;
