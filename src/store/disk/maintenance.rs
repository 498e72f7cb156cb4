//! The store in the hands of whoever looks after it: looked through and written out, also while a process serves from it;
//! read in and made small while none does.
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
    file::{DatabaseFile, NAME, OpenError},
    first_page::{self, FirstPageDamage, RepairedCopy},
    keys::RowKeys,
    lock::FolderLock,
    row,
    row_checksum::RowChecksum,
    rows::StoredRow,
    salvage::{self, SalvageResult},
    start::{IDLE, SEAL, fits, make, who_key},
};
use crate::{
    clock::Timestamp,
    config::{Durability, SessionConfig},
    crypto::{KeySecrets, Sealer},
    record::{EndReason, RecordForm, SessionEnd},
    store::principals::PrincipalIndex,
};

/// Rows at a time.
const LOT: u64 = 1000;

/// The store, for whoever looks after it.
#[derive(Debug)]
pub struct StoreMaintenance {
    file: DatabaseFile,
    sealer: Sealer,
    keys: RowKeys,
    /// For whoever writes.
    principals: Option<PrincipalIndex>,
    /// What is in it, for whoever writes.
    checksum: RowChecksum,
    path: PathBuf,
    salvaged: Option<SalvageResult>,
    /// What is looked at, where the first page had to be put right; it goes after the database is closed.
    copy: Option<RepairedCopy>,
    /// Let go last; who only looks needs none.
    _lock: Option<FolderLock>,
}

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
pub enum MaintenanceError {
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
    /// What has ended since it was written out may be forgotten.
    #[error(
        "this export is older than the ended sessions that this store remembers: who logged out since could be logged \
         in again; --force reads it in all the same"
    )]
    Stale,
    /// A record cannot be sealed.
    #[error("a record cannot be sealed")]
    Seal,
}

/// What a look through the store found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Sessions that are whole.
    pub sessions: u64,
    /// Rows that do not open.
    pub damaged: u64,
    /// Rows under a key that `[keys]` does not have.
    pub locked: u64,
    /// Ended sessions that are remembered.
    pub ended: u64,
    /// Rows that were set aside before.
    pub aside: u64,
    /// Sessions that are not there and should be, at least.
    pub missing: u64,
    /// Not all ended sessions could be read.
    pub forgets: bool,
    /// The first page was damaged: this was read from a copy in which it was put right.
    pub beginning: bool,
}

impl CheckReport {
    /// All is there, and whole.
    pub fn is_whole(&self) -> bool {
        self.damaged == 0 && self.locked == 0 && self.missing == 0 && !self.forgets && !self.beginning
    }
}

/// What was read in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Sessions that are there now.
    pub sessions: u64,
    /// Sessions that were there already, or had ended here.
    pub left: u64,
    /// Ended sessions that are remembered now.
    pub ended: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum ImportLine {
    Session {
        id: Uuid,
        session: Box<RecordForm>,
    },
    Ended {
        ended: Uuid,
        at: u64,
        /// Absent in those of earlier versions, and where it is not known.
        #[serde(
            default,
            skip_serializing_if = "EndReason::is_unknown",
            deserialize_with = "EndReason::or_unknown"
        )]
        by: EndReason,
    },
    Floor {
        floor: u64,
        /// When it was written out; absent in those of earlier versions.
        #[serde(default)]
        exported: Option<u64>,
    },
}

/// Told how many of how many are done.
pub type ProgressReport<'a> = &'a mut dyn FnMut(u64, u64);

impl StoreMaintenance {
    /// Whether there is a store in this folder.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(NAME).exists()
    }

    /// Opens the store in this folder to be changed. Where there is none, one is made; one that is damaged is salvaged.
    ///
    /// # Errors
    /// See [`OpenError`]: a running cloakroom holds it.
    pub fn open(folder: &Path, secrets: &KeySecrets) -> Result<Self, OpenError> {
        make(folder).map_err(|why| OpenError::Folder { folder: folder.to_owned(), why })?;
        let salvage::OpenedDatabase { file, lock, mut ids, salvaged } =
            salvage::open(folder, Durability::Group, Timestamp::now())?;
        let sealer = Sealer::derive(SEAL, secrets);
        let principals = who_key(&file, &sealer, folder, &mut ids)?;
        let path = folder.join(NAME);
        let keys = RowKeys::open(&file, &sealer)
            .map_err(|error| OpenError::Database { path: folder.join(NAME), error })?;
        let checksum = RowChecksum::of(&ids);
        Ok(Self {
            file,
            sealer,
            keys,
            principals: Some(principals),
            checksum,
            path,
            salvaged,
            copy: None,
            _lock: Some(lock),
        })
    }

    /// Opens the store in this folder as it is, to be looked at; a running cloakroom may go on.
    ///
    /// # Errors
    /// See [`OpenError`]: it is another's. Where it is damaged at its very beginning, a copy is looked at, for which there may
    /// be no room.
    pub fn look(folder: &Path, secrets: &KeySecrets) -> Result<Self, OpenError> {
        let path = folder.join(NAME);
        let (file, copy) = match FolderLock::attempt(folder) {
            // A running cloakroom has it: the database is whole, and is read beside it.
            Err(OpenError::Held(_)) => (DatabaseFile::beside(folder)?, None),
            Err(error) => return Err(error),
            // Nobody changes it meanwhile; whoever starts waits a moment.
            Ok(_lock) => as_it_is(folder)?,
        };
        let sealer = Sealer::derive(SEAL, secrets);
        if !fits(&file, &sealer) {
            return Err(OpenError::Key(path));
        }
        let keys = RowKeys::read(&file, &sealer)
            .map_err(|error| OpenError::Database { path: path.clone(), error })?;
        // Whatever is changed meanwhile, this sees the store as it is now.
        file.run("BEGIN").map_err(|error| OpenError::Database { path: path.clone(), error })?;
        // SQLite takes its snapshot at the first read after BEGIN.
        let _ = RowChecksum::rows_said(&file);
        Ok(Self {
            file,
            sealer,
            keys,
            principals: None,
            checksum: RowChecksum::default(),
            path,
            salvaged: None,
            copy,
            _lock: None,
        })
    }

    /// What had to be saved of a damaged store, if this one was.
    pub fn salvaged(&self) -> Option<&SalvageResult> {
        self.salvaged.as_ref()
    }

    /// Every row that can be read; how many are missing.
    fn each(
        &self,
        progress: ProgressReport<'_>,
        mut visit: impl FnMut(StoredRow) -> Result<(), MaintenanceError>,
    ) -> Result<u64, MaintenanceError> {
        let total = RowChecksum::rows_said(&self.file).unwrap_or(0);
        let mut done = 0;
        let walked = self.file.walk(|stored| {
            done += 1;
            if done % LOT == 0 {
                progress(done, total.max(done));
            }
            visit(stored)
        })?;
        progress(done, total.max(done));
        Ok(walked.missing(total))
    }

    /// Tombstones, as far as they can be read, and the time that stands for those that are gone.
    fn ended(&self) -> (Vec<(u128, SessionEnd)>, bool) {
        let mut tombstones = Vec::new();
        let whole = self.file.tombstones(|id, end| tombstones.push((id, end))).is_ok();
        (tombstones, whole)
    }

    /// Opens every row, and changes nothing.
    ///
    /// # Errors
    /// None at present: what cannot be read is counted.
    pub fn verify(&self, progress: ProgressReport<'_>) -> Result<CheckReport, MaintenanceError> {
        let mut checked = CheckReport { beginning: self.copy.is_some(), ..CheckReport::default() };
        checked.missing = self.each(progress, |stored| {
            match row::open(stored.id, stored.beside, &stored.row, &self.sealer) {
                Some(_) => checked.sessions += 1,
                None if self.keys.are_missing_for(&stored.row) => checked.locked += 1,
                None => checked.damaged += 1,
            }
            Ok(())
        })?;
        let (tombstones, whole) = self.ended();
        checked.ended = tombstones.len() as u64;
        checked.forgets = !whole;
        checked.aside = self.file.aside().unwrap_or(0);
        Ok(checked)
    }

    /// Writes it out, as far as it can be read, and changes nothing; what there was to read.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub fn export(
        &self,
        mut to: impl Write,
        progress: ProgressReport<'_>,
    ) -> Result<CheckReport, MaintenanceError> {
        let mut checked = CheckReport { beginning: self.copy.is_some(), ..CheckReport::default() };
        write(
            &mut to,
            &ImportLine::Floor {
                floor: self.file.meta_number("floor").unwrap_or(0),
                exported: Some(Timestamp::now().0),
            },
        )?;
        checked.missing = self.each(progress, |stored| {
            let Some(record) = row::open(stored.id, stored.beside, &stored.row, &self.sealer) else {
                let count = if self.keys.are_missing_for(&stored.row) {
                    &mut checked.locked
                } else {
                    &mut checked.damaged
                };
                *count += 1;
                return Ok(());
            };
            checked.sessions += 1;
            write(&mut to, &ImportLine::Session { id: record.id, session: Box::new(RecordForm::of(&record)) })
        })?;
        let (tombstones, whole) = self.ended();
        checked.forgets = !whole;
        for (id, SessionEnd { at, by }) in tombstones {
            checked.ended += 1;
            write(&mut to, &ImportLine::Ended { ended: Uuid::from_u128(id), at: at.0, by })?;
        }
        to.flush()?;
        Ok(checked)
    }

    /// Reads lines in. What is there already stays as it is, and what ended here stays ended: an export from before the
    /// oldest tombstone is refused, unless `force`. All or nothing.
    ///
    /// # Errors
    /// A line is none of ours, or the database does not take it.
    pub fn import(
        &self,
        from: impl BufRead,
        rules: &SessionConfig,
        force: bool,
        progress: ProgressReport<'_>,
    ) -> Result<ImportReport, MaintenanceError> {
        self.file.run("BEGIN IMMEDIATE")?;
        let outcome = self.read_in(from, rules, force, progress);
        self.file.run(if outcome.is_ok() { "COMMIT" } else { "ROLLBACK" })?;
        outcome
    }

    /// Back to when it is known here which sessions have ended. In a store from which nobody was served none has.
    fn reach(&self, rules: &SessionConfig) -> Result<Timestamp, MaintenanceError> {
        let (floor, kept) = (self.file.meta_number("floor")?, self.file.meta_number(IDLE)?);
        if kept == 0 && self.file.meta_number("commits")? == 0 {
            return Ok(Timestamp(0));
        }
        let idle = match (rules.plain.idle_timeout.as_millis() as u64, kept) {
            (idle, 0) => idle,
            (idle, kept) => idle.min(kept),
        };
        Ok(Timestamp(Timestamp::now().0.saturating_sub(idle).max(floor)))
    }

    fn read_in(
        &self,
        from: impl BufRead,
        rules: &SessionConfig,
        force: bool,
        progress: ProgressReport<'_>,
    ) -> Result<ImportReport, MaintenanceError> {
        let (reach, mut exported) = (self.reach(rules)?, Timestamp(0));
        let mut imported = ImportReport::default();
        let mut checksum = self.checksum;
        for (number, text) in from.lines().enumerate() {
            let text = text?;
            let line = serde_json::from_str(&text)
                .map_err(|why| MaintenanceError::Line { line: number + 1, why })?;
            match line {
                // SECURITY: a session that was logged out after the export, and whose tombstone is
                // gone by now, would be back.
                ImportLine::Session { .. } if exported < reach && !force => {
                    return Err(MaintenanceError::Stale);
                }
                ImportLine::Session { id, session } => {
                    let id = id.as_u128();
                    // What is here is newer than any export of it.
                    if self.file.get(id)?.is_some() || self.file.ended(id)?.is_some() {
                        imported.left += 1;
                        continue;
                    }
                    let record = row::record(id, *session);
                    let who = self.principals.as_ref().zip(record.principal.as_ref());
                    let who = who.map(|(principals, name)| principals.who((&record.realm, name)));
                    let beside = row::columns(&record, who, rules);
                    let row = row::seal(&record, beside, &self.sealer).ok_or(MaintenanceError::Seal)?;
                    if self.file.put(&StoredRow { id, beside, row })? {
                        checksum.add(id);
                    }
                    imported.sessions += 1;
                }
                ImportLine::Ended { ended, at, by } => {
                    if self.file.remove(ended.as_u128())? {
                        checksum.remove(ended.as_u128());
                    }
                    self.file.add_tombstone(ended.as_u128(), SessionEnd { at: Timestamp(at), by })?;
                    imported.ended += 1;
                }
                ImportLine::Floor { floor, exported: when } => {
                    exported = when.map_or(exported, Timestamp);
                    let own = self.file.meta_number("floor")?;
                    // A new store has none; else the later one holds for both.
                    self.file.set_meta("floor", &own.max(floor).to_be_bytes())?;
                }
            }
            if (number as u64).is_multiple_of(LOT) {
                progress(number as u64, 0);
            }
        }
        // Within the same transaction as the rows, or the next start would find that some are
        // missing.
        checksum.keep(&self.file)?;
        Ok(imported)
    }

    /// Gives room back to the filesystem; bytes before and after.
    ///
    /// # Errors
    /// There is no room for the copy that this takes.
    pub fn compact(&self) -> Result<(u64, u64), MaintenanceError> {
        let checkpoint = || self.file.pragma_alone("wal_checkpoint(TRUNCATE)");
        checkpoint()?;
        let before = std::fs::metadata(&self.path)?.len();
        self.file.run("VACUUM")?;
        checkpoint()?;
        Ok((before, std::fs::metadata(&self.path)?.len()))
    }
}

/// To be looked at; where its first page is damaged, a copy.
fn as_it_is(folder: &Path) -> Result<(DatabaseFile, Option<RepairedCopy>), OpenError> {
    let no = |why| OpenError::Folder { folder: folder.to_owned(), why };
    let verdict = first_page::look(folder).map_err(no)?;
    if verdict != FirstPageDamage::Damaged {
        match DatabaseFile::beside(folder) {
            // A number that changes is wrong.
            Err(error) if verdict == FirstPageDamage::Right && salvage::is_damaged(&error) => {}
            outcome => return Ok((outcome?, None)),
        }
    }
    let copy = RepairedCopy::make(folder).map_err(no)?;
    Ok((DatabaseFile::beside(copy.folder())?, Some(copy)))
}

fn write(to: &mut impl Write, line: &ImportLine) -> Result<(), MaintenanceError> {
    serde_json::to_writer(&mut *to, line).map_err(io::Error::from)?;
    Ok(to.write_all(b"\n")?)
}
