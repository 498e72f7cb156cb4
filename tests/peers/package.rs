//! The Debian package: what is in it, where it lies, and that it passes as one.
#![expect(clippy::panic, reason = "a test that cannot go on fails, with the place")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs a program to its end; what it printed.
fn run(command: &mut Command, package: &str) -> (bool, String) {
    let done = command.output();
    let done = done.unwrap_or_else(|_| panic!("{command:?}: `apt-get install {package}`, or run tests/run"));
    (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
}

/// The package, of the program that these tests run.
fn package(folder: &Path) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/deb");
    let (fine, said) = run(Command::new(script).arg(folder).arg(env!("CARGO_BIN_EXE_cloakroom")), "binutils");
    assert!(fine, "{said}");
    said.trim().into()
}

#[test]
fn the_package_has_what_a_service_needs_where_debian_wants_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let package = package(folder.path());
    let (fine, said) = run(Command::new("lintian").args(["--fail-on", "error"]).arg(&package), "lintian");
    assert!(fine && !said.contains("E: "), "{said}");
    let root = folder.path().join("root");
    let (fine, said) = run(Command::new("dpkg-deb").arg("-x").args([&package, &root]), "dpkg");
    assert!(fine, "{said}");
    for file in [
        "usr/bin/cloakroom",
        "etc/cloakroom/config.toml",
        "lib/systemd/system/cloakroom.service",
        "lib/systemd/system/cloakroom.socket",
        "usr/share/doc/cloakroom/examples/all-on-this-host.conf",
        "usr/share/doc/cloakroom/examples/notify-reload.conf",
        "usr/share/doc/cloakroom/copyright",
        "usr/share/doc/cloakroom/README.md.gz",
        "usr/share/doc/cloakroom/config.toml.gz",
        "usr/share/doc/cloakroom/docs/sessions.md.gz",
        "usr/share/doc/cloakroom/docs/stores/disk.md.gz",
        "usr/share/man/man1/cloakroom.1.gz",
        "usr/share/man/man1/cloakroom-sessions-revoke.1.gz",
        "usr/share/bash-completion/completions/cloakroom",
        "usr/share/zsh/vendor-completions/_cloakroom",
        "usr/share/fish/vendor_completions.d/cloakroom.fish",
    ] {
        assert!(fs::metadata(root.join(file)).is_ok_and(|about| about.len() > 100), "{file}");
    }
    let (_, fields) =
        run(Command::new("dpkg-deb").arg("-I").args([&package, Path::new("conffiles")]), "dpkg");
    assert_eq!(fields, "/etc/cloakroom/config.toml\n", "an upgrade leaves what the operator has written");
    let mut check = Command::new(root.join("usr/bin/cloakroom"));
    let (fine, said) =
        run(check.arg("check").arg("-c").arg(root.join("etc/cloakroom/config.toml")), "cloakroom");
    assert!(fine && !said.contains("warning"), "{said}");
}
