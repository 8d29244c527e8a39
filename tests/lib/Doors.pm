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
    nginx  => "it is about nginx's own configuration",
    names  => 'mod_xsendfile finds no file whose name has to be encoded: Leat sends that itself, whole',
    slash  => 'AllowEncodedSlashes is no matter for .htaccess: Apache knows no path with an encoded slash',
    folder => 'the API is a folder there, whose files Leat sends itself, and it cannot be the root',
    starts => 'the web server starts leat.fcgi: there is no pid file, no shared process and no figure of it',
    place  => 'a stream takes a process there: so many are not to be had',
    spawn  => 'a stream may wait a second for a process to be started, and is to last one',
    clock  => 'it looks at its own read-timeout only now and then',
    length => 'CGI takes a Location with a 200 for a redirect',
);

my $apache = 'apache apache-fcgid apache-cgi';
my $own    = 'apache-fcgid apache-cgi';
my $cgi    = 'apache-cgi';
my $all    = "$apache lighttpd";
my @rows   = (
    # servers, file, subtest (undef: all of it), reason
    [$all,        'access',     'REMOTE_USER of the web server', 'user'],
    [$own,        'create',     'Prefer: wait answers with the finished task', 'length'],
    [$all,        'edge',       'a stream is found however its path is written', 'left'],
    [$all,        'edge',       'so is what else waits', 'head'],
    [$all,        'edge',       'what is no request', 'words'],
    [$all,        'edge',       'what is too long', 'words'],
    [$all,        'edge',       'files, which the web server sends', 'words'],
    [$all,        'edge',       'a site that has locations of its own', 'nginx'],
    ['lighttpd',  'errors',     'a method that a path does not know is 405, with those that it knows', 'words'],
    [$all,        'errors',     'a path is taken for what it is', 'words'],
    [$apache,     'errors',     'a header is taken for what it is', 'words'],
    [$own,        'errors',     'every program runs', 'starts'],
    [$all,        'fuzz',       undef, 'nginx'],
    [$cgi,        'groups',     'a ticket for a name with a slash, at the address that it names', 'slash'],
    [$cgi,        'groups',     'an admin names the group of another owner in the path', 'slash'],
    [$cgi,        'groups',     'GET /api/groups: pages, latest change first', 'slash'],
    [$cgi,        'groups',     'publishing into a group', 'slash'],
    [$all,        'hold',       undef, 'nginx'],
    [$cgi,        'keep',       'a connection serves many requests', 'starts'],
    ['lighttpd',  'keep',       'one request after the other, of every kind', 'words'],
    ['lighttpd',  'keep',       'many at once, in any order', 'words'],
    [$own,        'large',      'eight uploads of sixty megabytes arrive byte for byte, in little memory, and nobody waits for them', 'place'],
    [$all,        'large',      'what can be refused on the parameters is, before any of the body comes', 'early'],
    ['apache-fcgid lighttpd', 'large', 'a client that leaves in the middle leaves nothing', 'early'],
    [$own,        'large',      'a process that is killed among the portions leaves nothing that is seen, or that stays', 'early'],
    [$cgi,        'killed',     undef, 'starts'],
    [$own,        'neighbours', undef, 'place'],
    [$apache,     'once',       'streams', 'left'],
    [$all,        'once',       'what waits is a stream of its owner, in whichever process', 'left'],
    [$apache,     'openapi',    'an empty file', 'words'],
    [$apache,     'openapi',    'ranges of a file', 'names'],
    ['lighttpd',  'openapi',    'ranges of a file', 'words'],
    [$all,        'openapi',    'a user of the web server whose name is too long', 'user'],
    ['lighttpd',  'openapi',    'groups', 'words'],
    ['apache-fcgid', 'openapi', 'a server that is full of streams', 'place'],
    [$cgi,        'openapi',    undef, 'length'],
    [$own,        'ops',        undef, 'starts'],
    [$cgi,        'prefix',     undef, 'folder'],
    ['lighttpd',  'refusals',   'methods that a path does not know: 405 with those that it does', 'words'],
    [$all,        'refusals',   'nobody is there: 503, and an EventSource comes back', 'words'],
    ['lighttpd',  'refusals',   'a program dies with a request: what became of it is not known', 'words'],
    [$own,        'refusals',   'a program dies with a request: what became of it is not known', 'starts'],
    [$own,        'resume',     undef, 'place'],
    [$cgi,        'routes',     'repositories, by HTTP', 'slash'],
    [$cgi,        'routes',     'a name with a slash, by HTTP', 'slash'],
    [$cgi,        'routes',     'no variable adds a row, and a root may be one', 'folder'],
    [$own,        'run',        undef, 'starts'],
    [$apache,     'site',       'a file there, by the web server', 'names'],
    [$own,        'site',       undef, 'starts'],
    [$all,        'site',       'the web server waits for longer, and takes more, than the settings say', 'nginx'],
    [$all,        'site',       'a web server that cannot start is told at once', 'nginx'],
    ['lighttpd',  'site',       'nor does a web server whose own time is up', 'clock'],
    [$all,        'slow',       'clients that go without a word are noticed at once', 'left'],
    [$all,        'slow',       'without descriptors for more it serves those it has, does not spin, and recovers', 'left'],
    [$own,        'slow',       undef, 'place'],
    [$apache,     'stream',     'the head of a log comes before there is a line', 'head'],
    ['apache-fcgid', 'stream',  'a stream from now on fits its snapshot exactly, whenever it is opened', 'left'],
    [$own,        'stream',     'leat.fcgi that is stopped says where to go on, and its successor goes on', 'starts'],
    ['apache-fcgid', 'stream',  'an admin sees what all owners do', 'spawn'],
    [$own,        'stream',     'a stream too many is told to come back, in a form that EventSource takes', 'place'],
    [$own,        'unread',     undef, 'place'],
    [$own,        'wal',        undef, 'place'],
    [$own,        'watchers',   undef, 'place'],
);

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
