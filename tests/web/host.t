#!/usr/bin/perl
# The archive for a shared host: unpacked into the home of an ordinary user, under an Apache of whose configuration
# only .htaccess is theirs and that runs CGI programs as that user (as suexec does), it is a working site. By mod_cgid
# and by mod_cgi.
use strict;
use warnings;
use Cwd qw(abs_path);
use File::Basename qw(dirname);
use File::Path qw(remove_tree);
use File::Temp qw(tempdir);
use Leat;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

my $top     = abs_path(dirname(__FILE__) . '/../..');
my $build   = $ENV{BUILD} || 'build';
my $modules = '/usr/lib/apache2/modules';
my $made    = qx(cd '$top' && make --no-print-directory BUILD='$build' dist-host 2>&1);
my ($archive) = $made =~ /^(\S+\.tar\.gz)$/m or BAIL_OUT("make dist-host: $made");
$archive = "$top/$archive" unless $archive =~ m{^/};
my $root = $> == 0;
my @user = $root ? qw(setpriv --reuid=65534 --regid=65534 --clear-groups) : ();

# A home with the archive in it, and an Apache for it. Gives a Leat without a server of its own, for its requests.
sub host {
    my ($name, $mpm) = @_;
    my $dir  = tempdir('leat-XXXXXX', DIR => '/tmp');
    my $home = "$dir/home";
    mkdir $_ or die "$_: $!" for $home, "$home/public_html", "$dir/run";
    chmod 0755, $dir;
    system('chown', '-R', '65534:65534', $dir) == 0 or die 'chown' if $root;
    system(@user, 'tar', '-C', $home, '-xzf', $archive) == 0 or die 'tar';
    my $port = Leat::free_port();
    Leat::write_file("$dir/apache.conf", <<"CONF");
ServerRoot "$dir/run"
DefaultRuntimeDir "$dir/run"
PidFile "$dir/run/pid"
ErrorLog "$dir/run/log"
ServerName localhost
Listen 127.0.0.1:$port
Timeout 60
LoadModule mpm_$mpm "$modules/mod_mpm_$mpm.so"
CONF
    my $conf = Leat::slurp("$dir/apache.conf") =~ s/^LoadModule mpm_\w+/LoadModule mpm_${mpm}_module/mr;
    $conf .= "LoadModule ${_}_module \"$modules/mod_$_.so\"\n" for qw(authz_core dir env setenvif rewrite), $name;
    $conf .= <<"CONF";
DocumentRoot "$home/public_html"
<Directory "$home/public_html">
    AllowOverride FileInfo Options
    Require all granted
</Directory>
CONF
    Leat::write_file("$dir/apache.conf", $conf);
    my $pid = fork // die "fork: $!";
    if (!$pid) {
        setpgrp 0, 0;
        %ENV = (PATH => '/usr/bin:/bin');
        open STDIN, '<', '/dev/null';
        exec @user, '/usr/sbin/apache2', '-f', "$dir/apache.conf", '-D', 'FOREGROUND' or POSIX::_exit(127);
    }
    my $l = bless {dir => $dir, port => $port, owner => 0, server => 'apache-cgi', state => "$dir/run", apache => $pid, home => $home}, 'Leat';
    return $l;
}

sub gone {
    my ($l) = @_;
    kill TERM => $l->{apache};
    waitpid $l->{apache}, 0;
    # the runner that leat.fcgi has started
    my $runs = sub { grep { Leat::cmdline($_) =~ /\Q$l->{dir}\E/ } map { m{/proc/(\d+)} } glob '/proc/[0-9]*' };
    kill TERM => $runs->();
    ok wait_until { !$runs->() } 20;
    remove_tree($l->{dir}, {safe => 0});
}

for (['cgid', 'event'], ['cgi', 'prefork']) {
    my ($name, $mpm) = @$_;
    subtest "mod_$name" => sub {
        my $l = host($name, $mpm);
        my $up = wait_until { $l->http(GET => '/api/health')->status } 20;
        ok $up, 'Apache answers';
        my $nobody = $l->http(GET => '/api/tasks');
        is $nobody->status . ' ' . ($nobody->json->{code} // ''), '401 unauthorized', 'nobody is let in';
        is $l->http(GET => "/api/$_")->status, 404, "$_ is not shown" for qw(leatd .htaccess ..%2e/leat/leat.conf);
        my $token = qx(@user $l->{home}/leat/leat --config $l->{home}/leat/leat.conf token add --owner me);
        chomp $token;
        my @as = (Authorization => "Bearer $token");

        my $r = $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'one two'}, headers => [@as, Prefer => 'wait=20']);
        is $r->status . ' ' . ($r->json->{task}{result} // ''), '200 2', 'a task runs, by a runner that was not there';
        my $quick = time;
        my $id = $l->http(POST => '/api/tasks', json => {type => 'countdown', input => '2'}, headers => [@as])->json->{task_id};
        cmp_ok time - $quick, '<', 10, 'a create does not wait for its runner';
        my $s = $l->stream("/api/tasks/$id/events", headers => {@as});
        ok $s->next_event(10, 'task.progress'), 'events come while it runs';
        is(($s->rest(20))[-1]{json}{payload}{reason}, 'finished', '... and the end');
        is $l->http(GET => '/api/health')->json->{status}, 'ok', 'health';
        $r = $l->http(POST => '/api/tasks?type=sha256', body => 'x' x 3_000_000, headers => [@as, Prefer => 'wait=20']);
        is $r->json->{task}{status}, 'completed', 'three megabytes';
        is((stat "$l->{home}/leat/data/leat.db")[4], $root ? 65534 : $>, 'the database lies where leat.conf says, and is the user\'s');

        # what this build does not have
        Leat::write_file("$l->{home}/leat/jobs/wordcount.conf", "user = nobody\n");
        my $conf = Leat::slurp("$l->{home}/leat/leat.conf");
        Leat::write_file("$l->{home}/more.conf", $conf . "[auth]\njwt_secret = " . 'x' x 32 . "\n");
        like qx($l->{home}/public_html/api/leat.fcgi --config $l->{home}/more.conf --check 2>&1), qr/jwt_secret: .*without libjwt/, 'JWT is refused by name';
        $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'x'}, headers => [@as]);
        my $broken;
        wait_until { ($broken) = grep { defined } map { $_->{broken} } @{ $l->http(GET => '/api/types', headers => [@as])->json->{types} } } 20;
        like $broken, qr/^user: .*static build/, 'so is user =';
        gone($l);
        done_testing;
    };
}

# without a runner of its own: cron
subtest 'cron does the work' => sub {
    my $l = host('cgid', 'event');
    wait_until { $l->http(GET => '/api/health')->status } 20;
    my $file = "$l->{home}/leat/leat.conf";
    Leat::write_file($file, Leat::slurp($file) =~ s/^autostart = yes$/autostart = no/mr =~ s/^;anonymous/anonymous/mr);
    my $id = $l->http(POST => '/api/tasks', json => {type => 'wordcount', input => 'one two'})->json->{task_id};
    is $l->http(GET => "/api/tasks/$id")->json->{status}, 'pending', 'it waits';
    is system(@user, "$l->{home}/public_html/api/leatd", '--config', $file, '--once'), 0, 'leatd --once';
    is $l->http(GET => "/api/tasks/$id")->json->{result}, 2, '... has done it';
    gone($l);
    done_testing;
};
done_testing;
