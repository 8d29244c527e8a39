# What a web server other than nginx forces on a client, and so on a test: the one table of it. Leat.pm reads it; what a
# row names is skipped, with its reason, when the environment's SERVER is one of its servers.
package Doors;

use strict;
use warnings;

my %because = (
    left   => 'it notices a client that left only when it writes: a heartbeat or two later',
    head   => 'a head without content comes with its first byte',
    words  => 'it refuses by itself what nginx passes on, or in words of its own',
    early  => 'it takes the body, or some of it, before it asks Leat',
    user   => 'it names only users whose password it has checked',
    nginx  => "it is about nginx's own configuration and files",
    names  => 'mod_xsendfile finds no file whose name has to be encoded: Leat sends that itself, whole',
    starts => 'the web server starts leat.fcgi: there is no pid file, no shared process and no figure of it',
    place  => 'a stream takes a process there: so many are not to be had',
    length => 'CGI takes a Location with a 200 for a redirect',
);

my $apache = 'apache apache-fcgid apache-cgi';
my $own    = 'apache-fcgid apache-cgi';
my $all    = "$apache lighttpd";
my @rows   = (
    # servers, file, subtest (undef: all of it), reason
    [$all,       'access',   'REMOTE_USER of the web server', 'user'],
    [$all,       'edge',     'a stream is found however its path is written', 'left'],
    [$all,       'edge',     'so is what else waits', 'head'],
    [$all,       'edge',     'what is no request', 'words'],
    [$all,       'edge',     'what is too long', 'words'],
    [$all,       'edge',     'files, which the web server sends', 'words'],
    [$all,       'edge',     'a site that has locations of its own', 'nginx'],
    [$all,       'errors',   'a path is taken for what it is', 'words'],
    [$all,       'errors',   'a header is taken for what it is', 'words'],
    [$all,       'large',    'what can be refused on the parameters is, before any of the body comes', 'early'],
    [$all,       'large',    'a client that leaves in the middle leaves nothing', 'early'],
    [$all,       'once',     'streams', 'left'],
    [$all,       'once',     'what waits is a stream of its owner, in whichever process', 'left'],
    [$all,       'ops',      'streams are counted while they are open, and how they end', 'left'],
    [$all,       'ops',      'a request is found in the log by its id, from its answer to the end of its task', 'left'],
    [$all,       'ops',      'figures are for administrators, and the log keeps no secret', 'left'],
    [$all,       'ops',      'stats are the same for people', 'left'],
    [$apache,    'site',     'a state folder with blanks and umlauts', 'names'],
    [$apache,    'openapi',  'ranges of a file', 'names'],
    ['lighttpd', 'openapi',  'ranges of a file', 'words'],
    [$all,       'openapi',  'a user of the web server whose name is too long', 'user'],
    [$apache,    'stream',   'a silent log ends whole, not before its time by quick heartbeats, and goes on where it was', 'head'],
    [$apache,    'stream',   'leat.fcgi that is stopped says where to go on, and its successor goes on', 'head'],
    ['lighttpd', 'errors',   'a method that a path does not know is 405, with those that it knows', 'words'],
    ['lighttpd', 'keep',     undef, 'words'],
    ['lighttpd', 'refusals', 'methods that a path does not know: 405 with those that it does', 'words'],
    ['lighttpd', 'refusals', 'a program dies with a request: what became of it is not known', 'words'],
    [$all,       'refusals', 'nobody is there: 503, and an EventSource comes back', 'words'],
    [$all,       'site',     'the web server waits for longer, and takes more, than the settings say', 'nginx'],
    [$all,       'site',     'a web server that cannot start is told at once', 'nginx'],
    [$all,       'slow',     undef, 'nginx'],
    [$all,       'state',    'nothing is open to others', 'nginx'],
    [$all,       'state',    'nor when it has stopped, or goes on', 'nginx'],
    [$all,       'fuzz',     undef, 'nginx'],
    ['lighttpd', 'cors',     'a listed page reads answers of every kind', 'words'],
    ['lighttpd', 'openapi',  'groups', 'words'],
    [$own,       'create',   'Prefer: wait answers with the finished task', 'length'],
    [$own,       'openapi',  undef, 'length'],
);
push @rows, [$own, $_, undef, 'starts'] for qw(keep killed neighbours ops refusals resume run site state once prefix edge);
push @rows, [$own, $_, undef, 'place']  for qw(large unread wal watchers);

# Where Leat gave no answer, the web server gives one of these statuses.
my %no_answer = (lighttpd => [500, 502, 503, 504]);

sub no_answer {
    my ($server) = @_;
    return @{ $no_answer{$server} || [502, 503, 504] };
}

# Why a test (all of it, or a subtest) is not for this server; undef: it is.
sub skips {
    my ($server, $file, $subtest) = @_;
    for my $row (@rows) {
        my ($servers, $its_file, $its_subtest, $reason) = @$row;
        next unless grep { $_ eq $server } split ' ', $servers;
        next if $its_file ne $file || defined $its_subtest != defined $subtest || (defined $subtest && $its_subtest ne $subtest);
        return "$server: $because{$reason}";
    }
    return;
}

1;
