//! What the installed unit hands to the service, for verbs that an operator runs beside it: `check`, `store` and `explain`
//! find the same keys as the service does, where they may read them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The service, as the package installs it.
const UNIT: &str = "cloakroom.service";

/// Where systemd looks for units; the first that has one counts (systemd.unit(5)).
const FOLDERS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
];

/// The file that the unit hands over under this name (`LoadCredential=NAME:/PATH`); none without such a line.
pub(super) fn credential(name: &str) -> Option<PathBuf> {
    credential_in(&FOLDERS.map(PathBuf::from), name)
}

fn credential_in(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let unit = folders.iter().map(|folder| folder.join(UNIT)).find(|path| path.exists());
    let mut drop_ins: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| fs::read_dir(folder.join(format!("{UNIT}.d"))).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "conf"))
        .collect();
    // By name alone, wherever they lie.
    drop_ins.sort_by(|one, other| one.file_name().cmp(&other.file_name()));
    let texts = unit.into_iter().chain(drop_ins).filter_map(|path| fs::read_to_string(path).ok());
    let mut found = None;
    for text in texts {
        for line in text.lines() {
            let Some(set) = line.trim().strip_prefix("LoadCredential=") else { continue };
            match set.split_once(':') {
                // An empty one takes all before it back.
                None if set.is_empty() => found = None,
                Some((said, path)) if said == name && Path::new(path).is_absolute() => {
                    found = Some(path.into());
                }
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_unit_and_of_what_is_added_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let folders = ["etc", "lib"].map(|name| folder.path().join(name));
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert_eq!(credential_in(&folders, "key"), None);
        write(
            "lib/cloakroom.service",
            "[Service]\n#LoadCredential=key:/commented\nLoadCredential=key:/lib/key\n",
        );
        assert_eq!(credential_in(&folders, "key"), Some("/lib/key".into()));
        assert_eq!(credential_in(&folders, "other"), None);
        write(
            "etc/cloakroom.service.d/10-keys.conf",
            "[Service]\nLoadCredential=key:/etc/key\nLoadCredential=x:rel\n",
        );
        assert_eq!(credential_in(&folders, "key"), Some("/etc/key".into()));
        assert_eq!(credential_in(&folders, "x"), None, "a credential of a credential store");
        write("etc/cloakroom.service.d/20-none.conf", "LoadCredential=\n");
        assert_eq!(credential_in(&folders, "key"), None);
        write("etc/cloakroom.service", "[Service]\n");
        write("etc/cloakroom.service.d/20-none.conf", "");
        assert_eq!(credential_in(&folders, "key"), Some("/etc/key".into()));
    }
}
