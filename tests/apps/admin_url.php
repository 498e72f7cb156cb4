<?php
// A front controller that reads its target as many do: php -S 127.0.0.1:0 tests/apps/admin_url.php
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
echo $path === '/admin' || str_starts_with((string) $path, '/admin/') ? 'secret' : 'open';
