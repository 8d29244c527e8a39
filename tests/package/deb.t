#!/usr/bin/perl
# The Debian package in a fresh root with systemd running in it: `dpkg -i` and one include line are a working site, on
# nginx and on Apache; an upgrade keeps what is there, a purge leaves nothing. `make test-deb`; ROOT names a folder
# that mmdebstrap has filled before.
use strict;
use warnings;
use File::Temp qw(tempdir);
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'only root can run a root of its own' if $>;
my ($package) = glob(($ENV{BUILD} || 'build') . '/deb/leat_*.deb') or plan skip_all => 'no package: make deb';
my $root = $ENV{ROOT};
if (!$root) {
    $root = tempdir('leat-root-XXXXXX', DIR => '/var/tmp', CLEANUP => 1) . '/root';
    my @wanted = qw(systemd systemd-sysv dbus nginx-core apache2 curl libfcgi0ldbl libinih1 libjansson4 libjwt0 libsodium23 libsqlite3-0);
    system('mmdebstrap', '--quiet', '--variant=minbase', '--include=' . join(',', @wanted), 'bookworm', $root) == 0 or BAIL_OUT('mmdebstrap');
}
like qx(lintian --fail-on error,warning '$package' 2>&1) . $?, qr/\A(?:running with root privileges.*\n)?0\z/, 'lintian finds no fault';
system('cp', $package, "$root/root/leat.deb") == 0 or die 'cp';

my $machine = fork // die "fork: $!";
if (!$machine) {
    setpgrp 0, 0;
    open STDIN,  '<', '/dev/null';
    open STDOUT, '>', '/dev/null';
    exec 'systemd-nspawn', '-q', '-D', $root, '-b', '--register=no', '--keep-unit', '--private-network' or exit 127;
}
END { kill KILL => -$machine if $machine }

# The first process in it: of the children of systemd-nspawn the one that has become systemd.
my $init;
for (my $until = time + 60; !$init && time < $until; sleep 0.2) {
    for my $pid (qx(pgrep -P $machine) =~ /(\d+)/g) {
        open my $comm, '<', "/proc/$pid/comm" or next;
        $init = $pid if (readline($comm) // '') eq "systemd\n" && readlink("/proc/$pid/ns/pid") ne readlink('/proc/self/ns/pid');
    }
}
BAIL_OUT('systemd does not run in systemd-nspawn here') unless $init;

# Runs this in the machine; gives what it says, without its last newline.
sub in_it {
    my ($command) = @_;
    open my $said, '-|', 'nsenter', '-t', $init, qw(-m -u -i -n -p -r -w env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root sh -c),
        "($command) 2>&1" or die "nsenter: $!";
    my $text = do { local $/; readline $said } // '';
    close $said;
    chomp $text;
    return $text;
}

# Runs it until it says that, within a minute.
sub says {
    my ($command, $expected, $what) = @_;
    my $end = time + 60;
    my $said = '';
    while (($said = in_it($command)) !~ $expected && time < $end) { sleep 0.3 }
    like $said, $expected, $what;
    return $said;
}

says('systemctl is-system-running', qr/^(?:running|degraded)$/, 'systemd runs') =~ /^(?:running|degraded)$/ or BAIL_OUT('no systemd');
in_it('ip link set lo up; systemctl stop apache2 nginx');
in_it('dpkg -i /root/leat.deb');
says('systemctl is-active leat.socket leat.service leatd.service', qr/\Aactive\nactive\nactive\z/, 'dpkg -i starts it');
is in_it('for unit in leat leatd; do stat -c %U /proc/$(systemctl show -P MainPID $unit); done'), "leat\nleat", 'as a user of its own';

my $token = in_it('runuser -u leat -- leat token add --owner me');
like $token, qr/^leat_\S+$/, 'a token';
my $curl = "curl -s -m 20 -H 'Authorization: Bearer $token'";
my %site = (
    nginx => ['/etc/nginx/sites-enabled/default', 'server { listen 80 default_server; include /usr/share/leat/nginx/leat.conf; }'],
    apache2 => ['/etc/apache2/sites-enabled/000-default.conf', "<VirtualHost *:80>\nInclude /usr/share/leat/apache/leat.conf\n</VirtualHost>"],
);
in_it('a2enmod -q proxy_fcgi');
in_it('mkdir -p /srv/jobs; cp /usr/share/leat/jobs/* /srv/jobs; printf \'#!/bin/sh\necho abcdef >$LEAT_FILES/a.txt\n\' >/srv/jobs/makes; chmod 755 /srv/jobs/*;'
        . ' sed -i "s|^jobs = .*|jobs = /srv/jobs|" /etc/leat/leat.conf; systemctl restart leatd leat');
for my $server (sort keys %site) {
    my ($file, $text) = @{ $site{$server} };
    in_it("systemctl stop apache2 nginx; cat >$file <<'EOT'\n$text\nEOT\nsystemctl restart $server");
    says('curl -s localhost/api/health', qr/"status":"ok"/, "$server: one line, and it answers");
    like in_it("$curl -H 'Prefer: wait=20' localhost/api/tasks -d '{\"type\":\"wordcount\",\"input\":\"one two\"}'"), qr/"result":2\b/, 'a task runs';
    like in_it("$curl -N -H 'Accept: text/event-stream' localhost/api/tasks -d '{\"type\":\"countdown\",\"input\":\"1\"}'"), qr/"reason":"finished"/, 'a stream';
    my ($url) = in_it("$curl -H 'Prefer: wait=20' localhost/api/tasks -d '{\"type\":\"makes\"}'") =~ /"url":"([^"]+)"/;
    is in_it("$curl localhost" . ($url // '/none')), 'abcdef', 'a file that a job made';
}
my $count = "$curl 'localhost/api/tasks?page_size=200' | grep -o '\"attempt\"' | wc -l";
my $before = in_it($count);
cmp_ok $before, '>=', 6, 'there are tasks';
in_it('dpkg -i /root/leat.deb');
says('curl -s localhost/api/health', qr/"status":"ok"/, 'after an upgrade it answers');
is in_it($count), $before, '... and has its tasks';
is in_it('grep -c "^jobs = /srv/jobs" /etc/leat/leat.conf'), 1, '... and its settings';

# A database of the first schema there was, from before tokens: one task has ended, one waits.
my $old  = tempdir('leat-old-XXXXXX', DIR => '/var/tmp', CLEANUP => 1) . '/leat.db';
my @task = map { sprintf '00000000-0000-7000-8000-00000000000%d', $_ } 1, 2;
open my $sqlite, '|-', 'sqlite3', '-bail', $old or die "sqlite3: $!";
print {$sqlite} ".output /dev/null\nPRAGMA journal_mode = WAL;\n.read sql/schema/001_core.sql\nPRAGMA user_version = 1;\n",
    map({ "INSERT INTO tasks (id, owner, type, group_id, request_id, created_at, updated_at) VALUES ('$_', 'me', 'wordcount', 'g', 'r', 1, 1);\n" } @task),
    map({ "INSERT INTO inputs VALUES ($_, 'text/plain', CAST('one two three' AS BLOB));\n" } 1, 2),
    "UPDATE tasks SET status = 'running', attempt = 1, started_at = 2, updated_at = 2 WHERE n = 1;\n",
    "INSERT INTO results VALUES (1, 'text/plain', '\"kept\"', '/x', CAST('kept' AS BLOB));\n",
    # not so long ago that retention takes it
    "UPDATE tasks SET status = 'completed', progress = 100, completed_at = unixepoch() * 1000, updated_at = unixepoch() * 1000 WHERE n = 1;\n";
close $sqlite or die 'sqlite3';
in_it('systemctl stop leat.service leat.socket leatd; rm -f /var/lib/leat/leat.db*');
system('cp', $old, "$root/var/lib/leat/leat.db") == 0 or die 'cp';
in_it('chown leat:leat /var/lib/leat/leat.db; chmod 660 /var/lib/leat/leat.db; dpkg -i /root/leat.deb');
says('curl -s localhost/api/health', qr/"status":"ok"/, 'after an upgrade from the first schema it answers');
my $new  = in_it('runuser -u leat -- leat token add --owner me');
my $show = sub { "curl -s -m 20 -H 'Authorization: Bearer $new' localhost/api/tasks/$_[0]" };
like in_it($show->($task[0])), qr/"status":"completed".*"result":"kept"/, '... a task that had ended has its result';
says($show->($task[1]), qr/"status":"completed".*"result":3\b/, '... one that waited is done');
in_it('dpkg -P leat');
is in_it('ls -d /etc/leat /var/lib/leat /run/leat /usr/lib/leat /usr/share/leat 2>/dev/null; getent passwd leat; find / -xdev -name "*leat*" -not -path "/proc/*" -not -path "/root/leat.deb"'
        . ' -not -path "/var/log/*" -not -path "/etc/*/sites-enabled/*" -not -path "/srv/*"'), '', 'a purge leaves nothing';
in_it('systemctl poweroff');
done_testing;
