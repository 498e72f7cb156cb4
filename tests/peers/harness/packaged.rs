//! Apps as Debian packages them, unmodified, each with a configuration and data of its own.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::harness::legacy::{Legacy, file};

/// The one user of each.
pub(crate) const USER: &str = "alice";
/// Her password.
pub(crate) const PASSWORD: &str = "correct horse";

/// Where the package keeps the configuration that it brings.
const BROUGHT: &str = "/etc/dokuwiki";
/// What a wiki keeps its things in.
const FOLDERS: [&str; 11] =
    ["attic", "cache", "index", "locks", "media", "media_attic", "media_meta", "meta", "pages", "tmp", "log"];

/// `DokuWiki` in PHP's own server; the folder goes when the wiki does.
pub(crate) fn dokuwiki() -> (Legacy, TempDir) {
    let folder = wiki_folder();
    let mut command = Command::new("php");
    command
        .args(["-d", &format!("auto_prepend_file={}", file("dokuwiki.php"))])
        .args(["-S", "127.0.0.1:0", "-t", "/usr/share/dokuwiki"])
        .env("WIKI", folder.path());
    (Legacy::php_server(command), folder)
}

/// Configuration and data of a new wiki.
pub(crate) fn wiki_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("conf")).unwrap();
    for name in FOLDERS {
        fs::create_dir_all(path("data").join(name)).unwrap();
    }
    let brought = fs::read_dir(BROUGHT)
        .unwrap_or_else(|_| panic!("no DokuWiki here: `apt-get install dokuwiki php-xml`, or run tests/run"));
    for entry in brought.flatten() {
        let own = ["local.php", "acl.auth.php", "users.auth.php"].map(Into::into);
        if !own.contains(&entry.file_name()) && Path::new(BROUGHT).join(entry.file_name()).is_file() {
            fs::copy(entry.path(), path("conf").join(entry.file_name())).unwrap();
        }
    }
    let local = format!(
        "<?php\n$conf['title'] = 'Wiki';\n$conf['useacl'] = 1;\n$conf['authtype'] = 'authplain';\n\
         $conf['savedir'] = '{}';\n",
        path("data").display()
    );
    fs::write(path("conf/local.php"), local).unwrap();
    fs::write(path("conf/acl.auth.php"), "*\t@ALL\t1\n*\t@user\t8\n").unwrap();
    let script = format!("echo password_hash('{PASSWORD}', PASSWORD_BCRYPT);");
    let hash = String::from_utf8(Command::new("php").args(["-r", &script]).output().unwrap().stdout).unwrap();
    fs::write(path("conf/users.auth.php"), format!("{USER}:{hash}:Alice:alice@example.com:user\n")).unwrap();
    folder
}

/// Django's own admin.
pub(crate) fn django() -> Legacy {
    Legacy::said(Command::new("/usr/bin/python3").arg(file("django_site.py")), "python3-django")
}
