<?php
// A Laravel app with its usual middleware: it encrypts its cookies anew in every answer. Its folder is LARAVEL.
require_once 'Illuminate/autoload.php';

use Illuminate\Foundation\Application;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;

class Kernel extends Illuminate\Foundation\Http\Kernel
{
    protected $middlewareGroups = ['web' => [
        Illuminate\Cookie\Middleware\EncryptCookies::class,
        Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse::class,
        Illuminate\Session\Middleware\StartSession::class,
        Illuminate\Foundation\Http\Middleware\VerifyCsrfToken::class,
    ]];
}

$app = new Application(getenv('LARAVEL'));
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(function () {
    Route::middleware('web')->group(function () {
        Route::get('/login', function (Request $request) {
            $request->session()->regenerate();
            $request->session()->put('who', $request->query('name'));
            return 'logged in';
        });
        Route::get('/who', fn (Request $request) => $request->session()->get('who', 'nobody'));
        Route::post('/touch', function (Request $request) {
            $request->session()->put('touched', 1 + $request->session()->get('touched', 0));
            return $request->session()->get('who', 'nobody');
        });
    });
});
$kernel = $app->make(Illuminate\Contracts\Http\Kernel::class);
$response = $kernel->handle($request = Request::capture());
$response->send();
$kernel->terminate($request, $response);
