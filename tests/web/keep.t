# nginx keeps its connections to Leat from one request to the next. Whatever the request before was, and
# whatever became of its body: the next one is answered.
use strict;
use warnings;
use Leat;
use POSIX ();
use Test::More;
use Wire;

my $l = Leat->start(processes => 1, conf => "[http]\nmax_body_bytes = 4000\nmax_raw_bytes = 300000\n[stream]\nstream_seconds = 0.2\n");
$l->job(gets => "#!/bin/sh\nexec cat\n", "get = yes\n");

# The sockets that the process has, by what the kernel calls them.
sub sockets {
    my ($pid) = $l->pids('web');
    return map { my $to = readlink // ''; $to =~ /^socket:/ ? ($to => 1) : () } glob "/proc/$pid/fd/*";
}

sub lost { return grep { /prematurely|Connection reset|Broken pipe/ } split /\n/, Leat::slurp($l->state . '/nginx.log') }

subtest 'a connection serves many requests' => sub {
    my %before = sockets();
    my %ever;
    for (1 .. 30) {
        is $l->http(GET => '/api/health')->status, 200, 'a request' if $_ == 1;
        $l->http(GET => '/api/health');
        %ever = (%ever, sockets());
    }
    delete @ever{ keys %before };
    cmp_ok scalar(keys %ever), '<', 10, 'by far not one for each';
};

my $id = $l->http(POST => '/api/tasks', json => {type => 'gets', delay => 3600})->json->{task_id};
my @json = ('Content-Type' => 'application/json');
my $big  = 'x' x 200_000;

# What is asked in turns, and how it is answered.
my @mix = (
    ['a document',                     200, GET    => "/api/tasks/$id"],
    ['a create',                       202, POST   => '/api/tasks', headers => [@json], body => '{"type":"gets","delay":3600}'],
    ['a raw body',                     202, POST   => '/api/tasks?type=gets&delay=3600', body => $big],
    ['a POST without a body',          202, POST   => '/api/groups/empty/cancel'],
    ['... again',                      202, POST   => '/api/groups/empty/retry'],
    ['one with a body that nobody wants', 202, POST => '/api/groups/empty/cancel', headers => [@json], body => '{"why":"so"}'],
    ['... a large one',                202, POST   => '/api/groups/empty/retry', body => $big],
    ['... of a path that is none',     404, POST   => '/api/nothing', body => $big],
    ['a GET with a body',              200, GET    => '/api/tasks?page_size=1', headers => [@json], body => '{"a":1}'],
    ['a body that is too large',       413, POST   => '/api/tasks', headers => [@json], body => $big],
    ['bad JSON',                       400, POST   => '/api/tasks', headers => [@json], body => '{'],
    ['a method that is none',          405, PUT    => "/api/tasks/$id", body => 'x'],
    ['HEAD',                           200, HEAD   => "/api/tasks/$id"],
    ['what is not finished',           409, DELETE => "/api/tasks/$id"],
    ['a stream that ends',             200, GET    => "/api/tasks/$id/events", headers => [Accept => 'text/event-stream']],
    ['a page of events',               200, GET    => '/api/events?last_event_id=earliest&limit=5', headers => [Accept => 'application/json']],
    ['a wait that ends',               200, GET    => "/api/tasks/$id", headers => [Prefer => 'wait=0.05']],
    ['no credential that is one',      401, POST   => '/api/tasks', headers => [@json, Authorization => 'Bearer x'], body => '{"type":"gets"}'],
);

subtest 'one request after the other, of every kind' => sub {
    my $w = Wire->http($l->port);
    for my $round (1 .. 3) {
        for (@mix) {
            my ($what, $status, $method, $path, @more) = @$_;
            my $r = $w->ask($method => $path, @more);
            is $r->status, $status, $what or diag $r->error, $r->body;
            is $l->http(GET => '/api/health')->status, 200, '... and the next one' if $round == 1;
        }
    }
    is_deeply [lost()], [], 'nginx lost none';
};

subtest 'many at once, in any order' => sub {
    my @asking = map {
        my $seed = $_;
        my $pid  = open(my $out, '-|') // die "fork: $!";
        if (!$pid) {
            srand $seed;
            my $w = Wire->http($l->port);
            my $to = time + 8;
            my %odd;
            while (time < $to) {
                my ($what, $status, $method, $path, @more) = @{ $mix[rand @mix] };
                my $r = $w->ask($method => $path, @more);
                $odd{"$what: " . $r->status}++ unless $r->status == $status;
            }
            syswrite STDOUT, join ', ', map { "$_ ($odd{$_} times)" } sort keys %odd;
            POSIX::_exit(0);
        }
        $out
    } 1 .. 12;
    for my $out (@asking) {
        local $/;
        is readline($out) // '', '', 'all were answered as they should be';
        close $out;
    }
    is_deeply [lost()], [], 'nginx lost none';
};

$l->stop;
done_testing;
