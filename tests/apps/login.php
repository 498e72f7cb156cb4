<?php
// The login page of a site that has none of its own, and its logout. Try it: php -S 127.0.0.1:3001 tests/apps/login.php
$people = ['zoë' => '$2y$10$wgUpZLaFqVlZtAtNi1gomeuwEBk4W6wfMqmmWeO8iRzc5L8uILfee']; // password_hash('sesame', PASSWORD_BCRYPT)

if ($_SERVER['REQUEST_METHOD'] === 'POST' && parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH) === '/logout') {
    header('X-Session-Action: destroy');
    header('Location: /login', true, 303);
    exit;
}
$name = $_POST['name'] ?? '';
if (password_verify($_POST['password'] ?? '', $people[$name] ?? '')) {
    // Only a path of this site: neither //host nor /\host.
    $next = preg_match('~^/(?![/\\\\])~', $_GET['next'] ?? '') ? $_GET['next'] : '/';
    header('X-Session-Principal: ' . rawurlencode($name));
    header('Location: ' . $next, true, 303);
    exit;
}
http_response_code($name === '' ? 200 : 403);
?>
<!doctype html><meta charset="utf-8"><title>Log in</title><link rel="icon" href="data:,">
<?= $name === '' ? '' : '<h1>Not you</h1>' ?>
<form method="post"><input name="name"><input name="password" type="password"><button>Log in</button></form>
