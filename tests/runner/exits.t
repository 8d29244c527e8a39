#!/usr/bin/perl
# How a job ends, and what that makes of its task.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;
use Time::HiRes qw(time);

my $l = Leatd->new(conf => "broken_type_seconds = 0\n");
my $quick = "backoff = 0\n";
$l->job(exits => "#!/bin/sh\nread status\necho result\nexit \$status\n", $quick);
$l->job(says  => "#!/bin/sh\necho first >&2\necho '<3>no such table' >&2\nexit 3\n");
$l->job(blank => "#!/bin/sh\necho no room >&2\nprintf '  \\t \\n \\n' >&2\nexit 3\n");
$l->job(dies  => "#!/bin/sh\nkill -KILL \$\$\n", $quick);
$l->job(third => "#!/bin/sh\n[ \$LEAT_ATTEMPT = 3 ] || exit 75\necho \$LEAT_ATTEMPT of \$LEAT_MAX_ATTEMPTS\n", $quick);
$l->job(bare  => "no interpreter line\n", $quick);
$l->job(astray => "#!/nowhere/interpreter\n", $quick);
$l->job(unset => "#!/bin/sh\n", "timeout = 3\nconcurency = 2\n");
$l->job(later => "#!/bin/sh\n", "colour = blue\n");
$l->job(small => "#!/bin/sh\n", "max_input_bytes = 3\n");
$l->job(cramped => "#!/bin/sh\nexec head -c 3000000 /dev/zero >file\n", "file_mb = 1\n");

my %t = map { $_ => $l->task('exits', input => "$_\n", max_attempts => 2) } 0, 1, 64, 65, 66, 75, 255;
$t{says}    = $l->task('says');
$t{blank}   = $l->task('blank');
$t{dies}    = $l->task('dies', max_attempts => 2);
$t{third}   = $l->task('third', max_attempts => 3);
$t{bare}    = $l->task('bare');
$t{astray}  = $l->task('astray', max_attempts => 2);
$t{unset}   = $l->task('unset', max_attempts => 5);
$t{later}   = $l->task('later');
$t{missing} = $l->task('missing', max_attempts => 5);
$t{small}   = $l->task('small', input => 'four');
$t{cramped} = $l->task('cramped');
is $l->once, 0, 'leatd ends with status 0 whatever its jobs did';
my %row = map { $_ => $l->row($t{$_}) } keys %t;

sub ends {
    my ($which, $path, $code, $retryable, $message, $says) = @_;
    my $row = $row{$which};
    is $l->path($t{$which}), $path, "$says: $path";
    is_deeply [@$row{qw(error_code error_retryable)}], [$code, $retryable], '... ' . ($code // 'no error');
    like $row->{error_message} // '', $message, '... with a message that helps' if $code;
}
my $once  = 'pending running failed';
my $twice = 'pending running pending running failed';
ends(0, 'pending running completed', undef, undef, undef, 'status 0');
ends(1,   $twice, 'exit_status', 1, qr/^the job failed and said nothing$/, 'status 1');
ends(255, $twice, 'exit_status', 1, qr/^the job failed and said nothing$/, 'status 255');
ends(75,  $twice, 'exit_status', 1, qr/^the job failed and said nothing$/, 'status 75');
ends($_,  $once,  'exit_status', 0, qr/^the job failed and said nothing$/, "status $_") for 64, 65, 66;
ends('says', $once, 'exit_status', 1, qr/^no such table$/, 'a last word on stderr');
ends('blank', $once, 'exit_status', 1, qr/^no room$/, 'blanks after it');
ends('dies', $twice, 'killed_by_signal', 1, qr/^the job was ended by a signal: Killed$/, 'a signal');
ends('bare', $once, 'exec_failed', 1, qr/^cannot execute: Exec format error/, 'no program');
ends('astray', $once, 'exec_failed', 1, qr{^cannot execute: the interpreter '/nowhere/interpreter' of .* is not there}, 'no interpreter');
ends('unset', $once, 'exec_failed', 1, qr/unset\.conf:2: unknown key 'concurency'/, 'a bad conf');
ends('later', $once, 'exec_failed', 1, qr/later\.conf:1: unknown key 'colour'/, 'a key of a later version');
ends('missing', $once, 'type_removed', 0, qr/no executable 'missing'/, 'no such type');
ends('small', $once, 'exec_failed', 1, qr/max_input_bytes/, 'too large an input');
ends('cramped', $once, 'killed_by_signal', 1, qr/File size limit exceeded/, 'a limit');
is $l->result($t{1}), undef, 'a failed task has no result';
is $l->result($t{third}), "3 of 3\n", 'attempts are counted, and the last may complete';
is $row{third}{error_code}, undef, '... and leaves no error';
my ($again) = map { $_->{payload} } grep { $_->{payload}{to} eq 'pending' } $l->events($t{third}, 'task.status_changed');
is_deeply [$again->{error}{code}, $again->{attempt}, defined $again->{run_at}], ['exit_status', 1, 1],
    'the event of a retry has the error, the attempt and when it runs again';

# back-off: the first wait is the conf's, give or take a quarter
$l->job(slow => "#!/bin/sh\nexit 75\n", "backoff = 1\n");
my $slow = $l->task('slow', max_attempts => 2);
my $runner = $l->start;
ok $l->reaches($slow, 'failed'), 'it is tried again while the runner runs';
my @at = map { $_->{ts} } grep { $_->{payload}{to} eq 'running' } $l->events($slow, 'task.status_changed');
cmp_ok $at[1] - $at[0], '>=', 750,  '... not before its back-off';
cmp_ok $at[1] - $at[0], '<=', 2500, '... and soon after it';

# delayed and prioritised tasks
my $delayed = $l->task('exits', input => "0\n", run_at => int(1000 * time) + 700);
ok $l->reaches($delayed, 'completed'), 'a task with run_at runs';
my ($start) = map { $_->{ts} } grep { $_->{payload}{to} eq 'running' } $l->events($delayed, 'task.status_changed');
cmp_ok $start, '>=', $l->row($delayed)->{created_at} + 650, '... not before it';
is $l->stop($runner), 0, 'SIGTERM ends an idle runner with status 0';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
