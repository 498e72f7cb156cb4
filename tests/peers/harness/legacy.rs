//! The apps of `tests/apps`, each in the server that its language brings along.

use std::io::read_to_string;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::harness::server::{announced, spawn};
use crate::support::flask_python;

/// A running app; killed when dropped.
pub(crate) struct Legacy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    child: Child,
}

impl Legacy {
    /// `app.php` in PHP's own server, which says its port on stderr.
    pub(crate) fn php() -> Self {
        Self::php_of("app.php")
    }

    /// `login.php`, the same way.
    pub(crate) fn login() -> Self {
        Self::php_of("login.php")
    }

    /// `regenerate.php`, the same way.
    pub(crate) fn regenerate() -> Self {
        Self::php_of("regenerate.php")
    }

    fn php_of(name: &str) -> Self {
        let mut command = Command::new("php");
        command.args(["-S", "127.0.0.1:0", &file(name)]);
        Self::php_server(command)
    }

    /// A command that starts PHP's own server.
    pub(crate) fn php_server(mut command: Command) -> Self {
        let mut child = spawn(command.stderr(Stdio::piped()), "php-cli");
        let lines = child.stderr.take().unwrap();
        let found =
            announced(lines, |line| line.split_once("http://127.0.0.1:")?.1.split(')').next()?.parse().ok());
        Self { address: found.unwrap_or_else(|| panic!("php ended without naming its port")), child }
    }

    /// `app.py` in wsgiref.
    pub(crate) fn python() -> Self {
        Self::script("app.py")
    }

    /// `app.cgi`, in Perl, behind the CGI server of `cgi_server.py`.
    pub(crate) fn perl() -> Self {
        Self::script("cgi_server.py")
    }

    /// `flask_app.py` in Debian's Flask, whichever other Python comes first here.
    pub(crate) fn flask() -> Self {
        Self::said(Command::new("/usr/bin/python3").arg(file("flask_app.py")), "python3-flask")
    }

    /// `rolling_express.js`, the same way.
    pub(crate) fn rolling_express() -> Self {
        Self::node("rolling_express.js")
    }

    /// `rolling_flask.py` in the Flask of `tests/run`.
    pub(crate) fn rolling_flask() -> Self {
        Self::said(Command::new(flask_python()).arg(file("rolling_flask.py")), "python3-flask")
    }

    /// `express_app.js` in Node, with the Express of `tests/run`.
    pub(crate) fn express() -> Self {
        Self::node("express_app.js")
    }

    /// `admin_express.js`, `admin_url.js` and `admin_url.php`: apps with one page that a gate before them is to guard.
    pub(crate) fn with_admin_page() -> [Self; 3] {
        [Self::node("admin_express.js"), Self::node("admin_url.js"), Self::php_of("admin_url.php")]
    }

    /// `AdminServlet.java` in Tomcat, with the same page.
    pub(crate) fn servlets() -> Self {
        let mut command = Command::new("java");
        command
            .args(["-cp", "/usr/share/java/tomcat10-embed-core.jar", &file("AdminServlet.java")])
            .arg(concat!(env!("CARGO_TARGET_TMPDIR"), "/tomcat"));
        Self::said(&mut command, "default-jdk-headless libtomcat10-embed-java")
    }

    fn node(name: &str) -> Self {
        let own = concat!(env!("CARGO_MANIFEST_DIR"), "/target/express/node_modules");
        let mut command = Command::new("node");
        Self::said(command.arg(file(name)).env("NODE_PATH", own), "nodejs npm")
    }

    /// `App.java`, compiled by the launcher.
    pub(crate) fn java() -> Self {
        Self::said(Command::new("java").arg(file("App.java")), "default-jdk-headless")
    }

    fn script(name: &str) -> Self {
        Self::said(Command::new("python3").args(["-u", &file(name)]), "python3")
    }

    /// Starts an app whose first line is its port.
    pub(crate) fn said(command: &mut Command, packages: &str) -> Self {
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()), packages);
        let errors = child.stderr.take().unwrap();
        let errors = thread::spawn(move || read_to_string(errors).unwrap_or_default());
        match announced(child.stdout.take().unwrap(), |line| line.trim().parse().ok()) {
            Some(address) => Self { address, child },
            None => panic!(
                "{command:?} named no port; does it lack a part of {packages}, which tests/run installs? {}",
                errors.join().unwrap()
            ),
        }
    }
}

impl Drop for Legacy {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A file of `tests/apps`.
pub(crate) fn file(name: &str) -> String {
    format!("{}/tests/apps/{name}", env!("CARGO_MANIFEST_DIR"))
}
