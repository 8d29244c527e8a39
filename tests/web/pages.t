#!/usr/bin/perl
# The dashboard as each web server sends it: small on the wire, under one policy, and not sent again unless it has changed.
use strict;
use warnings;
use Leat;
use Test::More;

my @servers = $ENV{SERVER} ? $ENV{SERVER} : qw(nginx apache lighttpd);
my @gzip    = ('Accept-Encoding' => 'gzip');

# All that a browser asks for: the page, what it names, and what its scripts import: {path => answer}.
sub whole {
    my ($l) = @_;
    my (%got, @paths) = ();
    for (@paths = ('/'); @paths;) {
        my $path = shift @paths;
        next if $got{$path};
        $got{$path} = $l->http(GET => $path, headers => [@gzip]);
        my $text = $l->http(GET => $path)->body;
        my ($folder) = $path =~ m{^(.*/)};
        for my $name ($text =~ /(?:<(?:link|script)\b[^>]*?\b(?:href|src)=|^import [^'\n]*)["'](\S+?)["']/mg) {
            my $to = $folder . $name;
            1 while $to =~ s{/\./|/[^/]+/\.\./}{/};
            push @paths, $to;
        }
    }
    return \%got;
}

for my $server (@servers) {
    subtest $server => sub {
        my $l   = Leat->start(server => $server);
        my $got = whole($l);
        my ($bytes, $most) = (0, 0);
        for my $path (sort keys %$got) {
            my $r = $got->{$path};
            is join(' ', $r->status, $r->header('Content-Encoding') // 'whole'), '200 gzip', $path;
            is $r->header('Content-Security-Policy'), $got->{'/'}->header('Content-Security-Policy'), '... its policy';
            like $r->header('Vary') // '', qr/Accept-Encoding/i, '... and a cache is told';
            $bytes += length $r->body;
            my $etag = $r->header('ETag');
            my @known = $etag ? ('If-None-Match' => $etag) : ('If-Modified-Since' => $r->header('Last-Modified'));
            is $l->http(GET => $path, headers => [@gzip, @known])->status, 304, '... is not sent again';
        }
        cmp_ok scalar(keys %$got), '>', 15, 'all of it was found';
        note "$bytes bytes of " . keys %$got;
        cmp_ok $bytes, '<', 60_000, 'in all it is small';
        cmp_ok $bytes, '>', 20_000, '... and there';
        like $got->{'/'}->header('Content-Security-Policy'), qr/^default-src 'none'.*require-trusted-types-for 'script'; trusted-types 'none'$/, 'the policy';

        my $task = $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'a'}, headers => [Prefer => 'wait=20', @gzip]);
        is $task->header('Content-Encoding'), undef, 'what Leat says is not compressed';
        my $s = $l->stream("/api/tasks/$task->{json}{task_id}/events", headers => {@gzip});
        is $s->header('Content-Encoding'), undef, 'nor is a stream';
        $l->stop;
        done_testing;
    };
}
done_testing;
