<?php
// A legacy app without sessions of its own. Try it: php -S 127.0.0.1:3000 tests/apps/app.php

function field(string $name): string {
    return rawurldecode($_SERVER['HTTP_X_SESSION_' . strtoupper($name)] ?? '');
}

header('Content-Type: text/plain; charset=utf-8');
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/visit':
        $visits = (int) field('visits') + 1;
        header("X-Session-Set-Visits: $visits");
        echo "visits=$visits";
        break;
    case '/login':
        header('X-Session-Principal: ' . rawurlencode($_GET['name'] ?? ''));
        echo 'logged in';
        break;
    case '/logout':
        header('X-Session-Principal:');
        echo 'logged out';
        break;
    case '/store':
        header('X-Session-Set-Note: ' . rawurlencode('Zoë 100% + "quoted"; ü'));
        echo 'stored';
        break;
    case '/read':
        echo field('note');
        break;
    case '/who':
        echo field('principal');
        break;
    default:
        http_response_code(404);
        echo 'not found';
}
