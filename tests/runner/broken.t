#!/usr/bin/perl
# What is the site's to mend (a job file that is missing, busy or not executable, a bad TYPE.conf) costs no
# task: the type is held back, and tried again. Only what stays so fails.
use strict;
use warnings;
use FindBin qw($Bin);
use lib "$Bin/../lib", $Bin;
use Leatd qw(wait_until);
use Test::More;

my $job = "#!/bin/sh\necho done\n";

# Waits until the runner has said so of the type, and the task waits, without an attempt spent.
sub held {
    my ($l, $type, $why, $id, $name) = @_;
    ok wait_until { $l->log =~ /a type is broken, its tasks wait" type=$type why="[^\n]*$why/ }, "$name: the runner says so" or diag $l->log;
    my $row;
    ok wait_until { $row = $l->row($id); "$row->{status} $row->{attempt}" eq 'pending 0' }, '... and its task waits'
        or diag "$row->{status} $row->{attempt}";
    my $said = told($l, $type);
    like $said, qr/$why/, '... and others can read why';
    unlike $said, qr/\Q$l->{jobs}/, '... but not where';
}

# What the runner has told the database about the type; undef: nothing is wrong.
sub told {
    my ($l, $type) = @_;
    my ($row) = $l->sql("SELECT why FROM broken_types WHERE type = '$type';");
    return $row && $row->{why};
}

sub runs {
    my ($l, $id, $name) = @_;
    my $row = $l->finished($id);
    is "$row->{status} $row->{attempt}", 'completed 1', $name or diag $l->log;
}

subtest 'the type is held until it is mended' => sub {
    my $l = Leatd->new(conf => "workers = 4\n");
    $l->job($_ => $job) for qw(fine bad late);
    chmod 0644, "$l->{jobs}/late" or die;
    Leatd::spew("$l->{jobs}/bad.conf",  "timeout = soon\n");
    Leatd::spew("$l->{jobs}/gone.conf", "timeout = 5\n");
    my $runner = $l->start;
    my %t      = map { $_ => $l->task($_) } qw(bad late gone);
    held($l, 'bad',  'bad.conf:1: timeout', $t{bad},  'a bad conf');
    held($l, 'late', 'late',                $t{late}, 'a file that is not executable');
    held($l, 'gone', "no executable 'gone'", $t{gone}, 'a file that is missing');
    runs($l, $l->task('fine'), 'other types run meanwhile');

    Leatd::spew("$l->{jobs}/bad.conf", "timeout = 5\n");
    chmod 0755, "$l->{jobs}/late" or die;
    $l->job(gone => $job);
    runs($l, $t{$_}, "$_ is mended: it runs") for sort keys %t;
    ok wait_until { $l->log =~ /a type is mended" type=bad/ }, 'the runner says so';
    ok wait_until { !$l->sql('SELECT * FROM broken_types;') }, '... to others too';
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'a job file that is being written' => sub {
    my $l = Leatd->new;
    $l->job(slow => $job);
    open my $writes, '>>', "$l->{jobs}/slow" or die;
    my $runner = $l->start;
    my $id     = $l->task('slow');
    ok wait_until { $l->log =~ /a type is broken, its tasks wait" type=slow/ }, 'the runner says so';
    is $l->status($id), 'pending', '... and its task waits';
    close $writes;
    my $row = $l->finished($id);
    is $row->{status}, 'completed', 'it is written: it runs' or diag $l->log;
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'a user that is not there' => sub {
    my $l = Leatd->new;
    $l->job(nobodys => $job, "user = no-such-user\n");
    my $runner = $l->start;
    my $id     = $l->task('nobodys');
    held($l, 'nobodys', "no user 'no-such-user'", $id, 'a conf that names nobody');
    Leatd::spew("$l->{jobs}/nobodys.conf", '');
    my $row = $l->finished($id);
    is $row->{status}, 'completed', 'it is mended: it runs' or diag $l->log;
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'what is mended is no longer said to be broken, though nothing waits for it' => sub {
    my $l = Leatd->new;
    $l->job(bad => $job, "timeout = soon\n");
    my $runner = $l->start;
    my $id     = $l->task('bad');
    ok wait_until { told($l, 'bad') }, 'it is broken';
    $l->sql("UPDATE tasks SET status = 'cancelled', completed_at = 1, updated_at = 1 WHERE id = '$id';");
    Leatd::spew("$l->{jobs}/bad.conf", "timeout = 5\n");
    ok wait_until { !told($l, 'bad') }, 'it is not';
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'what stays broken fails, with what is wrong' => sub {
    my $l = Leatd->new(conf => "broken_type_seconds = 1\n");
    $l->job(bad => $job);
    Leatd::spew("$l->{jobs}/bad.conf", "timeout = soon\n");
    my $runner = $l->start;
    my ($bad, $gone) = map { $l->task($_) } qw(bad gone);
    held($l, 'bad', 'bad.conf:1', $bad, 'a bad conf');
    my $row = $l->finished($bad);
    is "$row->{status} $row->{error_code}", 'failed exec_failed', 'its time is up';
    like $row->{error_message}, qr/bad\.conf:1: timeout: 'soon'/, '... and it is said why';
    $row = $l->finished($gone);
    is "$row->{status} $row->{error_code}", 'failed type_removed', 'a type that is gone';
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'an interpreter that is missing fails at once, and is named' => sub {
    my $l = Leatd->new;
    $l->job(astray => "#!/nowhere/interpreter -x\n");
    $l->job(dos    => "#!/bin/sh\r\necho done\r\n");
    my $runner = $l->start;
    my ($astray, $dos) = map { $l->finished($l->task($_, max_attempts => 3)) } qw(astray dos);
    is "$_->{status} $_->{error_code} $_->{attempt}", 'failed exec_failed 1', 'it fails' for $astray, $dos;
    like $astray->{error_message}, qr{interpreter '/nowhere/interpreter' .*not there}, '... and names the interpreter';
    like $dos->{error_message},    qr{interpreter '/bin/sh' .*carriage return},       '... and the carriage return';
    is $l->stop($runner), 0, 'the runner stops';
};

subtest 'a task may only lower the timeout of its type' => sub {
    my $l = Leatd->new;
    $l->job(sleeps => "#!/bin/sh\nexec sleep 60\n", "timeout = 0.3\nkill_grace = 0\n");
    my $runner = $l->start;
    my $row    = $l->finished($l->task('sleeps', timeout => 3_600_000));
    is $row->{status}, 'timeout', 'the type decides';
    like $row->{error_message}, qr/0\.3 s/, '... which the message says';
    is $l->stop($runner), 0, 'the runner stops';
};
done_testing;
