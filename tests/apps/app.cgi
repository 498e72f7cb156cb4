#!/usr/bin/perl
# A legacy CGI script without sessions of its own and without modules. Behind tests/apps/cgi_server.py.
use strict;
use warnings;

sub decode { my ($text) = @_; $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge; return $text }
sub encode { my ($text) = @_; $text =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ge; return $text }
sub field  { my ($name) = @_; return decode($ENV{"HTTP_X_SESSION_$name"} // '') }

my $path = $ENV{PATH_INFO} // '/';
my ($status, $header, $text) = ('200 OK', '', 'not found');
if ($path eq '/visit') {
    my $visits = (field('VISITS') || 0) + 1;
    ($header, $text) = ("X-Session-Set-Visits: $visits\n", "visits=$visits");
} elsif ($path eq '/login') {
    my ($name) = ($ENV{QUERY_STRING} // '') =~ /(?:^|&)name=([^&]*)/;
    ($header, $text) = ('X-Session-Principal: ' . encode(decode($name // '')) . "\n", 'logged in');
} elsif ($path eq '/logout') {
    ($header, $text) = ("X-Session-Principal:\n", 'logged out');
} elsif ($path eq '/store') {
    # Without "use utf8" these are the bytes of the file, which is what goes on the wire.
    ($header, $text) = ('X-Session-Set-Note: ' . encode('Zoë 100% + "quoted"; ü') . "\n", 'stored');
} elsif ($path eq '/read') {
    $text = field('NOTE');
} elsif ($path eq '/who') {
    $text = field('PRINCIPAL');
} else {
    $status = '404 Not Found';
}
print "Status: $status\nContent-Type: text/plain; charset=utf-8\n$header\n$text";
