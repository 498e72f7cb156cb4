//! Apps in PHP as Debian packages them, unmodified, in Apache with `mod_php`, each with a configuration and data of its own.

use std::fmt::Display;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::database::Database;
use crate::harness::legacy::file;
use crate::harness::packaged::{PASSWORD, USER, wiki_folder};
use crate::harness::server::{Server, spawn};
use crate::support::Port;

/// A running app; it ends, and its data goes, when this is dropped.
pub(crate) struct PhpApp {
    /// Where Apache listens.
    pub(crate) address: SocketAddr,
    _server: Server,
    _database: Option<Database>,
    _data: Option<TempDir>,
}

const MODULES: [&str; 7] = ["mpm_prefork", "authz_core", "env", "dir", "mime", "alias", "setenvif"];

/// Without these browsers take no stylesheet and no script.
const MEDIA_TYPES: &str = "text/css css\ntext/javascript js mjs\nimage/svg+xml svg\nimage/png png\nimage/gif gif\n\
                           font/woff woff\nfont/woff2 woff2\napplication/json json\ntext/html html\n";

/// Apache before the files of `root`, with PHP set as these lines say.
fn site(folder: TempDir, root: impl Display, lines: &str) -> (Server, SocketAddr) {
    let own = folder.path().display();
    let php = php_module();
    writable(&folder.path().join("php"));
    fs::write(folder.path().join("types"), MEDIA_TYPES).unwrap();
    let port = Port::reserve();
    let config = format!(
        "LoadModule php_module {php}\nTypesConfig {own}/types\nDocumentRoot {root}\nDirectoryIndex index.php\n\
         <Directory />\nRequire all granted\nAllowOverride None\n</Directory>\n\
         <FilesMatch \"\\.php$\">\nSetHandler application/x-httpd-php\n</FilesMatch>\n\
         StartServers 4\nKeepAliveTimeout 60\nMaxKeepAliveRequests 0\n\
         php_admin_value session.save_path {own}/php\nphp_admin_value upload_tmp_dir {own}/php\n{lines}\n"
    );
    let server = Server::apache(folder, &[&port], &MODULES, &config);
    (server, port.address)
}

/// PHP's module for Apache, whichever its version.
fn php_module() -> String {
    let modules = fs::read_dir("/usr/lib/apache2/modules").into_iter().flatten().flatten();
    let mut names = modules.map(|entry| entry.path().display().to_string());
    names.find(|path| path.contains("/libphp")).unwrap_or_else(|| {
        panic!("no PHP for Apache: `apt-get install libapache2-mod-php`, or run tests/run")
    })
}

/// A folder that whoever runs the app may write to.
fn writable(path: &Path) {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
}

/// The files of a package, if it is installed.
fn package(name: &str, file: &str) {
    assert!(Path::new(file).exists(), "no {name} here: `apt-get install {name}`, or run tests/run");
}

fn copy(from: &str, to: &Path) {
    let done = spawn(Command::new("cp").args(["-rL", from]).arg(to), "coreutils").wait();
    assert!(done.unwrap().success(), "cp {from}");
}

/// Runs a script of the app, as its administrator would.
fn php(arguments: &[&str]) {
    let output = Command::new("php").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "php {arguments:?}: {said}");
}

/// `WordPress`, installed, with its one user as administrator.
pub(crate) fn wordpress() -> PhpApp {
    package("wordpress", "/usr/share/wordpress/wp-load.php");
    let database = Database::with("blog");
    let folder = Server::folder();
    let root = folder.path().join("blog");
    copy("/usr/share/wordpress", &root);
    writable(&root.join("wp-content/uploads"));
    let config = format!(
        "<?php\n\
         if (($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? '') === 'https') {{ $_SERVER['HTTPS'] = 'on'; }}\n\
         $own = (isset($_SERVER['HTTPS']) ? 'https://' : 'http://') . ($_SERVER['HTTP_HOST'] ?? 'localhost');\n\
         define('WP_HOME', $own); define('WP_SITEURL', $own);\n\
         define('DB_NAME', 'blog'); define('DB_USER', '{USER}'); define('DB_PASSWORD', '{PASSWORD}');\n\
         define('DB_HOST', 'localhost:{}'); define('AUTH_KEY', 'a'); define('SECURE_AUTH_KEY', 'b');\n\
         define('LOGGED_IN_KEY', 'c'); define('NONCE_KEY', 'd'); define('AUTH_SALT', 'e');\n\
         define('SECURE_AUTH_SALT', 'f'); define('LOGGED_IN_SALT', 'g'); define('NONCE_SALT', 'h');\n\
         define('WP_HTTP_BLOCK_EXTERNAL', true); define('DISABLE_WP_CRON', true);\n\
         define('AUTOMATIC_UPDATER_DISABLED', true);\n\
         $table_prefix = 'wp_'; defined('ABSPATH') || define('ABSPATH', __DIR__ . '/'); require_once ABSPATH . 'wp-settings.php';\n",
        database.socket().display()
    );
    fs::write(root.join("wp-config.php"), config).unwrap();
    let install = format!(
        "define('WP_INSTALLING', true); require '{}/wp-load.php'; require ABSPATH . 'wp-admin/includes/upgrade.php'; \
         wp_install('Blog', '{USER}', 'alice@example.com', true, '', '{PASSWORD}'); \
         update_user_meta(1, 'show_welcome_panel', 0);",
        root.display()
    );
    php(&["-r", &install]);
    let (server, address) = site(folder, root.display(), "");
    PhpApp { address, _server: server, _database: Some(database), _data: None }
}

/// A database with one table, of two rows.
fn coats() -> Database {
    let database = Database::with("shop");
    assert!(
        database.takes("CREATE TABLE shop.coats (id INT AUTO_INCREMENT PRIMARY KEY, colour VARCHAR(40))")
    );
    assert!(database.takes("INSERT INTO shop.coats (colour) VALUES ('green'), ('red')"));
    database
}

/// `phpMyAdmin` before a database with one table in it.
pub(crate) fn phpmyadmin() -> PhpApp {
    package("phpmyadmin", "/usr/share/phpmyadmin/index.php");
    let database = coats();
    let lines = format!("php_admin_value mysqli.default_socket {}", database.socket().display());
    let (server, address) = site(Server::folder(), "/usr/share/phpmyadmin", &lines);
    PhpApp { address, _server: server, _database: Some(database), _data: None }
}

/// Adminer before the same.
pub(crate) fn adminer() -> PhpApp {
    package("adminer", "/etc/adminer/conf.php");
    let database = coats();
    let folder = Server::folder();
    let lines = format!(
        "DirectoryIndex conf.php\nphp_admin_value mysqli.default_socket {}\nphp_admin_value sys_temp_dir {}/php",
        database.socket().display(),
        folder.path().display()
    );
    let (server, address) = site(folder, "/etc/adminer", &lines);
    PhpApp { address, _server: server, _database: Some(database), _data: None }
}

/// `MediaWiki` with uploads.
pub(crate) fn mediawiki() -> PhpApp {
    package("mediawiki", "/usr/share/mediawiki/index.php");
    let database = Database::with("wiki");
    let folder = Server::folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    writable(&folder.path().join("images"));
    let socket = format!("--dbserver=localhost:{}", database.socket().display());
    let (user, password) = (format!("--dbuser={USER}"), format!("--dbpass={PASSWORD}"));
    let (confpath, pass) = (format!("--confpath={}", folder.path().display()), format!("--pass={PASSWORD}"));
    let install = ["/usr/share/mediawiki/maintenance/install.php", "--dbtype=mysql", "--dbname=wiki"];
    let rest = ["--scriptpath=", "--server=http://127.0.0.1", "--skins=Vector", "Wiki", "Alice"];
    php(&[&install[..], &[&socket, &user, &password, &confpath, &pass], &rest].concat());
    let own = format!(
        "\n$wgServer = ($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? 'http') . '://' . ($_SERVER['HTTP_HOST'] ?? 'localhost');\n\
         $wgEnableUploads = true; $wgUploadDirectory = '{}'; $wgCacheDirectory = false; $wgShowExceptionDetails = true;\n\
         $wgMainCacheType = CACHE_DB; $wgJobRunRate = 0;\n",
        path("images")
    );
    let settings = fs::read_to_string(path("LocalSettings.php")).unwrap();
    fs::write(path("LocalSettings.php"), settings + &own).unwrap();
    fs::set_permissions(path("LocalSettings.php"), Permissions::from_mode(0o644)).unwrap();
    let lines =
        format!("SetEnv MW_CONFIG_FILE {}\nAlias /images {}", path("LocalSettings.php"), path("images"));
    let (server, address) = site(folder, "/usr/share/mediawiki", &lines);
    PhpApp { address, _server: server, _database: Some(database), _data: None }
}

/// `DokuWiki` with uploads for who is logged in.
pub(crate) fn dokuwiki() -> PhpApp {
    let data = wiki_folder();
    let done = Command::new("chmod").args(["-R", "a+rwX"]).arg(data.path()).status();
    assert!(done.unwrap().success());
    let lines = format!(
        "SetEnv WIKI {}\nphp_admin_value auto_prepend_file {}",
        data.path().display(),
        file("dokuwiki.php")
    );
    let (server, address) = site(Server::folder(), "/usr/share/dokuwiki", &lines);
    PhpApp { address, _server: server, _database: None, _data: Some(data) }
}

/// Tiny Tiny RSS, with the user that it brings, whose password is the usual one.
pub(crate) fn tt_rss() -> PhpApp {
    package("tt-rss", "/usr/share/tt-rss/www/index.php");
    let database = Database::with("news");
    let folder = Server::folder();
    let root = folder.path().join("news");
    fs::create_dir(&root).unwrap();
    let inside = |name: &str| root.join(name).display().to_string();
    for name in [
        "classes",
        "errors.php",
        "images",
        "include",
        "index.php",
        "js",
        "lib",
        "locale",
        "plugins",
        "prefs.php",
        "public.php",
        "backend.php",
        "templates",
        "themes",
        "vendor",
        "version_static.txt",
        "update.php",
        "api",
        "opml.php",
    ] {
        copy(&format!("/usr/share/tt-rss/www/{name}"), &root);
    }
    for name in ["lock", "cache", "cache/images", "cache/upload", "cache/export", "cache/js", "feed-icons"] {
        writable(&root.join(name));
    }
    let brought = fs::read_to_string("/etc/tt-rss/config.php").unwrap();
    let own = format!(
        "define('DB_TYPE', 'mysql'); define('DB_HOST', 'localhost'); define('DB_PORT', ''); define('DB_USER', '{USER}');\n\
         define('DB_NAME', 'news'); define('DB_PASS', '{PASSWORD}');\n\
         define('SELF_URL_PATH', ($_SERVER['HTTP_X_FORWARDED_PROTO'] ?? 'http') . '://' . ($_SERVER['HTTP_HOST'] ?? 'localhost') . '/');\n\
         define('LOCK_DIRECTORY', '{}'); define('CACHE_DIR', '{}'); define('LOG_DESTINATION', '');\n",
        inside("lock"),
        inside("cache"),
    );
    let kept = brought.lines().filter(|line| {
        let ours = ["DB_", "SELF_URL_PATH", "LOCK_DIRECTORY", "CACHE_DIR", "LOG_DESTINATION", "include_once"];
        !ours.iter().any(|name| line.contains(name))
    });
    let config = kept.collect::<Vec<_>>().join("\n").replacen("<?php", &format!("<?php\n{own}"), 1);
    fs::write(root.join("config.php"), config).unwrap();
    let schema = fs::read_to_string("/usr/share/tt-rss/schema/ttrss_schema_mysql.sql").unwrap();
    assert!(database.takes(&format!("USE news; {schema}")));
    let lines = format!("php_admin_value pdo_mysql.default_socket {}", database.socket().display());
    let (server, address) = site(folder, root.display(), &lines);
    PhpApp { address, _server: server, _database: Some(database), _data: None }
}

/// A Laravel app of a few lines, by the framework's own middleware.
pub(crate) fn laravel() -> PhpApp {
    package("php-laravel-framework", "/usr/share/php/Illuminate/autoload.php");
    let folder = Server::folder();
    let root = folder.path().join("laravel");
    copy(&file("laravel"), &root);
    for name in ["bootstrap/cache", "storage/framework/sessions", "storage/framework/views", "storage/logs"] {
        writable(&root.join(name));
    }
    fs::create_dir_all(root.join("resources/views")).unwrap();
    let lines = format!("SetEnv LARAVEL {}\nFallbackResource /index.php", root.display());
    let (server, address) = site(folder, root.display(), &lines);
    PhpApp { address, _server: server, _database: None, _data: None }
}
