//! When the database itself is damaged, and not only a row in it: what can still be read is copied into a new one, and the
//! old one is kept beside it.
//!
//! The first page is the same in every database of ours but for a few numbers that can be told from the file's length; a
//! few wrong bytes in it are put right. Any other page that cannot be read is stepped over.

use std::{
    fs,
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::{
    file::{Fault, File, NAME, OpenError, PAGE},
    row::Columns,
    rows::Stored,
};
use crate::config::Durability;

/// Numbers on the first page that change: change counter, pages, free pages, schema cookie; who counted (sqlite.org,
/// fileformat2, section 1.3).
const CHANGING: [std::ops::Range<usize>; 2] = [24..44, 92..100];
/// With more wrong bytes it is not damaged but another's.
const MOST_WRONG: usize = 8;
/// Rows that are copied in one transaction.
const LOT: usize = 1000;
const ENDINGS: [&str; 2] = ["", "-wal"];

/// The ids in it, and what stands beside each row.
pub(super) type Ids = Vec<(u128, Columns)>;

/// Opens the database, and reads the ids; one that is ours and damaged is replaced by what can be read of it.
pub(super) fn open(folder: &Path, durability: Durability) -> Result<(File, Ids), OpenError> {
    let error = match File::open(folder, durability) {
        Ok(file) => match whole(&file) {
            Ok(Some(ids)) => return Ok((file, ids)),
            Ok(None) => "rows are missing".to_owned(),
            Err(error) if !is_damage(&error) => {
                return Err(OpenError::Database { path: folder.join(NAME), error });
            }
            Err(error) => error.to_string(),
        },
        Err(error) => {
            let damage = match &error {
                OpenError::Database { error, .. } => is_damage(error),
                OpenError::Foreign { .. } => true,
                _ => false,
            };
            if !damage || !is_ours(folder).unwrap_or(false) {
                return Err(error);
            }
            error.to_string()
        }
    };
    tracing::error!(%error, "the database is damaged: what can be read of it is copied into a new one");
    let no = |why| OpenError::Folder { folder: folder.to_owned(), why };
    let old = set_aside(folder).map_err(no)?;
    let new = File::open(folder, durability)?;
    mend(&old).map_err(no)?;
    let copied = File::open(&old, durability).map(|old| copy(&old, &new));
    match copied {
        Ok(Ok((copied, missing))) => {
            tracing::error!(copied, missing, kept = %old.display(), "the damaged database was set aside");
        }
        Ok(Err(error)) => return Err(OpenError::Database { path: folder.join(NAME), error }),
        Err(error) => {
            tracing::error!(%error, kept = %old.display(), "nothing of the damaged database could be read");
        }
    }
    let ids = new.scan().map_err(|error| OpenError::Database { path: folder.join(NAME), error })?;
    Ok((new, ids))
}

/// Whether it is the content that is wrong, and not the disk or the rights.
fn is_damage(error: &rusqlite::Error) -> bool {
    // A schema that cannot be read or a format that is not known is a plain error.
    Fault::of(error) == Fault::Corrupt || error.sqlite_error_code() == Some(rusqlite::ErrorCode::Unknown)
}

/// The ids, if every row is there that was.
fn whole(file: &File) -> rusqlite::Result<Option<Ids>> {
    let ids = file.scan()?;
    file.graves(|_, _| ())?;
    Ok((ids.len() as u64 == file.meta_number("rows")?).then_some(ids))
}

/// The first page of a new database.
fn template(folder: &Path) -> io::Result<Vec<u8>> {
    let fresh = folder.join(".fresh");
    fs::create_dir_all(&fresh)?;
    drop(File::open(&fresh, Durability::Os).map_err(io::Error::other)?);
    let page = first_page(&fresh.join(NAME));
    fs::remove_dir_all(&fresh)?;
    page
}

fn first_page(path: &Path) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    fs::File::open(path)?.take(PAGE).read_to_end(&mut page)?;
    Ok(page)
}

/// Bytes of the first page that are not what they always are.
fn wrong(page: &[u8], template: &[u8]) -> usize {
    let pairs = page.iter().zip(template).enumerate();
    let changing = |at: usize| CHANGING.iter().any(|range| range.contains(&at));
    pairs.filter(|(at, (byte, wanted))| byte != wanted && !changing(*at)).count()
}

fn is_ours(folder: &Path) -> io::Result<bool> {
    let page = first_page(&folder.join(NAME))?;
    Ok(page.len() as u64 == PAGE && wrong(&page, &template(folder)?) <= MOST_WRONG)
}

/// Moves it into a folder of its own, under a name that is free.
fn set_aside(folder: &Path) -> io::Result<PathBuf> {
    let mut names = (1..1000).map(|number| folder.join(format!("damaged-{number}")));
    let aside = names.find(|path| !path.exists()).unwrap_or_else(|| folder.join("damaged"));
    fs::create_dir(&aside)?;
    for ending in ENDINGS {
        let name = format!("{NAME}{ending}");
        match fs::rename(folder.join(&name), aside.join(&name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}

/// Puts the first page right; free pages are forgotten.
fn mend(folder: &Path) -> io::Result<()> {
    let path = folder.join(NAME);
    let (page, mut right) = (first_page(&path)?, template(folder)?);
    let count = wrong(&page, &right);
    if count > MOST_WRONG || page.len() as u64 != PAGE {
        return Ok(());
    }
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

/// How many rows were copied, and how many are missing.
fn copy(old: &File, new: &File) -> rusqlite::Result<(u64, u64)> {
    let expected = old.meta_number("rows").unwrap_or(0);
    new.run("BEGIN IMMEDIATE")?;
    for name in ["who", "who copy", "floor", "commits"] {
        if let Ok(Some(value)) = old.meta(name) {
            new.set_meta(name, &value)?;
        }
    }
    let mut graves = Vec::new();
    // What cannot be read of them is no reason to stop.
    let _ = old.graves(|id, at| graves.push((id, at)));
    for (id, at) in graves {
        new.bury(id, at)?;
    }
    let mut copied = 0;
    for backwards in [false, true] {
        let mut reader = Reader { old, after: None, backwards };
        while let Some(rows) = reader.next() {
            for stored in rows {
                copied += u64::from(new.put(&stored)?);
            }
        }
    }
    new.set_meta("rows", &copied.to_be_bytes())?;
    new.run("COMMIT")?;
    Ok((copied, expected.saturating_sub(copied)))
}

/// Walks through the ids, up or down; where a page cannot be read it steps over it, further each time.
struct Reader<'a> {
    old: &'a File,
    after: Option<u128>,
    backwards: bool,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Vec<Stored>> {
        for lot in [LOT, 1] {
            if let Ok(rows) = self.read(lot) {
                self.after = Some(rows.last()?.id);
                return Some(rows);
            }
        }
        // Ids are spread evenly: with 2^24 rows a page holds some 2^107 of them.
        for bits in 100..128 {
            let from = self.after.unwrap_or(if self.backwards { u128::MAX } else { 0 });
            let step = 1_u128 << bits;
            self.after = Some(if self.backwards { from.checked_sub(step)? } else { from.checked_add(step)? });
            if let Ok(rows) = self.read(1) {
                self.after = Some(rows.last()?.id);
                return Some(rows);
            }
        }
        None
    }

    fn read(&self, lot: usize) -> rusqlite::Result<Vec<Stored>> {
        if self.backwards { self.old.before(self.after, lot) } else { self.old.after(self.after, lot) }
    }
}
