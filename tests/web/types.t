# Job types that are held back: by an admin, or because something is the site's to mend.
use strict;
use warnings;
use Leat;
use Test::More;

my $l = Leat->start(conf => "[limits]\nwrites_per_minute = 0\n");
$l->job(quick => "#!/bin/sh\nexec cat\n");
$l->job(gated => "#!/bin/sh\nread -r gate\nwhile [ ! -e \"\$gate\" ]; do sleep 0.02; done\necho through\n");

sub create {
    my ($type, $input, %fields) = @_;
    my $r = $l->http(POST => '/api/tasks', json => {type => $type, input => $input, %fields});
    die "refused: $r->{status} $r->{body}" unless $r->json && $r->json->{task_id};
    return $r->json->{task_id};
}

sub task { return $l->http(GET => "/api/tasks/$_[0]")->json }

sub pauses { return $l->http(POST => "/api/types/$_[0]/pause") }

sub resumes { return $l->http(POST => "/api/types/$_[0]/resume") }

sub type {
    my ($name) = @_;
    my ($type) = grep { $_->{type} eq $name } @{ $l->http(GET => '/api/types')->json->{types} };
    return $type;
}

sub health { return $l->http(GET => '/api/health') }

subtest 'nothing more of a paused type starts, and what runs goes on' => sub {
    my $gate    = $l->state . '/gate-1';
    my $running = create('gated', $gate);
    ok $l->reaches($running, 'running'), 'one runs';
    my $r = pauses('gated');
    is $r->status, 200, 'it is paused';
    is $r->json->{type} . ' ' . $r->json->{paused}, 'gated 1', 'and the answer is the type';
    ok type('gated')->{paused},  'which is listed as paused';
    ok !type('quick')->{paused}, 'the others are not';
    my @waiting = map { create('gated', $gate) } 1 .. 2;
    is $l->reaches(create('quick', 'x'), 'completed')->{result}, 'x', 'another type runs';
    Leat::write_file($gate, '');
    ok $l->reaches($running, 'completed'), 'what ran goes on, to its end';
    is $l->reaches(create('quick', 'y'), 'completed')->{result}, 'y', 'the runner goes on too';
    is_deeply [map { task($_)->{status} } @waiting], [qw(pending pending)], 'and what came later waits';
    is_deeply [map { task($_)->{queue_position} } @waiting], [1, 2], 'with its place in the queue';
    is_deeply $l->http(GET => '/api/stats')->json->{paused_types}, ['gated'], 'stats name it';
    like $l->http(GET => '/api/metrics')->body, qr/^leat_type_paused\{type="gated"\} 1$/m, 'metrics too';
    is pauses('gated')->status, 200, 'it may be paused again';

    $l->down;
    $l->up;
    ok type('gated')->{paused}, 'it is paused after the site was stopped and started';
    is $l->reaches(create('quick', 'z'), 'completed')->{result}, 'z', 'the runner is there';
    is task($waiting[0])->{status}, 'pending', 'and claims nothing of it';
    $r = resumes('gated');
    is $r->status, 200, 'it is resumed';
    ok !$r->json->{paused}, 'which the answer says';
    ok $l->reaches($_, 'completed'), 'what waited runs' for @waiting;
    is resumes('gated')->status, 200, 'it may be resumed again';
    is_deeply $l->http(GET => '/api/stats')->json->{paused_types}, [], 'stats name none';
};

subtest 'who may, and what' => sub {
    my $token = sub { ('Authorization' => 'Bearer ' . $l->leat(qw(token add --owner bob --scope), $_[0])->{out}) };
    for my $what ('pause', 'resume') {
        my $path = "/api/types/quick/$what";
        is $l->http(POST => $path, headers => {$token->('create,read,publish')})->status, 403, "$what needs the scope admin";
        is $l->http(POST => $path, headers => {Origin => 'http://elsewhere.example'})->status, 403, '... and no other origin';
        is $l->http(GET => $path)->status, 405, '... and POST';
        for my $none (qw(nosuch Quick quick.conf), 'a' x 65) {
            is $l->http(POST => "/api/types/$none/$what")->status, 404, "$what: no such type: $none";
        }
    }
    is $l->http(POST => '/api/types/quick/pause', headers => {$token->('admin')})->status, 200, 'an admin may';
    my $waits = create('quick', 'x');
    unlink $l->jobs . '/quick' or die;
    ok wait_until { !defined type('quick') || type('quick')->{broken} }, 'its file goes';
    is type('quick')->{paused}, JSON::PP::true, 'it is listed all the same';
    $l->job(quick => "#!/bin/sh\nexec cat\n");
    is resumes('quick')->status, 200, 'resumed';
    ok $l->reaches($waits, 'completed'), 'what waited runs';
};

subtest 'what is the site\'s to mend is named, and the rest works' => sub {
    is_deeply health()->json->{broken_types}, [], 'nothing is broken';
    $l->job(crooked => "#!/bin/sh\nexec cat\n");
    my $waits = do { pauses('crooked'); create('crooked', 'x') };
    Leat::write_file($l->jobs . '/crooked.conf', "timeout = soon\n");
    resumes('crooked');
    ok wait_until { type('crooked')->{broken} }, 'a bad conf is seen';
    like type('crooked')->{broken}, qr/^crooked\.conf:1: timeout: 'soon'/, '... with what is wrong, and not where';
    my $r = health();
    is $r->status, 200, 'the site is well';
    is_deeply $r->json->{broken_types}, ['crooked'], '... but for that';
    ok wait_until { ($l->http(GET => '/api/stats')->json->{broken_types}[0] // '') eq 'crooked' }, 'stats name it too';
    like $l->http(GET => '/api/metrics')->body, qr/^leat_type_broken\{type="crooked"\} 1$/m, 'and metrics';
    is task($waits)->{status}, 'pending', 'its task waits';
    unlink $l->jobs . '/crooked.conf' or die;
    ok $l->reaches($waits, 'completed'), 'it is mended: its task runs';
    ok wait_until { !type('crooked')->{broken} }, '... and nothing is wrong with it';
    is_deeply health()->json->{broken_types}, [], '... nor with any other';
};

# The web processes cannot know whom the runner may run jobs as.
subtest 'what only the runner can see is told too' => sub {
    $l->job(nobodys => "#!/bin/sh\nexec cat\n", "user = no-such-user\n");
    is type('nobodys')->{broken}, undef, 'nothing is known before it is tried';
    my $waits = create('nobodys', 'x');
    ok wait_until { type('nobodys')->{broken} }, 'then it is';
    is type('nobodys')->{broken}, "user: there is no user 'no-such-user' here", '... with what is wrong';
    is_deeply health()->json->{broken_types}, ['nobodys'], 'health names it';
    is task($waits)->{status} . task($waits)->{attempt}, 'pending0', 'its task waits, without an attempt spent';
    Leat::write_file($l->jobs . '/nobodys.conf', '');
    ok $l->reaches($waits, 'completed'), 'it is mended: its task runs';
    ok wait_until { !type('nobodys')->{broken} }, '... and nothing is wrong with it';
};

subtest 'a runner that has gone says nothing more' => sub {
    $l->job(nobodys => "#!/bin/sh\nexec cat\n", "user = no-such-user\n");
    my $waits = create('nobodys', 'x');
    ok wait_until { type('nobodys')->{broken} }, 'it is broken';
    $l->http(POST => "/api/tasks/$waits/cancel");
    $l->down;
    $l->up;
    is type('nobodys')->{broken}, undef, 'the next runner has not tried it';
};

$l->stop;
done_testing;
