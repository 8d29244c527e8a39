# The state folder of `make run`: other users of the machine see nothing in it, and yet a job that runs as
# one of them has its working folder there.
use strict;
use warnings;
use File::Find qw(find);
use Leat;
use Test::More;

my $root = $> == 0;
my $l = Leat->start(conf => "[auth]\njwt_secret = nobody shall read this, however hard\n[log]\nlevel = debug\n");
my ($site) = $l->site =~ m{([^/]+)$};    # the folder of the web server's configuration
my $gate = "$l->{dir}/gate";
my $waits = "umask 0\n: >left\nwhile [ ! -e $gate ]; do sleep 0.05; done\n";
$l->job(makes => "#!/bin/sh\numask 0\necho said >&2\necho made >\"\$LEAT_FILES/made\"\n");
$l->job(waits => "#!/bin/sh\n$waits");
if ($root) {
    $l->job(who => "#!/bin/sh\nid -un\npwd\necho made >\"\$LEAT_FILES/made\"\ncp \"\$LEAT_FILES/made\" here\n", "user = nobody\n");
    $l->job(waits_too => "#!/bin/sh\n$waits", "user = nobody\n");
    # the test's own folder is not the one that is looked at
    chmod 0711, $l->{dir} or die "$l->{dir}: $!";
}

sub create {
    my ($type, @headers) = @_;
    return $l->http(POST => '/api/tasks', json => {type => $type}, headers => {@headers})->json;
}

# Everything there is, by what others may do with it. What a job does in its own folder, which is closed,
# is its own affair; so is what lies in a folder of the web server's that others cannot enter.
sub open_to_others {
    my %open;
    my $closed = sub { return $File::Find::dir =~ m{/work/[^/]+$} || !((stat $File::Find::dir)[2] & 1) && $File::Find::dir eq $l->site };
    find({no_chdir => 1, preprocess => sub { $closed->() ? () : @_ }, wanted => sub {
        my @stat = lstat or return;    # gone by now
        my $name = substr $_, length $l->state;
        $open{ $name || '/' } = $stat[2] & 7 if $stat[2] & 7;
    }}, $l->state);
    return \%open;
}

subtest 'a job of another user' => sub {
    plan skip_all => 'only root can start one' unless $root;
    my $task = create(who => Prefer => 'wait=20')->{task};
    is $task->{status}, 'completed', 'completes' or diag explain $task;
    like $task->{result}, qr/\Anobody\n\Q@{[ $l->state ]}\E\/work\//, 'as that user, in its folder';
    is $l->http(GET => $task->{files}[0]{url})->body, "made\n", 'its file is kept';
};

subtest 'nothing is open to others' => sub {
    is create(makes => Prefer => 'wait=20')->{status}, 'completed', 'a task has been';
    my @open = map { create($_)->{task_id} } 'waits', $root ? 'waits_too' : ();
    is $l->reaches($_, 'running')->{status}, 'running', 'one runs' for @open;
    ok wait_until { (() = glob $l->state . '/work/*/left') == @open }, '... in its folder';
    my $watched = $l->stream('/api/events');
    # what the web server puts aside
    is $l->http(POST => '/api/tasks?type=makes', body => 'x' x 3_000_000)->status, 202, 'a large body';
    is $l->leat(qw(token add --owner alice --scope read))->{status}, 0, 'a token';

    is_deeply open_to_others(), $root ? {'/' => 1, '/work' => 1} : {}, 'while it runs, but for the way through';
    my @there = (qw(leat.conf leat.db leat.db-wal leat.db-shm files work), "$site.log");
    push @there, 'nginx/body' if $site eq 'nginx';
    push @there, 'leat.sock' unless $Leat::server =~ /-/;    # where leat.fcgi is not started by the web server
    my %there = map { $_ => -e $l->state . "/$_" } @there;
    is_deeply [grep { !$there{$_} } sort keys %there], [], 'all that there should be was there';
    if ($root) {
        my $as = join ' ', 'cd / && setpriv --reuid=65534 --regid=65534 --clear-groups sh -c', "'cat \"\$0\"'";
        for my $file (qw(leat.conf leat.db leat.db-wal), "$site.log", "$site/leat.conf") {
            my $path = $l->state . "/$file";
            is qx($as $path 2>/dev/null), '', "nobody reads $file";
        }
    }
    Leat::write_file($gate, '');
    $l->reaches($_) for @open;
};

subtest 'nor when it has stopped, or goes on' => sub {
    is_deeply [$l->down], [], 'it stops';
    is_deeply open_to_others(), $root ? {'/' => 1, '/work' => 1} : {}, 'nothing is open';
    chmod 0700, $l->state;
    $l->up;
    is sprintf('%o', (stat $l->state)[2] & 07777), 700, 'a folder that was there keeps its mode';
};

$l->stop;
done_testing;
