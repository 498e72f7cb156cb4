#!/usr/bin/perl
# Written against Apache's mod_session documentation: the session comes as HTTP_SESSION ("SessionEnv On"),
# what X-Replace-Session says is merged into it ("SessionHeader X-Replace-Session").
use strict;
use warnings;

sub decode { my ($text) = @_; $text =~ tr/+/ /; $text =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ge; return $text }

my %session;
for my $pair (split /&/, $ENV{HTTP_SESSION} // '') {
    my ($key, $value) = split /=/, $pair, 2;
    $session{decode($key)} = decode($value // '');
}
my ($path, $query) = ($ENV{PATH_INFO} // '/', $ENV{QUERY_STRING} // '');
my ($status, $header, $text) = ('200 OK', '', 'not found');
if ($path eq '/show') {
    $text = join '', map { "$_=$session{$_}\n" } sort keys %session;
} elsif ($path eq '/visit') {
    my $visits = ($session{visits} // 0) + 1;
    ($header, $text) = ("X-Replace-Session: visits=$visits\n", "visits=$visits");
} elsif ($path eq '/set') {
    ($header, $text) = ("X-Replace-Session: $query\n", 'set');
} elsif ($path eq '/post') {
    read STDIN, my $form, $ENV{CONTENT_LENGTH} || 0;
    ($header, $text) = ("X-Replace-Session: $form\n", 'posted');
} elsif ($path eq '/moved') {
    ($status, $header, $text) = ('302 Found', "X-Replace-Session: $query\nLocation: /show\n", 'moved');
} elsif ($path eq '/missing') {
    ($status, $header) = ('404 Not Found', "X-Replace-Session: $query\n");
} else {
    $status = '404 Not Found';
}
print "Status: $status\nContent-Type: text/plain; charset=utf-8\nCache-Control: private\n$header\n$text";
