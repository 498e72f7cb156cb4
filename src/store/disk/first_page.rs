//! The first page of the database: the header, and what the tables are. It is the same in every database of ours but for a
//! few numbers that can be told from the file's length, so a damaged one is put right.
//!
//! Never while this process has the database open: to close a file lets go of SQLite's locks on it.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
};

use super::{
    counter,
    file::{DatabaseFile, NAME, OpenError, PAGE},
    lock::FolderLock,
};
use crate::config::Durability;

/// Numbers that change: change counter, pages, free pages, schema cookie; who counted (sqlite.org, fileformat2, section
/// 1.3).
const CHANGING: [std::ops::Range<usize>; 2] = [24..44, 92..100];
/// With more wrong bytes it may be another's.
const MOST_WRONG: usize = 8;
/// Where a copy lies that was put right, for whoever only looks.
const COPY: &str = ".look";

/// What is wrong with the first page of the database in this folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FirstPageDamage {
    /// Nothing.
    Right,
    /// It is ours, and damaged.
    Damaged,
    /// It may be somebody else's.
    Strange,
}

/// Looks at it.
pub(super) fn look(folder: &Path) -> io::Result<FirstPageDamage> {
    let page = read(&folder.join(NAME))?;
    if page.is_empty() {
        // A new database.
        return Ok(FirstPageDamage::Right);
    }
    // Compared with a new database of this very SQLite, since what the page holds depends on its
    // version.
    let wrong = wrong(&page, &template(folder)?);
    let whole = page.len() as u64 == PAGE;
    // Where nothing is left of a database, the count beside it tells whose it was.
    let gone = !page.starts_with(b"SQLite format 3\0") && counter::is_in(folder);
    Ok(match wrong {
        0 if whole => FirstPageDamage::Right,
        ..=MOST_WRONG if whole => FirstPageDamage::Damaged,
        _ if whole && gone => FirstPageDamage::Damaged,
        _ => FirstPageDamage::Strange,
    })
}

/// Puts it right; free pages are forgotten.
pub(super) fn mend(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    let mut right = template(folder)?;
    let file = fs::OpenOptions::new().write(true).open(&path)?;
    let pages = u32::try_from(file.metadata()?.len() / PAGE).unwrap_or(u32::MAX);
    let mut put = |at: usize, number: u32| {
        right.iter_mut().skip(at).zip(number.to_be_bytes()).for_each(|(to, from)| *to = from);
    };
    // The number of pages is believed where two counters agree.
    put(24, 1);
    put(92, 1);
    put(28, pages);
    put(32, 0);
    put(36, 0);
    file.write_all_at(&right, 0)
}

/// A copy of the database with its first page put right.
#[derive(Debug)]
pub(super) struct RepairedCopy(PathBuf);

impl RepairedCopy {
    /// Makes it, in the state directory: as much room is needed as the database takes.
    pub(super) fn make(folder: &Path) -> io::Result<Self> {
        let copy = Self(folder.join(COPY));
        // Of one that broke off.
        match fs::remove_dir_all(&copy.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::DirBuilder::new().mode(0o700).create(&copy.0)?;
        for name in [NAME.to_owned(), format!("{NAME}-wal")] {
            match fs::copy(folder.join(&name), copy.0.join(&name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        mend(&copy.0)?;
        Ok(copy)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for RepairedCopy {
    fn drop(&mut self) {
        // What stays is removed by the next look.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// That of a new database.
fn template(folder: &Path) -> io::Result<Vec<u8>> {
    let fresh = folder.join(".fresh");
    fs::create_dir_all(&fresh)?;
    let made = make(&fresh).map_err(io::Error::other);
    let page = made.and_then(|()| read(&fresh.join(NAME)));
    fs::remove_dir_all(&fresh)?;
    page
}

fn make(folder: &Path) -> Result<(), OpenError> {
    let lock = FolderLock::attempt(folder)?;
    DatabaseFile::open(folder, Durability::Os, &lock).map(drop)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    fs::File::open(path)?.take(PAGE).read_to_end(&mut page)?;
    Ok(page)
}

/// Bytes that are not what they always are.
fn wrong(page: &[u8], template: &[u8]) -> usize {
    let pairs = page.iter().zip(template).enumerate();
    let changing = |at: usize| CHANGING.iter().any(|range| range.contains(&at));
    pairs.filter(|(at, (byte, wanted))| byte != wanted && !changing(*at)).count()
}
