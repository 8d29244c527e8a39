# What an owner may change in a minute, and have: 429 and 507, and nothing of a neighbour's business.
use strict;
use warnings;
use Leat;
use Test::More;

my $l = Leat->start(conf => <<'CONF');
[limits]
writes_per_minute = 5
bytes_per_owner = 300000
CONF
my %token = map { $_ => $l->leat(qw(token add --scope), 'create,read,publish', '--owner', $_)->{out} } qw(alice bob carol);
sub as      { return (Authorization => "Bearer $token{$_[0]}") }
sub create  { return $l->http(POST => '/api/tasks?type=wordcount', body => $_[1], headers => [as($_[0]), 'Content-Type' => 'text/plain']) }
sub publish { return $l->http(POST => '/api/groups/g/events', json => {type => 'doc.created', payload => {text => $_[1]}}, headers => [as($_[0])]) }
sub context { return $l->http(PUT => '/api/groups/g/context', json => {text => $_[1]}, headers => [as($_[0])]) }
sub ticket  { return $l->http(POST => '/api/tickets', json => {group => 'g'}, headers => [as($_[0])]) }

subtest 'writes_per_minute' => sub {
    my @writes = (sub { publish(alice => 'x') }, sub { context(alice => 'x') }, sub { ticket('alice') });
    my ($done, $r) = (0);
    for my $n (0 .. 17) {    # more than two minutes' worth
        $r = $writes[$n % 3]->();
        last if $r->status == 429;
        cmp_ok $r->status, '<', 300, 'a write' or diag $r->body;
        $done++;
    }
    is $r->status . ' ' . $r->json->{code}, '429 rate_limited', "refused after $done";
    cmp_ok $done, '>=', 5, '... not before the fifth';
    like $r->json->{detail}, qr/\bwrites_per_minute\b/, '... by name';
    like $r->header('RateLimit'), qr/^"writes_per_minute";r=0;t=\d+$/, '... in its header';
    is $r->header('RateLimit-Policy'), '"writes_per_minute";q=5;w=60', '... with the policy';
    like $r->header('Retry-After'), qr/^([1-9]|[1-5]\d|60)$/, '... and when the window lets it in';
    is create(alice => 'a b')->status, 202, 'a create is another matter';
    is publish(bob => 'x')->status, 202, 'and so is a neighbour';
};

subtest 'bytes_per_owner' => sub {
    my $r = create(carol => 'x' x 200_000);
    is $r->status, 202, 'as much as fits';
    my $id = $r->json->{task_id};
    $r = create(carol => 'x' x 200_000);
    is $r->status . ' ' . $r->json->{code}, '507 owner_full', 'no more than that';
    ok !$r->json->{retryable}, '... and trying again is of no use';
    is $r->header('Retry-After'), undef, '... so nothing says when';
    is $r->json->{title}, 'Insufficient Storage', '... in words';
    $r = publish(carol => 'x' x 200_000);
    is $r->status . ' ' . $r->json->{code}, '507 owner_full', 'an event';
    $r = context(carol => 'x' x 200_000);
    is $r->status . ' ' . $r->json->{code}, '507 owner_full', 'a context';
    $r = $l->http(POST => '/api/tasks', body => qq({"type":"wordcount","input":"a"}\n) . qq({"type":"wordcount","input":") . 'x' x 200_000 . qq("}\n),
        headers => [as('carol'), 'Content-Type' => 'application/x-ndjson']);
    is $r->status . ' ' . $r->json->{code}, '507 owner_full', 'many tasks: all or none';
    is create(bob => 'x' x 200_000)->status, 202, 'a neighbour has room';

    ok wait_until(sub { $l->http(GET => "/api/tasks/$id", headers => [as('carol')])->json->{status} eq 'completed' }, 60), 'when it is done';
    is $l->http(DELETE => "/api/tasks/$id", headers => [as('carol')])->status, 204, '... and deleted';
    is create(carol => 'x' x 200_000)->status, 202, '... there is room again';
};

done_testing;
