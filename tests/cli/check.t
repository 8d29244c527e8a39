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

# What leat check says of each URL (undef: none is given), all at the same time: by name, its status, and findings by what they are about.
sub findings {
    my (%url) = @_;
    my (%said, %found);
    for my $name (keys %url) {
        open $said{$name}, '-|', "$build/leat", '--config', $l->conf_file, qw(check --json), $url{$name} // () or die "leat: $!";
    }
    for my $name (keys %url) {
        my $text = do { local $/; readline $said{$name} };
        close $said{$name};
        $found{$name} = [$? >> 8, {map { $_->{about} => $_ } @{ decode_json($text)->{findings} }}];
    }
    return %found;
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
    my ($typed) = by(undef, 'init', "$l->{dir}/my site")->{out} =~ /^ +(leat --config .* check) says/m;
    is $typed, "leat --config '$l->{dir}/my site/leat.conf' check", 'what it says can be typed: a path with blanks is quoted';
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

subtest 'what cannot be reached' => sub {
    my $r = $l->leat('check', 'http://127.0.0.1:' . Leat::free_port() . '/');
    is $r->{status}, 69, 'nobody there: 69';
    like $r->{out}, qr/^problem +reach /m, '... says so';
    $r = $l->leat('check', $l->url . '/leat.js');
    like $r->{out}, qr/^problem +reach .*not as\s+Leat/ms, 'somebody else';
    is $l->leat('check', 'localhost')->{status}, 64, 'what is no URL: 64';
    local $ENV{LEAT_AUTH_ANONYMOUS} = '';
    like $l->leat('check')->{out}, qr/^note +url +\S+ was not tried: it needs\s+a token/m, 'its own, where nobody may ask without a token';
    like $l->leat('check', '--token', 'none')->{out}, qr/^problem +submit .*401/m, '... with a wrong one';
    local $ENV{LEAT_HTTP_URL} = '';
    is $l->leat('check', '--token', 'none')->{status}, 64, 'a token for no URL: 64';
};

# /proc/PID/cmdline is for everybody on the machine, and a check takes half a minute.
subtest 'a token is sent, and no process shows it' => sub {
    my $bin = "$l->{dir}/bin";
    mkdir $bin;
    Leat::write_file("$bin/curl", "#!/bin/sh\ntr '\\0' ' ' </proc/\$PPID/cmdline >>$bin/shown\nprintf '%s\\n' \"\$*\" >>$bin/shown\nPATH=\${PATH#*:} exec curl \"\$@\"\n");
    chmod 0755, "$bin/curl";
    local $ENV{PATH} = "$bin:$ENV{PATH}";
    my $token = $l->leat(qw(token add --owner reader --scope read))->{out};
    for my $way (["--token", $token], ["--token=$token"]) {
        my $r = $l->leat('check', $l->url, @$way);
        like $r->{out}, qr/^problem +submit .*403/m, 'it is known, and may not create' or diag $r->{out}, $r->{err};
    }
    my $shown = Leat::slurp("$bin/shown");
    like $shown, qr{leat .*check .*\n.*/api/tasks\?type=leat-check}, 'both programs were looked at';
    unlike $shown, qr/\Q$token/, 'the token is none of their arguments';
};
$l->stop;

# Each server beside itself on other ports, where it is wrong in every way: `strips` takes header fields away, compresses
# and bounds bodies, `holds` buffers and loses patience, `redirects` says so. What mends it is that server's.
my $api = '<Location "/api/">';
my %server = (
    nginx => {
        file   => 'leat-upstream.conf',
        broken => <<'NGINX',
server {
    listen 127.0.0.1:STRIPS;
    client_max_body_size 1m;
    gzip on;
    gzip_types text/event-stream;
    location / { PROXY proxy_set_header Authorization ''; proxy_set_header Last-Event-ID ''; proxy_set_header Prefer ''; }
}
server {
    listen 127.0.0.1:HOLDS;
    client_max_body_size 80m;
    location / { PROXY proxy_ignore_headers X-Accel-Buffering; proxy_read_timeout 3s; }
}
server {
    listen 127.0.0.1:REDIRECTS;
    location / { return 301 https://$host$request_uri; }
}
NGINX
        mend => {
            authorization => qr/proxy_set_header Authorization/, headers => qr/proxy_pass_request_headers/, body => qr/client_max_body_size 80m/,
            compression => qr/gzip off/, buffering => qr/X-Accel-Buffering/, timeout => qr/proxy_read_timeout 75s/, redirect => qr/return 301/,
        },
    },
    apache => {
        file   => 'apache.conf',
        broken => <<"APACHE",
LoadModule deflate_module "/usr/lib/apache2/modules/mod_deflate.so"
Listen 127.0.0.1:STRIPS
Listen 127.0.0.1:HOLDS
Listen 127.0.0.1:REDIRECTS
<VirtualHost 127.0.0.1:STRIPS>
    $api
        CGIPassAuth Off
        RequestHeader unset Last-Event-ID
        RequestHeader unset Prefer
        SetEnvIfExpr true !no-gzip
        SetOutputFilter DEFLATE
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:HOLDS>
    $api
        ProxyPassMatch "unix:STATE/leat.sock|fcgi://holds/" timeout=3
    </Location>
</VirtualHost>
<VirtualHost 127.0.0.1:REDIRECTS>
    $api
        Redirect 301 "https://example.org/api/"
    </Location>
</VirtualHost>
APACHE
        # mod_proxy_fcgi heeds no LimitRequestBody
        mend => {
            authorization => qr/CGIPassAuth On/, headers => qr/RequestHeader unset/, compression => qr/no-gzip/,
            buffering => qr/flushpackets=on/, timeout => qr/timeout=75 at ProxyPass/, redirect => qr/no Redirect/,
        },
    },
    lighttpd => {
        file   => 'lighttpd.conf',
        broken => <<'LIGHTTPD',
server.modules += ( "mod_deflate", "mod_redirect" )
$SERVER["socket"] == "127.0.0.1:STRIPS" {
    setenv.set-request-header = ( "Authorization" => "", "Last-Event-ID" => "", "Prefer" => "" )
    $HTTP["url"] =~ "^/api/" { server.max-request-size = 1024 }
}
$SERVER["socket"] == "127.0.0.1:HOLDS" {
    $HTTP["url"] =~ "^/api/" {
        server.stream-response-body = 0
        # lighttpd compresses only what it has to its end
        deflate.mimetypes = ( "text/event-stream" )
        deflate.allowed-encodings = ( "gzip" )
        fastcgi.server = ( "/" => (( "socket" => "STATE/leat.sock", "check-local" => "disable", "read-timeout" => 1 )) )
    }
}
$SERVER["socket"] == "127.0.0.1:REDIRECTS" {
    url.redirect = ( "^/api/" => "https://example.org${url.path}" )
}
LIGHTTPD
        mend => {
            authorization => qr/setenv\.set-request-header/, headers => qr/setenv\.set-request-header/, body => qr/server\.max-request-size/,
            compression => qr/deflate\.mimetypes/, buffering => qr/server\.stream-response-body/, timeout => qr/"read-timeout" => 75/,
            redirect => qr/url\.redirect/,
        },
    },
);
$server{'apache-fcgid'} = {
    file   => 'apache.conf',
    broken => $server{apache}{broken} =~ s/^ +$api\n +ProxyPassMatch.*\n.*\n/FcgidOutputBufferSize 65536\nFcgidIOTimeout 3\n/mr
        =~ s/(STRIPS>\n)/$1FcgidMaxRequestLen 1048576\n/r,
    mend => {
        %{ $server{apache}{mend} }, body => qr/FcgidMaxRequestLen 83886080/, buffering => qr/FcgidOutputBufferSize 0/, timeout => qr/FcgidIOTimeout 75/,
    },
};

for my $name (sort keys %server) {
    my $broken = $server{$name};
    # lighttpd looks at times only now and then
    my $heartbeat = $name eq 'lighttpd' ? 10 : 4;
    subtest "behind $name" => sub {
        $l = Leat->start(server => $name, conf => "[stream]\nheartbeat = $heartbeat\n");
        my %port = map { $_ => Leat::free_port() } qw(STRIPS HOLDS REDIRECTS);
        my %text = (%port, STATE => $l->state, PROXY => 'proxy_pass ' . $l->url . '; proxy_set_header Host $http_host;');
        my (undef, $back) = $l->change_site(sub { $_ .= $broken->{broken} =~ s/\b(@{[join '|', keys %text]})\b/$text{$1}/gr }, $broken->{file});
        ok $back, '(it is back)' or diag $l->log;
        my %found = findings((map { ($_ => $port{$_} ? "http://127.0.0.1:$port{$_}/" : $l->url) } 'sound', keys %port), own => undef);

        my ($status, $found) = @{ $found{sound} };
        is $status, 0, 'sound: 0';
        is $found->{$_}{level}, 'ok', $_ or diag $found->{$_}{text}
            for qw(reach authorization stream compression resume wait timeout upload), 'two tabs';
        my %own = %{ $found{own}[1] };
        is_deeply [map { $_->{level} } @own{qw(settings jobs reach timeout)}], [('ok') x 4], 'without a URL: this machine, and the site by its own';
        my ($family) = $name =~ /^(\w+)/;
        like $found->{reach}{text}, qr/\Q$family\E/i, 'names the server';

        my $problem = sub {
            my ($chain, $about, $mend) = @_;
            my $said = $found{$chain}[1]{$about};
            ok $said && $said->{level} eq 'problem', "\L$chain\E: $about" or return diag explain $found{$chain}[1];
            like $said->{mend}, $broken->{mend}{$mend}, '... names the directive';
        };
        is $found{$_}[0], 69, "\L$_\E: 69" for sort keys %port;
        $problem->('STRIPS', @$_) for [qw(authorization authorization)], [qw(resume headers)], [qw(wait headers)];
        $problem->(qw(STRIPS upload body)) if $broken->{mend}{body};
        my ($said) = grep { $_->{level} ne 'ok' } map { $found{$_}[1]{compression} } qw(STRIPS HOLDS);
        like $said->{text}, qr/compresses streams \(gzip\)/, 'compression';
        like $said->{mend}, $broken->{mend}{compression}, '... names the directive';
        $problem->('HOLDS', @$_) for [qw(buffering buffering)], [qw(timeout timeout)];
        like $found{HOLDS}[1]{timeout}{text}, qr/cut after \d+ s/, '... when';
        $problem->('REDIRECTS', qw(redirect redirect));
        like $found{REDIRECTS}[1]{redirect}{text}, qr{to https://}, '... says where';
        $l->stop;
    };
}

done_testing;
