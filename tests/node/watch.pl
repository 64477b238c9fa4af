# Looks at things of a node again and again, and says at once what has become of them.
#   watch.pl NAME=tcp:ADDRESS:PORT NAME=http:PORT/PATH NAME=path:PATTERN NAME=count:PATTERN
#            NAME=ones:PORT/METRIC ...
# Lines: "NAME STATE MS": it is so since the look that began MS milliseconds ago.
#   tcp: open, refused, blocked (no answer within PATIENCE); http: the status; path: there, absent;
#   count: how many there are; ones: the metric's series, if there are any, are all 1, else others. Paths cost little, and are looked at more often.
# When its standard input ends, it says how often it saw what, "total NAME STATE COUNT", and ends.
use strict;
use warnings;
use Socket;
use Fcntl;
use Errno qw(EINPROGRESS ECONNREFUSED);
use IO::Select;
use Time::HiRes qw(time sleep);

use constant { EVERY => 0.1, PATHS_EVERY => 0.02, PATIENCE => 0.5, LIFETIME => 600 };
$| = 1;

my (%is, %since, %count, %begun, @open);
my %things = map { my ($name, $thing) = split /=/, $_, 2; ($name => $thing) } @ARGV;

# Looks that began earlier may end later: the latest begun counts.
sub seen {
    my ($name, $state, $begin) = @_;
    $count{$name}{$state}++;
    return if $begin < ($since{$name} // 0);
    $since{$name} = $begin;
    return if ($is{$name} // '') eq $state;
    $is{$name} = $state;
    printf "%s %s %d\n", $name, $state, (time - $begin) * 1000;
}

sub connecting {
    my ($address, $port) = @_;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    fcntl($socket, F_SETFL, O_NONBLOCK) or die "fcntl: $!";
    my $done = connect($socket, pack_sockaddr_in($port, inet_aton($address)));
    my $error = $done ? 0 : $! + 0;
    return ($socket, $error == EINPROGRESS ? undef : $error);
}

sub state_of { my $error = shift; $error == 0 ? 'open' : $error == ECONNREFUSED ? 'refused' : "errno-$error" }

sub try_tcp {
    my ($name, $address, $port) = @_;
    my $begin = time;
    my ($socket, $error) = connecting($address, $port);
    if (defined $error) { seen($name, state_of($error), $begin) }
    else { push @open, [$name, $socket, $begin] }
}

sub settle {
    my @left;
    for my $try (@open) {
        my ($name, $socket, $begin) = @$try;
        if (IO::Select->new($socket)->can_write(0)) {
            my $error = unpack 'i', getsockopt($socket, SOL_SOCKET, SO_ERROR);
            seen($name, state_of($error), $begin);
        } elsif (time - $begin > PATIENCE) { seen($name, 'blocked', $begin) }
        else { push @left, $try; next }
        close $socket;
    }
    @open = @left;
}

# What is answered within two seconds, up to $most bytes.
sub answer_to {
    my ($port, $path, $most) = @_;
    socket(my $socket, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
    my $text = '';
    return $text unless connect($socket, pack_sockaddr_in($port, INADDR_LOOPBACK));
    syswrite $socket, "GET $path HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n";
    while (length $text < $most && IO::Select->new($socket)->can_read(2)) {
        last unless sysread $socket, $text, $most - length $text, length $text;
    }
    return $text;
}

sub try_http {
    my ($name, $port, $path) = @_;
    my $begin = time;
    my $status = 'HTTP/1.1 200';
    my $state = answer_to($port, $path, length $status) =~ m{^HTTP/1\.\d (\d+)} ? $1 : 'none';
    seen($name, $state, $begin);
}

sub try_ones {
    my ($name, $port, $metric) = @_;
    my $begin = time;
    my $text = answer_to($port, '/metrics', 1 << 24);
    my @values = $text =~ /^podconfigmap_controller_$metric\{.*\} (\S+)$/mg;
    seen($name, @values && !grep({ $_ ne '1' } @values) ? 'ones' : 'others', $begin);
}

sub look {
    my ($name, $thing) = @_;
    return try_tcp($name, $1, $2) if $thing =~ /^tcp:(.+):(\d+)$/;
    return try_http($name, $1, $2) if $thing =~ m{^http:(\d+)(/.*)$};
    if ($thing =~ /^path:(.+)$/) {
        my @found = grep { -e } glob $1;
        return seen($name, @found ? 'there' : 'absent', time);
    }
    return try_ones($name, $1, $2) if $thing =~ m{^ones:(\d+)/(\w+)$};
    return seen($name, scalar(@{[glob $1]}), time) if $thing =~ /^count:(.+)$/;
    die "cannot watch $thing\n";
}

my $input = IO::Select->new(\*STDIN);
my $end = time + LIFETIME;
until ($input->can_read(0) || time > $end) {
    my $now = time;
    # In this order: what is there after an answer may not have been there before it.
    for my $name (sort keys %things) {
        my $every = $things{$name} =~ /^(path|count):/ ? PATHS_EVERY : EVERY;
        next if $now - ($begun{$name} // 0) < $every;
        $begun{$name} = $now;
        look($name, $things{$name});
    }
    settle();
    sleep 0.02;
}
# What was begun is counted, too.
while (@open) { settle(); sleep 0.02 }
for my $name (sort keys %count) {
    print "total $name $_ $count{$name}{$_}\n" for sort keys %{ $count{$name} };
}
