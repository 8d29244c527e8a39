# What goes over the wire, byte by byte: HTTP on a connection that is kept, and FastCGI as a web server
# speaks it. Nothing is made well-formed that the caller did not make so, and nothing is forked.
#
#     my $w = Wire->http($l->port);
#     my $r = $w->ask(POST => '/api/tasks', headers => [Host => 'localhost'], body => '{}');
#     my $r = Wire::raw($l->port, "GET /api/tasks\0 HTTP/1.1\r\n\r\n");
#     my $r = Wire::fastcgi($l->state . '/leat.sock', [REQUEST_METHOD => 'GET', ...], $body);
#
# Answers are Leat::Answer's; status 0 is none, `error` says why.
package Wire;

use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use IO::Socket::UNIX;
use Leat;
use Socket qw(SOCK_STREAM);
use Time::HiRes qw(time);

my $SECONDS = 30;    # for an answer unless said otherwise
my $ENOUGH  = 4096;  # of an answer that may never end

sub http {
    my ($class, $port) = @_;
    return bless {port => $port}, $class;
}

# ask(METHOD, PATH, headers => [NAME => VALUE, ..], body => BYTES, timeout => SECONDS). Content-Length is
# added to a body. Asks again on a new connection when the old one was closed in the meantime.
sub ask {
    my ($self, $method, $path, %opt) = @_;
    my @headers = (Host => 'localhost', @{ $opt{headers} || [] });
    push @headers, 'Content-Length' => length $opt{body} if defined $opt{body};
    my $text = "$method $path HTTP/1.1\r\n";
    while (my ($name, $value) = splice @headers, 0, 2) { $text .= "$name: $value\r\n" }
    $text .= "\r\n" . ($opt{body} // '');
    for my $try (1, 2) {
        my $old = $self->{socket};
        $self->{socket} //= dial($self->{port}) // return failed("connect: $@");
        my $r = talk($self->{socket}, $text, $opt{timeout}, $method, $ENOUGH);
        return $r if $r->status && $r->{kept};
        delete $self->{socket};
        return $r if $r->status || !$old || $r->{in} ne '';
    }
}

sub dial { return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_[0], Timeout => 10) }

# These bytes on a connection of their own, and what comes back; SECONDS as for ask. Of an answer that may
# never end ENOUGH bytes are taken (a few thousand), and {cut} says so.
sub raw {
    my ($port, $bytes, $seconds, $enough) = @_;
    my $socket = dial($port) // return failed("connect: $@");
    my ($method) = $bytes =~ /^([A-Z]+) /;
    return talk($socket, $bytes, $seconds, $method // '', $enough // $ENOUGH);
}

sub failed { return bless {status => 0, headers => {}, body => '', error => $_[0], in => ''}, 'Leat::Answer' }

# Writes, and stops when the other side has answered and takes no more.
sub put {
    my ($socket, $bytes, $end) = @_;
    local $SIG{PIPE} = 'IGNORE';
    $socket->blocking(0);
    my $select = IO::Select->new($socket);
    for (my $at = 0; $at < length $bytes;) {
        my $n = syswrite $socket, $bytes, length($bytes) - $at, $at;
        if (defined $n) { $at += $n; next }
        last unless $!{EAGAIN};
        last if $select->can_read(0) || time > $end;
        $select->can_write(0.05);
    }
    $socket->blocking(1);
}

# More of what comes, at the end of the second argument. False: the end, or the end of the time.
sub more {
    my ($socket, undef, $end) = @_;
    my $left = $end - time;
    return 0 unless IO::Select->new($socket)->can_read($left > 0 ? $left : 0);
    return sysread $socket, $_[1], 65536, length $_[1];
}

sub talk {
    my ($socket, $bytes, $seconds, $method, $enough) = @_;
    my $end = time + ($seconds // $SECONDS);
    put($socket, $bytes, $end);
    my $in = '';
    while ($in !~ /\r?\n\r?\n/) {
        next if more($socket, $in, $end);
        my $r = failed(time > $end ? 'no answer in time' : 'closed');
        $r->{in} = $in;
        return $r;
    }
    my ($head, $body) = split /\r?\n\r?\n/, $in, 2;
    return talk_on($socket, $body, $end, $method) if $head =~ m{^HTTP/\S+ 1\d\d};
    my $r = Leat::Answer::parse($head);
    my $h = $r->headers;
    $r->{in} = $in;
    $r->{kept} = ($h->{connection} // '') !~ /close/i;
    if ($method eq 'HEAD' || $r->status =~ /^(?:204|304)$/) {
        $body = '';
    }
    elsif (defined $h->{'content-length'}) {
        1 while length $body < $h->{'content-length'} && more($socket, $body, $end);
    }
    else {
        my $endless = ($h->{'content-type'} // '') =~ /event-stream|ndjson|text\/plain/;
        my $chunked = ($h->{'transfer-encoding'} // '') =~ /chunked/i;
        my $got     = $body;
        until ($chunked && $got =~ /(?:^|\r\n)0\r\n\r\n\z/) {
            $r->{cut} = 1, last if $endless && length $got >= $enough;
            next if more($socket, $got, $end);
            $r->{kept} = 0;
            last;
        }
        $r->{kept} = 0 if $r->{cut};
        $body = $got;
        $body = '' if $chunked;
        while ($chunked && $got =~ s/\A([0-9a-fA-F]+)\r\n//) { $body .= substr $got, 0, 2 + hex $1, ''; $body =~ s/\r\n\z// }
    }
    $r->{body} = $body;
    $r->{json} = Leat::decode($body) if ($h->{'content-type'} // '') =~ /json\b(?!l)/;
    return $r;
}

# What follows a 100 (Continue).
sub talk_on {
    my ($socket, $rest, $end, $method) = @_;
    my $in = $rest;
    while ($in !~ /\r\n\r\n/) { more($socket, $in, $end) or return failed('closed after 100') }
    my $r = Leat::Answer::parse((split /\r\n\r\n/, $in, 2)[0]);
    $r->{in} = $in;
    $r->{body} = (split /\r\n\r\n/, $in, 2)[1];
    my $length = $r->header('content-length');
    1 while defined $length && length $r->{body} < $length && more($socket, $r->{body}, $end);
    $r->{json} = Leat::decode($r->{body});
    return $r;
}

# ---- FastCGI -------------------------------------------------------------------------------------

sub record {
    my ($type, $content) = @_;
    my $pad = -length($content) & 7;
    return pack('CCnnCx', 1, $type, 1, length $content, $pad) . $content . "\0" x $pad;
}

sub pair_length { return $_[0] < 128 ? pack 'C', $_[0] : pack 'N', $_[0] | 0x80000000 }

# A stream of records of one type, with the empty one that ends it.
sub records {
    my ($type, $bytes) = @_;
    my $out = '';
    for (my $at = 0; $at < length $bytes; $at += 65528) { $out .= record($type, substr $bytes, $at, 65528) }
    return $out . record($type, '');
}

# One request; parameters in their order, also the same one twice. SECONDS and ENOUGH as for raw.
sub fastcgi {
    my ($path, $params, $body, $seconds, $enough) = @_;
    $enough //= $ENOUGH;
    my $end    = time + ($seconds // $SECONDS);
    my $socket = IO::Socket::UNIX->new(Type => SOCK_STREAM, Peer => $path) // return failed("$path: $!");
    my $pairs  = '';
    for (my $i = 0; $i < @$params; $i += 2) {
        my ($name, $value) = @$params[$i, $i + 1];
        $pairs .= pair_length(length $name) . pair_length(length $value) . $name . $value;
    }
    put($socket, record(1, pack 'nCx5', 1, 0) . records(4, $pairs) . records(5, $body // ''), $end);

    my ($in, $out, $ended, $cut) = ('', '', 0, 0);
    until ($ended || $cut) {
        last unless more($socket, $in, $end);
        while (length $in >= 8) {
            my (undef, $type, undef, $size, $pad) = unpack 'CCnnC', $in;
            last if length $in < 8 + $size + $pad;
            my $content = substr substr($in, 0, 8 + $size + $pad, ''), 8, $size;
            $out .= $content if $type == 6;
            $ended = 1 if $type == 3;
        }
        $cut = 1 if $out =~ /^Content-Type: (?:text\/(?:event-stream|plain)|application\/x-ndjson).*?\r\n\r\n(.*)/ms && length $1 >= $enough;
    }
    my ($head, $rest) = split /\r\n\r\n/, $out, 2;
    if (!defined $rest) {
        my $r = failed(time > $end ? 'no answer in time' : 'closed');
        $r->{in} = $out;
        return $r;
    }
    my ($status) = $head =~ /^Status: (\d+)/m;
    my $r = Leat::Answer::parse('HTTP/1.1 ' . ($status // 200) . "\r\n$head");
    $r->{body} = $rest;
    $r->{json} = Leat::decode($rest) if ($r->header('content-type') // '') =~ /json\b(?!l)/;
    $r->{error} = 'no end' unless $ended || $cut;
    return $r;
}

1;
