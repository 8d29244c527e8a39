# Settings that cannot be: every program says where they stand, in the same words, and starts nothing.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Temp qw(tempdir);
use Leat;
use POSIX ();
use Test::More;

my $build = abs_path(dirname(__FILE__) . '/../..') . '/' . ($ENV{BUILD} || 'build');
$build = $ENV{BUILD} if ($ENV{BUILD} // '') =~ m{^/};

my $dir  = tempdir('leat-XXXXXX', DIR => '/tmp', CLEANUP => 1);
my $file = "$dir/leat.conf";
mkdir "$dir/jobs" or die;
my $works = "[database]\npath = $dir/leat.db\n[runner]\njobs = $dir/jobs\n";

# The exit status of a program with these settings, and what it said.
sub starts {
    my ($command, $text, %env) = @_;
    my ($program, @args) = split ' ', $command;
    Leat::write_file($file, $text);
    my $pid = open my $out, '-|';
    die "fork: $!" unless defined $pid;
    if (!$pid) {
        delete @ENV{ grep { /^LEAT_/ } keys %ENV };
        %ENV = (%ENV, %env);
        open STDIN,  '<', '/dev/null' or die;
        open STDERR, '>&', \*STDOUT   or die;
        exec 'timeout', 10, "$build/$program", '--config', $file, @args or POSIX::_exit(127);
    }
    my $said = do { local $/; readline($out) // '' };
    close $out;
    return ($? >> 8, $said);
}

sub refuses {
    my ($command, $text, $says, %env) = @_;
    my ($status, $said) = starts($command, $text, %env);
    (my $name = $command) =~ s/ .*//;
    is $status, 78, "$command: EX_CONFIG";
    is $said, "$name: $says\n", '... says where and why';
}

my @all = ('leatd --check', 'leatd --once', 'leat.fcgi', 'leat token list');
my @web = qw(leat.fcgi);

# key, value, what is wrong with it
my @bad = (
    ['database', 'busy_ms',             'x',           q('x' is not a whole number from 0 to 600000)],
    ['http',     'allowed_origins',     'foo',         q('foo' is not scheme://host[:port] or *)],
    ['http',     'max_body_bytes',      '0',           q('0' is not a whole number from 1 to 67108864)],
    ['http',     'wait_seconds_max',    '-1',          q('-1' is not a number of seconds from 0 to 3600)],
    ['http',     'idempotency_hours',   '0',           q('0' is not a number of hours from 0.001 to 8760)],
    ['http',     'prefix',              'api',         q('api' does not begin with / or ends with one)],
    ['auth',     'anonymous',           "a\x7f",       'not 1 to 200 bytes of UTF-8 text'],
    ['auth',     'anonymous_scope',     'read,foo',    q('foo' is not create, read, publish or admin)],
    ['auth',     'remote_user',         'maybe',       q('maybe' is not yes or no)],
    ['auth',     'ticket_seconds_max',  '0',           q('0' is not a number of seconds from 0.001 to 86400)],
    ['limits',   'streams_per_owner',   '1.5',         q('1.5' is not a whole number from 0 to 1000000000)],
    ['stream',   'heartbeat',           '0',           q('0' is not a number of seconds from 0.1 to 3600)],
    ['dialect',  'repo_status',         'idle',        q('idle' is not NAME=WORD, NAME=WORD and so on)],
    ['runner',   'retain_hours',        '-1',          q('-1' is not a number of hours from 0 to 8.766e+06)],
    ['runner',   'autostart',           '2',           q('2' is not yes or no)],
    ['log',      'level',               'loud',        q('loud' is not debug, info, warn or error)],
    ['log',      'target',              'bogus',       q('bogus' is not stderr, syslog or file PATH)],
    ['log',      'target',              'file',        q('file' is not stderr, syslog or file PATH)],
);

subtest 'a bad value' => sub {
    for (@bad) {
        my ($section, $key, $value, $why) = @$_;
        refuses($_, "$works\n[$section]\n$key = $value\n", "$file:7: [$section] $key: $why") for @all;
    }
};

subtest 'a bad variable' => sub {
    for (grep { $_->[1] =~ /^(?:level|target|allowed_origins|anonymous_scope|idempotency_hours)$/ } @bad) {
        my ($section, $key, $value, $why) = @$_;
        my $name = uc "LEAT_${section}_$key";
        refuses($_, $works, "$name: $why", $name => $value) for @all;
    }
};

subtest 'an unknown key' => sub {
    refuses($_, "$works\[log]\nlevle = info\n", "$file:6: unknown key 'levle' in [log]") for @all;
};

subtest 'a key file is for who reads it' => sub {
    my $text = "$works\[auth]\n\njwt_key_file = $dir/none.pem\n";
    my $why  = (starts('leat.fcgi', $text))[1] =~ /libjwt/ ? 'this program was built without libjwt'
        : "cannot read $dir/none.pem: No such file or directory";
    refuses($_, $text, "$file:7: [auth] jwt_key_file: $why") for @web;
    refuses($_, $works, "LEAT_AUTH_JWT_KEY_FILE: $why", LEAT_AUTH_JWT_KEY_FILE => "$dir/none.pem") for @web;
    is +(starts($_, $text))[0], 0, "$_ does not need it" for 'leatd --check', 'leat token list';
};

subtest 'a log that cannot be written' => sub {
    my $why = "cannot open $dir/none/log: No such file or directory";
    my $text = "$works\[log]\ntarget = file $dir/none/log\n";
    refuses($_, $text, "$file:6: [log] target: $why") for @web;
    my ($status, $said) = starts('leatd --once', $text);
    isnt $status, 0, 'leatd: an error';
    is $said, "leatd: $file:6: [log] target: $why\n", '... in the same words';
};

subtest 'jobs that are nowhere' => sub {
    my ($status, $said) = starts('leatd --once', "[database]\npath = $dir/leat.db\n[runner]\njobs = $dir/none\n");
    is $status, 78, 'leatd: EX_CONFIG';
    is $said, "leatd: $file:4: [runner] jobs: $dir/none: No such file or directory\n", '... says where';
};

subtest 'a database that cannot be' => sub {
    my $text = "[database]\npath = $dir/none/leat.db\n[runner]\njobs = $dir/jobs\n";
    for ('leatd --once', 'leat.fcgi', 'leat token list') {
        my ($status, $said) = starts($_, $text);
        isnt $status, 0, "$_: an error";
        like $said, qr{\Q$file:2: [database] path: cannot open $dir/none/leat.db\E.*: No such file or directory}, '... says where';
    }
};

subtest 'times take fractions' => sub {
    my $text = "$works\[http]\nidempotency_hours = 0.001\nwait_seconds_max = 0.5\n[auth]\nticket_seconds_max = 0.5\n[stream]\n"
        . "stream_seconds = 0.5\nheartbeat = 0.5\n[runner]\nlease_seconds = 1.5\ndrain_seconds = 0.5\nretain_hours = 0.001\nidle_exit = 0.5\n";
    my ($status, $said) = starts('leatd --check', $text);
    is $status, 0, 'all of them' or diag $said;
};

done_testing;
