//! The layout of the source, held by a test: floors, file lengths, names.
#![expect(clippy::expect_used, reason = "a source that cannot be read fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms of each floor, from the ground up. A room imports only from lower floors.
const FLOORS: [&[&str]; 9] = [
    &["clock", "crypto", "message", "metrics", "net", "tasks"],
    &["config"],
    &["record"],
    &["store"],
    &["listen", "router", "upstream", "headers", "cookies", "session"],
    &["plan"],
    &["proxy", "admin"],
    &["app"],
    &["cli", "testing"],
];

/// The hard cap of a file, in lines, unit tests included.
const MAX_LINES: usize = 500;

/// Names that say nothing about what lives there.
const FORBIDDEN: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "misc", "manager2"];

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Every Rust file below a folder of the crate, as a path relative to the crate.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root).expect("a path below the root").to_owned());
            }
        }
    }
    found.sort();
    found
}

fn read(file: &Path) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).expect("a readable file")
}

/// The room that a file of `src/` belongs to.
fn room(file: &Path) -> Option<String> {
    let first = file.strip_prefix("src").ok()?.components().next()?;
    let name = first.as_os_str().to_str()?;
    Some(name.strip_suffix(".rs").unwrap_or(name).to_owned())
}

/// The rooms named by `crate::…` paths, `crate::{a::X, b}` included; comments do not count.
fn imports(source: &str) -> Vec<String> {
    let code: Vec<_> = source.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut rooms = Vec::new();
    for (at, path) in code.match_indices("crate::") {
        // A name that only ends in "crate" is no path of ours.
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = &code[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(group_heads(group)),
            None => rooms.push(head(rest)),
        }
    }
    rooms.retain(|room| !room.is_empty());
    rooms
}

/// The first segment of each path in a brace group, up to its closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let mut heads = vec![head(group)];
    let mut depth = 0_u32;
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(head(&group[at + 1..])),
            _ => {}
        }
    }
    heads
}

fn head(path: &str) -> String {
    path.trim_start().chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// A file of tests alone: they stand in folders of their own.
fn is_test(file: &Path) -> bool {
    file.with_extension("").components().any(|part| part.as_os_str() == "tests")
}

#[test]
fn a_room_imports_only_from_lower_floors() {
    let mut broken = Vec::new();
    for file in files("src") {
        let own = room(&file).expect("a file of src");
        // Tests look wherever what they test is used: floors hold for what is built.
        if own == "main" || own == "lib" || is_test(&file) {
            continue;
        }
        let shown = file.display();
        let Some(own_floor) = floor(&own) else {
            broken.push(format!(
                "{shown}: the room `{own}` stands on no floor; give it one in tests/it/house.rs"
            ));
            continue;
        };
        for other in imports(&read(&file)).into_iter().filter(|other| *other != own) {
            match floor(&other) {
                Some(other_floor) if other_floor < own_floor => {}
                Some(other_floor) if other_floor == own_floor => broken.push(format!(
                    "{shown}: `crate::{other}` is a neighbour on floor {own_floor}; neighbours never import each other"
                )),
                Some(other_floor) => broken.push(format!(
                    "{shown}: `crate::{other}` is on floor {other_floor}, above floor {own_floor}; import only from below"
                )),
                None => broken.push(format!("{shown}: `crate::{other}` is no room; name the room itself")),
            }
        }
    }
    assert!(broken.is_empty(), "the floors do not hold:\n{}", broken.join("\n"));
}

#[test]
fn no_file_is_longer_than_the_hard_cap() {
    let mut long = Vec::new();
    for file in files("src").into_iter().chain(files("tests")) {
        let lines = read(&file).lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines; the hard cap is {MAX_LINES}", file.display()));
        }
    }
    assert!(long.is_empty(), "two thoughts in one file:\n{}", long.join("\n"));
}

/// The hard cap of a function, in lines from its `fn` to its closing brace, tests excepted.
const MAX_FUNCTION_LINES: usize = 60;

#[test]
fn no_function_is_longer_than_the_hard_cap() {
    let mut long = Vec::new();
    for file in files("src").into_iter().filter(|file| !is_test(file)) {
        let source = read(&file);
        let production = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines: Vec<_> = production.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let text = line.trim_start();
            let indent = &line[..line.len() - text.len()];
            let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if text.starts_with("//") || !words.take(8).any(|word| word == "fn") {
                continue;
            }
            let end = format!("{indent}}}");
            let length = lines.iter().skip(at).position(|line| *line == end).map_or(0, |last| last + 1);
            // A signature without a body ends with a semicolon before any brace.
            let has_body = lines.iter().skip(at).take(length).any(|line| line.ends_with('{'));
            if has_body && length > MAX_FUNCTION_LINES {
                let place = format!("{}:{}", file.display(), at + 1);
                long.push(format!("{place}: {length} lines; the hard cap is {MAX_FUNCTION_LINES}"));
            }
        }
    }
    assert!(long.is_empty(), "two thoughts in one function:\n{}", long.join("\n"));
}

#[test]
fn no_file_of_tests_stands_among_production_files() {
    let mut stray = Vec::new();
    for file in files("src").into_iter().filter(|file| is_test(file)) {
        // A folder `tests`, or one file `tests.rs` that holds all of a folder's.
        let in_folder = file.parent().is_some_and(|folder| folder.ends_with("tests"));
        if !in_folder && file.file_name() != Some("tests.rs".as_ref()) {
            stray.push(file.display().to_string());
        }
    }
    for file in files("src").into_iter().filter(|file| !is_test(file)) {
        let source = read(&file);
        let declared = source.lines().skip_while(|line| *line != "#[cfg(test)]").nth(1).unwrap_or_default();
        if declared.starts_with("mod ") && declared.ends_with(';') && declared != "mod tests;" {
            stray.push(format!("{}: `{declared}`; tests of a folder stand in `tests/`", file.display()));
        }
    }
    assert!(stray.is_empty(), "tests among production files:\n{}", stray.join("\n"));
}

#[test]
fn no_file_or_folder_has_a_name_that_says_nothing() {
    let mut bad = Vec::new();
    for file in files("src").into_iter().chain(files("tests")) {
        for part in file.with_extension("").components() {
            let name = part.as_os_str().to_string_lossy().into_owned();
            if FORBIDDEN.contains(&name.as_str()) || (name.ends_with("_main") && name != "main") {
                bad.push(format!("{}: `{name}` says nothing about what lives there", file.display()));
            }
        }
    }
    assert!(bad.is_empty(), "names:\n{}", bad.join("\n"));
}

#[test]
fn imports_are_found_in_every_spelling() {
    let source = "use crate::config::Config;\nuse crate::{clock, session::{self, Ticket}, message::Name};\n\
                  // use crate::cli;\nfn f() { crate::tasks::spawn(); $crate::metrics::up(); subcrate::x() }";
    assert_eq!(imports(source), ["config", "clock", "session", "message", "tasks", "metrics"]);
}

/// Letters of a test's name, at most.
const LONGEST_TEST_NAME: usize = 60;

#[test]
fn test_names_are_short_enough_to_be_read() {
    let mut long = Vec::new();
    for file in files("src").into_iter().chain(files("tests")) {
        let source = read(&file);
        for name in source.split("#[test]\n").skip(1).filter_map(|rest| rest.split("fn ").nth(1)) {
            let name = name.split('(').next().unwrap_or_default();
            if name.len() > LONGEST_TEST_NAME {
                long.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "no more than {LONGEST_TEST_NAME} letters:\n{}", long.join("\n"));
}
