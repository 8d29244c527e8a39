# A database that is found malformed: what is asked for is refused, and the file is named.
use strict;
use warnings;
use Leat;
use Test::More;

my $l  = Leat->start;
my $db = $l->state . '/leat.db';
sub makes { return $l->http(POST => '/api/tasks?type=wordcount', body => 'a b', headers => ['Content-Type' => 'text/plain']) }

is makes()->status, 202, 'at first all is well';
is $l->http(PUT => '/api/groups/g/context', json => {a => 1})->status, 200, '... with a group';

$l->down;
chomp(my $pages = `sqlite3 $db "PRAGMA wal_checkpoint(TRUNCATE); SELECT rootpage * 1 FROM sqlite_schema WHERE name = 'groups'; PRAGMA page_size;"`);
my ($page, $size) = (split /\n/, $pages)[-2, -1];
open my $file, '+<', $db or die "$db: $!";
sysseek $file, ($page - 1) * $size, 0;
syswrite $file, "\xa5" x $size;
close $file;
$l->up;

my $r = $l->http(GET => '/api/groups/g');
is $r->status . ' ' . $r->json->{code}, '503 database_malformed', 'who meets the damage is told';
like $r->json->{detail}, qr/\bleat\.db is malformed/, '... which file it is';
unlike $r->body, qr{\Q@{[$l->state]}\E}, '... and not where it lies';
for (1 .. 10) {    # whichever process it is
    $r = makes();
    last if $r->status != 503;
}
is $r->status . ' ' . ($r->json->{code} // ''), '503 database_malformed', 'nothing is taken any more, by no process';
ok $r->json->{retryable}, '... and may be tried again';
$r = $l->http(GET => '/api/health');
is $r->status, 503, 'health says so';
like $r->json->{detail}, qr/\bleat\.db is malformed/, '... and which file it is';
like $l->log, qr/\Q$db\E/, 'the log says where it lies';
is $l->http(GET => '/api/tasks')->status, 200, 'reading goes on';

done_testing;
