<?php
// An app with a session of PHP's own, which gives it a new id at login.
session_start();
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    session_regenerate_id(true);
    $_SESSION['who'] = $_POST['who'];
}
$_SESSION['visits'] = ($_SESSION['visits'] ?? 0) + 1;
header('Content-Type: text/plain');
echo ($_SESSION['who'] ?? 'nobody') . ' ' . $_SESSION['visits'];
