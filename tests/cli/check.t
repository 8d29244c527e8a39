# leat init; leat check, of a machine and of the chain before a site, each link of which is broken in turn.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../lib";
use Cwd qw(abs_path);
use JSON::PP qw(decode_json);
use Leat;
use Test::More;

my $build = abs_path($ENV{BUILD} || 'build');
my $l = Leat->start(conf => "[stream]\nheartbeat = 4\n");

# `leat ARG...` with a leat.conf.
sub by {
    my ($conf, @args) = @_;
    my $out = "$l->{dir}/by";
    my $pid = fork // die;
    if (!$pid) {
        open STDOUT, '>', "$out.out";
        open STDERR, '>', "$out.err";
        $ENV{COLUMNS} = 500;
        exec "$build/leat", (defined $conf ? ('--config', $conf) : ()), @args or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return {status => $? >> 8, out => Leat::slurp("$out.out"), err => Leat::slurp("$out.err")};
}

# What leat check says: findings by what they are about.
sub findings {
    my (@args) = @_;
    my $r = $l->leat('check', '--json', @args);
    my $said = decode_json($r->{out});
    my %by;
    $by{ $_->{about} } = $_ for @{ $said->{findings} };
    return ($r->{status}, \%by);
}

subtest 'init, and check of a machine' => sub {
    my $site = "$l->{dir}/site";
    my $r = by(undef, 'init', $site);
    is $r->{status}, 0, 'init' or diag $r->{err};
    like $r->{out}, qr{^made $site/leat.conf\n.*^next: leatd --config $site/leat.conf}ms, 'says what it made, and what is next';
    is +(stat "$site/data")[2] & 07777, 02770, 'the folder of the database is the group\'s';
    my $conf = "$site/leat.conf";
    is by($conf, qw(submit wordcount --input x))->{status}, 0, 'a task can be made';
    is_deeply decode_json(by(undef, 'init', '--json', $site)->{out})->{made}, [], 'again: all stays as it is';
    is by($conf, 'init')->{out} =~ /^all was there$/m, 1, '... also by its settings';

    $r = by($conf, 'check');
    like $r->{out}, qr/^problem +runner +none is alive, and tasks wait/m, 'no runner, and a task';
    is $r->{status}, 69, '... is a problem: 69';
    by($conf, 'cancel', decode_json(by($conf, 'list', '--json')->{out})->{tasks}[0]{id});
    $r = by($conf, 'check');
    is $r->{status}, 0, 'notes are none' or diag $r->{out};
    like $r->{out}, qr/^note +runner +none is alive\n +-> start leatd/m, '... and say what to do';
    like $r->{out}, qr/^ok +jobs +1 type /m, 'jobs';

    my %jobs = (
        windows => ["#!/bin/sh\r\necho\r\n",  0755, qr/^problem +job +windows: its first line ends with a carriage return/m],
        nowhere => ["#!/nowhere/sh\necho\n",  0755, qr{^problem +job +nowhere: its interpreter /nowhere/sh: No such file}m],
        closed  => ["#!/bin/sh\necho\n",      0644, qr/^note +job +closed is not executable.*\n +-> chmod \+x/m],
        wrong   => ["#!/bin/sh\necho\n",      0755, qr/^problem +job +wrong: .*wrong\.conf:1: /m, "timeout = never\n"],
    );
    for my $name (keys %jobs) {
        Leat::write_file("$site/jobs/$name", $jobs{$name}[0]);
        Leat::write_file("$site/jobs/$name.conf", $jobs{$name}[3]) if $jobs{$name}[3];
        chmod $jobs{$name}[1], "$site/jobs/$name";
    }
    $r = by($conf, 'check');
    is $r->{status}, 69, 'jobs that cannot run: 69';
    like $r->{out}, $jobs{$_}[2], $_ for sort keys %jobs;
    chmod 0777, "$site/data";
    like by($conf, 'check')->{out}, qr/^problem +folder .*can be written by anybody/m, 'a folder that is open to anybody';
    my $said = decode_json(by($conf, 'check', '--json')->{out});
    is $said->{problems}, 4, '--json counts';
    is by("$site/none.conf", 'check')->{status}, 78, 'no such settings: 78';
};

subtest 'a chain that is sound' => sub {
    my ($status, $found) = findings($l->url);
    is $status, 0, '0';
    is $found->{$_}{level}, 'ok', $_ or diag $found->{$_}{text}
        for qw(reach authorization stream compression resume wait timeout upload), 'two tabs';
    like $found->{reach}{text}, qr/nginx/, 'names the server';
};

# Other servers stand before the site, each wrong in its own way.
my %port = map { $_ => Leat::free_port() } qw(strips holds redirects);
my $to = 'proxy_pass ' . $l->url . '; proxy_set_header Host $http_host;';
my (undef, $back) = $l->change_site(sub {
    $_ .= <<"NGINX";
server {
    listen 127.0.0.1:$port{strips};
    client_max_body_size 1m;
    gzip on;
    gzip_types text/event-stream;
    location / { $to proxy_set_header Authorization ''; proxy_set_header Last-Event-ID ''; proxy_set_header Prefer ''; }
}
server {
    listen 127.0.0.1:$port{holds};
    client_max_body_size 80m;
    location / { $to proxy_ignore_headers X-Accel-Buffering; proxy_read_timeout 3s; }
}
server {
    listen 127.0.0.1:$port{redirects};
    location / { return 301 https://\$host\$request_uri; }
}
NGINX
}, 'leat-upstream.conf');
ok $back, 'nginx is back';

sub behind { return findings("http://127.0.0.1:$port{$_[0]}/") }

subtest 'a link that strips and bounds' => sub {
    my ($status, $found) = behind('strips');
    is $status, 69, '69';
    for ([authorization => qr/proxy_set_header Authorization/], [resume => qr/proxy_pass_request_headers/],
        [wait => qr/proxy_pass_request_headers/], [upload => qr/client_max_body_size/])
    {
        is $found->{ $_->[0] }{level}, 'problem', $_->[0] or diag explain $found->{ $_->[0] };
        like $found->{ $_->[0] }{mend}, $_->[1], '... names the directive';
    }
    like $found->{compression}{text}, qr/compresses streams \(gzip\)/, 'compression';
    like $found->{compression}{mend}, qr/gzip off/, '... names the directive';
};

subtest 'a link that holds back and times out' => sub {
    my ($status, $found) = behind('holds');
    is $status, 69, '69';
    is $found->{buffering}{level}, 'problem', 'buffering' or diag explain $found;
    like $found->{buffering}{mend}, qr/X-Accel-Buffering/, '... names the directive';
    is $found->{timeout}{level}, 'problem', 'a timeout' or diag explain $found;
    like $found->{timeout}{text}, qr/cut after \d+ s/, '... when';
    like $found->{timeout}{mend}, qr/proxy_read_timeout 75s/, '... names the directive';
};

subtest 'what cannot be reached' => sub {
    my $r = $l->leat('check', 'http://127.0.0.1:' . Leat::free_port() . '/');
    is $r->{status}, 69, 'nobody there: 69';
    like $r->{out}, qr/^problem +reach /m, '... says so';
    $r = $l->leat('check', $l->url . '/leat.js');
    like $r->{out}, qr/^problem +reach .*not as\s+Leat/ms, 'somebody else';
    my ($status, $found) = behind('redirects');
    is $found->{redirect}{level}, 'problem', 'a redirect';
    like $found->{redirect}{text}, qr{to https://}, '... says where';
    is $l->leat('check', 'localhost')->{status}, 64, 'what is no URL: 64';
};

done_testing;
