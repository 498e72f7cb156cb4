//! The store while no process serves from it: looked through, written out, read in, made small.
//!
//! It is written out as JSON lines, one for each session, tombstone, and the floor. They hold what sessions hold, and the
//! hashes of secrets: whoever has them can read all, and log in as nobody.

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    file::{File, NAME, OpenError},
    row::{self, Row},
    rows::Stored,
    salvage::{self, Salvaged},
    start::{SEAL, who_key},
};
use crate::{
    clock::Timestamp,
    config::{Durability, Session},
    crypto::{Sealer, Secrets},
    session::store::principals::Principals,
};

/// Rows at a time.
const LOT: usize = 1000;

/// The store, for whoever looks after it.
#[derive(Debug)]
pub struct Vault {
    file: File,
    sealer: Sealer,
    people: Principals,
    path: PathBuf,
    salvaged: Option<Salvaged>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database says no.
    #[error("the database: {0}")]
    Database(#[from] rusqlite::Error),
    /// Lines cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is read in is no export.
    #[error("line {line}: {why}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: serde_json::Error,
    },
    /// A record cannot be sealed.
    #[error("a record cannot be sealed")]
    Seal,
}

/// What a look through the store found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Sessions that are whole.
    pub sessions: u64,
    /// Rows that do not open.
    pub damaged: u64,
    /// Ended sessions that are remembered.
    pub ended: u64,
    /// Rows that were set aside before.
    pub aside: u64,
}

/// What was read in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Imported {
    /// Sessions that are there now.
    pub sessions: u64,
    /// Sessions that were there already, or had ended here.
    pub left: u64,
    /// Ended sessions that are remembered now.
    pub ended: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Session { id: Uuid, session: Box<Row> },
    Ended { ended: Uuid, at: u64 },
    Floor { floor: u64 },
}

/// Told how many of how many are done.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

impl Vault {
    /// Whether there is a store in this folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Opens the store in this folder. Where there is none, one is made.
    ///
    /// # Errors
    /// See [`OpenError`]: a running cloakroom holds it.
    pub fn open(folder: &Path, secrets: &Secrets) -> Result<Self, OpenError> {
        let salvage::Opened { file, mut ids, salvaged } =
            salvage::open(folder, Durability::Group, Timestamp::now())?;
        let sealer = Sealer::derive(SEAL, secrets);
        let people = who_key(&file, &sealer, folder, &mut ids)?;
        Ok(Self { file, sealer, people, path: folder.join(NAME), salvaged })
    }

    /// What had to be saved of a damaged store, if this one was.
    pub fn salvaged(&self) -> Option<&Salvaged> {
        self.salvaged.as_ref()
    }

    fn each(
        &self,
        progress: Progress<'_>,
        mut visit: impl FnMut(Stored) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        let (total, mut done, mut after) = (self.file.meta_number("rows")?, 0, None);
        loop {
            let rows = self.file.after(after, LOT)?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.id);
            done += rows.len() as u64;
            for stored in rows {
                visit(stored)?;
            }
            progress(done, total.max(done));
        }
    }

    /// Opens every row.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn verify(&self, progress: Progress<'_>) -> Result<Checked, VaultError> {
        let mut checked = Checked::default();
        self.each(progress, |stored| {
            match row::open(stored.id, stored.beside, &stored.row, &self.sealer) {
                Some(_) => checked.sessions += 1,
                None => checked.damaged += 1,
            }
            Ok(())
        })?;
        self.file.graves(|_, _| checked.ended += 1)?;
        checked.aside = self.file.aside()?;
        Ok(checked)
    }

    /// Writes it out; how many sessions were left out because they are damaged.
    ///
    /// # Errors
    /// The database cannot be read, or the lines not written.
    pub fn export(&self, mut to: impl Write, progress: Progress<'_>) -> Result<u64, VaultError> {
        let mut damaged = 0;
        write(&mut to, &Line::Floor { floor: self.file.meta_number("floor")? })?;
        self.each(progress, |stored| {
            let Some(record) = row::open(stored.id, stored.beside, &stored.row, &self.sealer) else {
                damaged += 1;
                return Ok(());
            };
            write(&mut to, &Line::Session { id: record.id, session: Box::new(Row::of(&record)) })
        })?;
        let mut graves = Vec::new();
        self.file.graves(|id, at| graves.push((id, at)))?;
        for (id, at) in graves {
            write(&mut to, &Line::Ended { ended: Uuid::from_u128(id), at: at.0 })?;
        }
        to.flush()?;
        Ok(damaged)
    }

    /// Reads lines in. What is there already stays as it is, and what ended here stays ended. All or nothing.
    ///
    /// # Errors
    /// A line is none of ours, or the database does not take it.
    pub fn import(
        &self,
        from: impl BufRead,
        rules: &Session,
        progress: Progress<'_>,
    ) -> Result<Imported, VaultError> {
        self.file.run("BEGIN IMMEDIATE")?;
        let outcome = self.read_in(from, rules, progress);
        self.file.run(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        outcome
    }

    fn read_in(
        &self,
        from: impl BufRead,
        rules: &Session,
        progress: Progress<'_>,
    ) -> Result<Imported, VaultError> {
        let mut imported = Imported::default();
        let mut rows = self.file.meta_number("rows")?;
        for (number, text) in from.lines().enumerate() {
            let text = text?;
            let line =
                serde_json::from_str(&text).map_err(|why| VaultError::Line { line: number + 1, why })?;
            match line {
                Line::Session { id, session } => {
                    let id = id.as_u128();
                    if self.file.get(id)?.is_some() || self.file.ended(id)?.is_some() {
                        imported.left += 1;
                        continue;
                    }
                    let record = session.record(id);
                    let who = record.principal.as_ref().map(|name| self.people.who((&record.realm, name)));
                    let beside = row::columns(&record, who, rules);
                    let row = row::seal(&record, beside, &self.sealer).ok_or(VaultError::Seal)?;
                    rows += u64::from(self.file.put(&Stored { id, beside, row })?);
                    imported.sessions += 1;
                }
                Line::Ended { ended, at } => {
                    rows -= u64::from(self.file.remove(ended.as_u128())?).min(rows);
                    self.file.bury(ended.as_u128(), Timestamp(at))?;
                    imported.ended += 1;
                }
                Line::Floor { floor } => {
                    let own = self.file.meta_number("floor")?;
                    // A new store has none; else the later one holds for both.
                    self.file.set_meta("floor", &own.max(floor).to_be_bytes())?;
                }
            }
            if number % LOT == 0 {
                progress(number as u64, 0);
            }
        }
        self.file.set_meta("rows", &rows.to_be_bytes())?;
        Ok(imported)
    }

    /// Gives room back to the filesystem; bytes before and after.
    ///
    /// # Errors
    /// There is no room for the copy that this takes.
    pub fn compact(&self) -> Result<(u64, u64), VaultError> {
        let checkpoint = || self.file.pragma_alone("wal_checkpoint(TRUNCATE)");
        checkpoint()?;
        let before = std::fs::metadata(&self.path)?.len();
        self.file.run("VACUUM")?;
        checkpoint()?;
        Ok((before, std::fs::metadata(&self.path)?.len()))
    }
}

fn write(to: &mut impl Write, line: &Line) -> Result<(), VaultError> {
    serde_json::to_writer(&mut *to, line).map_err(io::Error::from)?;
    Ok(to.write_all(b"\n")?)
}
