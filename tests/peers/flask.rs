//! A Flask app and one in PHP that share a login.

use std::process::Command;

use crate::harness::legacy::{Legacy, file};
use crate::support::{Cloakroom, flask_python};

const SECRET: &str = "dev-secret-1";

#[test]
fn flask_login_and_logout_are_seen_by_a_php_app() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(flask_python());
    let flask =
        Legacy::said(command.arg(file("flask_login_app.py")).env("SECRET_KEY", SECRET), "flask-login");
    let php = Legacy::php();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).expect("a file");
    let config = format!(
        "[session.cookie]\nname = \"session\"\nprefix = \"none\"\n\
         [store]\nkind = \"flask\"\nsecret_key = {{ file = \"{}\" }}\n\
         [upstreams.flask]\nservers = [\"http://{}\"]\n\
         [[routes]]\npath = \"/account\"\nupstream = \"flask\"\nsession = \"off\"\n[[routes]]\nupstream = \"app\"\n",
        secret.display(),
        flask.address
    );
    let proxy = Cloakroom::before(php.address).config(&config).start();
    let mut visitor = proxy.browser();
    let mut ask = |path: &str| visitor.get(path).text();
    assert_eq!(ask("/who"), "");
    assert_eq!(ask("/account/login?name=zoe"), "logged in");
    assert_eq!(ask("/account/keep"), "kept");
    assert_eq!((ask("/who"), ask("/account/who")), ("zoe".to_owned(), "zoe".to_owned()));
    // Written by one and read by the other; what is Flask's own stays as it was.
    assert_eq!(ask("/store"), "stored");
    assert_eq!(ask("/account/note"), "'Zoë 100% + \"quoted\"; ü'");
    assert_eq!(
        (ask("/read"), ask("/account/kept")),
        ("Zoë 100% + \"quoted\"; ü".to_owned(), "whole".to_owned())
    );
    assert_eq!(ask("/account/who"), "zoe");
    assert_eq!(ask("/account/logout"), "logged out");
    assert_eq!((ask("/who"), ask("/account/who")), (String::new(), "nobody".to_owned()));
    assert_eq!(ask("/account/kept"), "whole");
    // The other way round.
    assert_eq!(ask("/login?name=bob"), "logged in");
    assert_eq!((ask("/who"), ask("/account/who")), ("bob".to_owned(), "bob".to_owned()));
    assert_eq!(ask("/logout"), "logged out");
    assert_eq!((ask("/who"), ask("/account/who")), (String::new(), "nobody".to_owned()));
    assert_eq!(visitor.jar.len(), 0, "nothing is left, and so no cookie: {:?}", visitor.jar);
}
