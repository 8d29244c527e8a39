#!/usr/bin/perl
# Jobs as filters: what goes in on standard input and comes out as the result.
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use FindBin;
use lib $FindBin::Bin;
use Leatd;
use Test::More;

my $l = Leatd->new(conf => "[http]\ninline_result_bytes = 1000\nmax_result_bytes = 6000000\n");
$l->job(words  => "#!/bin/sh\nexec wc -w\n");
$l->job(echo   => "#!/bin/sh\nexec cat\n");
$l->job(bytes  => "#!/bin/sh\nexec cat\n", "result_type = image/png\n");
$l->job(text   => "#!/bin/sh\nexec cat\n", "result_type = text/plain\n");
$l->job(silent => "#!/bin/sh\ncat >/dev/null\n");
$l->job(digest => "#!/bin/sh\nexec sha256sum\n");
$l->job(stdin  => "#!/bin/sh\nreadlink /proc/self/fd/0\n");
$l->job(deaf   => "#!/bin/sh\nexec echo done\n");
$l->job(flood  => "#!/bin/sh\nexec head -c 7000000 /dev/zero\n");
$l->job(brim   => "#!/bin/sh\nexec head -c 6000000 /dev/zero\n");

my $all_bytes = join '', map { chr } 0 .. 255;
my $large = join '', map { pack 'N', $_ * 2654435761 % 4294967296 } 1 .. 1310720;    # 5 MB
my %t = (
    words    => $l->task('words', input => "one two\nthree"),
    json     => $l->task('echo',  input => qq({ "b": [1, 2.50],\n "a": "\\u00e9" }\n)),
    newline  => $l->task('echo',  input => "hello\n\n"),
    utf8     => $l->task('echo',  input => "h\xc3\xa9llo"),
    bytes    => $l->task('echo',  input => $all_bytes x 100),
    long     => $l->task('echo',  input => 'x' x 1001),
    longjson => $l->task('echo',  input => '[' . '1,' x 1000 . '1]'),
    typed    => $l->task('bytes', input => $all_bytes),
    plain    => $l->task('text',  input => '12'),
    none     => $l->task('stdin'),
    empty    => $l->task('echo', input => ''),
    silent   => $l->task('silent', input => 'x' x 70000),
    large    => $l->task('digest', input => $large),
    copied   => $l->task('echo',   input => $large),
    deaf     => $l->task('deaf',   input => $large),
    edge     => $l->task('digest', input => 'y' x 65536),
    flood    => $l->task('flood'),
    brim     => $l->task('brim'),
);
is $l->once, 0, 'leatd --once runs all that is due and ends';
my %row = map { $_ => $l->row($t{$_}) } keys %t;
is join(' ', grep { $row{$_}{status} ne 'completed' } sort keys %row), 'flood', 'all but one completed';

is $l->result($t{words}), "3\n", 'a filter is a complete job';
is $row{words}{inline},       '3',                'its result is JSON because it parses';
is $row{words}{content_type}, 'application/json', '... with that type';
is $row{words}{url}, "/api/tasks/$t{words}/result", '... and a url';
is $row{words}{progress}, 100, 'completing sets progress to 100';
is $l->path($t{words}), 'pending running completed', 'its status took the straight path';

is $row{json}{inline}, '{"b":[1,2.50],"a":"\\u00e9"}', 'an inline JSON result is on one line, its numbers as given';
is $l->result($t{json}), qq({ "b": [1, 2.50],\n "a": "\\u00e9" }\n), '... and exact where it is fetched';
is $row{newline}{inline}, '"hello\\n"', 'a text result drops one final newline';
is $l->result($t{newline}), "hello\n\n", '... only inline';
is $row{newline}{content_type}, 'text/plain; charset=utf-8', '... with the type of text';
is $l->result($t{utf8}), "h\xc3\xa9llo", 'UTF-8 stays as it is';
is $l->result($t{bytes}), $all_bytes x 100, 'a binary result is byte-exact';
is $row{bytes}{content_type}, 'application/octet-stream', '... of type bytes';
is $row{bytes}{inline}, undef, '... and not inline';
is $row{long}{inline}, undef, 'a text result over inline_result_bytes is not inline';
is $row{longjson}{inline},       undef,              'a JSON result over inline_result_bytes is not inline';
is $row{longjson}{content_type}, 'application/json', '... but known as JSON';
is $row{typed}{content_type}, 'image/png', 'result_type overrides the type';
is $row{plain}{inline}, '"12"', 'result_type text/plain makes a number text';
my ($payload) = map { $_->{payload} } grep { $_->{payload}{to} eq 'completed' } $l->events($t{long}, 'task.status_changed');
is_deeply [exists $payload->{result}, $payload->{result_url}], ['', "/api/tasks/$t{long}/result"],
    'the event of a long result names its url instead';

is $l->result($t{none}), "/dev/null\n", 'without input stdin is /dev/null';
is $l->result($t{empty}), undef, 'an empty stdout is no result';
is $row{silent}{bytes}, undef, 'a job that says nothing completes without a result';
is $l->result($t{large}), sha256_hex($large) . "  -\n", '5 MB of input arrive whole';
is sha256_hex($l->result($t{copied})), sha256_hex($large), '5 MB of result arrive whole';
is $row{deaf}{status}, 'completed', 'a job need not read its input';
is $l->result($t{edge}), sha256_hex('y' x 65536) . "  -\n", 'an input of exactly a pipe arrives whole';

is $row{flood}{status}, 'failed', 'a result over max_result_bytes fails the task';
is_deeply [@{ $row{flood} }{qw(error_code error_retryable bytes)}], ['result_too_large', 0, undef],
    '... as result_too_large, not retryable, without a result';
is $row{brim}{bytes}, 6000000, 'a result of exactly max_result_bytes is kept';
is_deeply [$l->work], [], 'no working folder is left';
$l->gapless;
is_deeply [$l->finish], [], 'nothing is left running';
done_testing;
