//! How the store starts: the folder, the database, the keys; then every id is known, and it is ready. The records
//! themselves are read in the background.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    DiskStore, DiskThreads,
    background::DiskWorker,
    counter::{CounterReading, RollbackCounter},
    file::{DatabaseFile, OpenError, PAGE},
    keys::RowKeys,
    live_view::LiveView,
    reader::ColdReader,
    row::{self, RowColumns},
    row_checksum::RowChecksum,
    salvage::{self, RowIds},
    writer::{CHECKPOINT, DiskWriter},
};
use crate::{
    clock::{self, Timestamp},
    config::{Durability, SessionConfig},
    crypto::{self, KeySecrets, Sealer},
    store::{principals::PrincipalIndex, tombstones::TombstoneSet},
    tasks,
};

/// What the store must know.
#[derive(Debug)]
pub struct DiskSettings<'a> {
    /// The state directory.
    pub folder: &'a Path,
    /// When a change counts as kept.
    pub durability: Durability,
    /// How long it may take until it is kept.
    pub commit_timeout: Duration,
    /// Of memory, in bytes.
    pub max_bytes: u64,
    /// Of the database, in bytes.
    pub max_disk_bytes: Option<u64>,
    /// Rows are sealed under these.
    pub secrets: &'a KeySecrets,
    /// `[session]`
    pub rules: &'a SessionConfig,
    /// Now.
    pub now: Timestamp,
}

/// The label under which the key that seals rows is derived from `[keys]`.
pub(in crate::store) const SEAL: &str = "disk store";
/// How long tombstones were kept by those who had the store before, in milliseconds.
pub(super) const IDLE: &str = "idle";
/// Where the key that principals are hashed under is kept, sealed; twice, so that a damaged one is no loss.
const WHO: [&str; 2] = ["who", "who copy"];

impl DiskStore {
    /// Opens the store, or makes it. `died` is called if its thread ends without having been told to.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        settings: &DiskSettings<'_>,
        died: impl FnOnce() + Send + 'static,
    ) -> Result<Self, OpenError> {
        let folder = settings.folder;
        make(folder).map_err(|why| OpenError::Folder { folder: folder.to_owned(), why })?;
        let began = clock::instant();
        let opened = salvage::open(folder, settings.durability, settings.now)?;
        let (file, lock, mut ids) = (opened.file, opened.lock, opened.ids);
        let no = |error| OpenError::Database { path: folder.join(super::file::NAME), error };
        let sealer = Arc::new(Sealer::derive(SEAL, settings.secrets));
        if let Some(most) = settings.max_disk_bytes {
            file.pragma("max_page_count", &(most / PAGE).to_string()).map_err(no)?;
        }
        let keys = RowKeys::open(&file, &sealer).map_err(no)?;
        // The key of principals also proves that `[keys]` fits this store, before any row is looked
        // at or set aside.
        let who = who_key(&file, &sealer, folder, &mut ids)?;
        let (counter, said) = RollbackCounter::open(folder)
            .map_err(|why| OpenError::Folder { folder: folder.to_owned(), why })?;
        let commits = file.meta_number("commits").map_err(no)?;
        // Only told: which sessions the lost commits held, nobody knows, and to refuse a start
        // would log everybody out.
        compare(commits, said);
        let checksum = RowChecksum::of(&ids);
        let floor = floor_by_checksum(&file, &checksum, settings).map_err(no)?;
        let ended = TombstoneSet::new(settings.max_bytes / 16, settings.rules, floor);
        let live_view = Arc::new(LiveView::new(settings.max_bytes, settings.rules, who, ended));
        read(&file, &ids, &live_view).map_err(no)?;
        drop(ids);
        let sessions = live_view.known.len();
        tracing::info!(sessions, commits, took = ?began.elapsed(), "the store is open");
        let beside = if lock.leaves_readers() { Some(DatabaseFile::beside(folder)?) } else { None };
        let reader = beside.map(|file| ColdReader {
            file,
            sealer: Arc::clone(&sealer),
            live_view: Arc::clone(&live_view),
        });
        let mut writer = DiskWriter {
            file,
            sealer,
            keys,
            live_view: Arc::clone(&live_view),
            durability: settings.durability,
            max_bytes: settings.max_disk_bytes,
            counter,
            commits,
            checksum,
            floor,
            background: DiskWorker::warm(),
            failing: None,
            changed: Vec::new(),
            checkpoint_at: CHECKPOINT,
            _lock: lock,
        };
        writer.measure();
        let threads = start_threads(reader, writer, died).map_err(OpenError::Thread)?;
        Ok(Self { live_view, commit_timeout: settings.commit_timeout, threads: Mutex::new(threads) })
    }
}

/// Compares the ids with what was written of them, and says from when on tickets without a record are taken.
fn floor_by_checksum(
    file: &DatabaseFile,
    checksum: &RowChecksum,
    settings: &DiskSettings<'_>,
) -> rusqlite::Result<Timestamp> {
    let differs = checksum.differs(file)?;
    let doubted = differs == Some(true);
    if doubted {
        tracing::error!(
            "a session id on disk was altered: one session is lost; visitors without stored data get new sessions"
        );
    }
    let floor = floor(file, settings, doubted)?;
    if differs != Some(false) {
        checksum.keep(file)?;
    }
    Ok(floor)
}

/// The threads that hold the database; `died` is called if the writer's ends without having been told to.
fn start_threads(
    reader: Option<ColdReader>,
    writer: DiskWriter,
    died: impl FnOnce() + Send + 'static,
) -> io::Result<DiskThreads> {
    let mut threads = DiskThreads::default();
    if let Some(reader) = reader {
        let (questions, asked) = mpsc::channel();
        threads.reader = Some(tasks::thread("store reader", move || reader.run(&asked))?);
        threads.questions = Some(questions);
    }
    // A writer that panics must not leave a process that serves and keeps nothing: the guard ends
    // it, and systemd restarts it.
    let guard = ThreadEndGuard(Some(died));
    threads.writer = Some(tasks::thread("store", move || {
        let mut guard = guard;
        writer.run();
        guard.0 = None;
    })?);
    Ok(threads)
}

/// Tells that the thread ended, unless it was told to.
struct ThreadEndGuard<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for ThreadEndGuard<F> {
    fn drop(&mut self) {
        if let Some(died) = self.0.take() {
            died();
        }
    }
}

/// For this user alone.
pub(super) fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let probe: PathBuf = folder.join(".writable");
    match fs::write(&probe, b"") {
        Ok(()) => fs::remove_file(&probe),
        // What is there can be read all the same.
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Ok(()),
        Err(error) => Err(error),
    }
}

/// The random key that principals are hashed under. It is sealed itself, and tells whether `[keys]` fits the store.
pub(super) fn who_key(
    file: &DatabaseFile,
    sealer: &Sealer,
    folder: &Path,
    ids: &mut RowIds,
) -> Result<PrincipalIndex, OpenError> {
    let path = folder.join(super::file::NAME);
    let no = |error| OpenError::Database { path: path.clone(), error };
    let mut copies = Vec::new();
    for name in WHO {
        copies.push(file.meta(name).map_err(no)?);
    }
    let opened = copies.iter().flatten().find_map(|sealed| sealer.open(b"who", sealed));
    if let Some(opened) = &opened
        && let Ok(key) = opened.bytes.as_slice().try_into()
    {
        if !opened.current {
            // The key that it was sealed under may be gone at the next start.
            keep_who(file, sealer, key).map_err(no)?;
        }
        return Ok(PrincipalIndex::new(key));
    }
    // Neither the key nor any row opens: this is another's `[keys]`, and no damage. Nothing is
    // written.
    if copies.iter().any(Option::is_some) && !any_row_opens(file, sealer).map_err(no)? {
        return Err(OpenError::Key(path));
    }
    let key: [u8; 32] = crypto::random();
    keep_who(file, sealer, &key).map_err(no)?;
    let who = PrincipalIndex::new(&key);
    if copies.iter().any(Option::is_some) {
        tracing::error!("the key of principals in the store was damaged: all are hashed anew");
        rehash(file, sealer, &who).map_err(no)?;
        *ids = file.scan().map_err(no)?;
    }
    Ok(who)
}

/// Whether `[keys]` has the key that the store is sealed under, as far as that can be told.
pub(super) fn fits(file: &DatabaseFile, sealer: &Sealer) -> bool {
    let copies: Vec<_> = WHO.iter().filter_map(|name| file.meta(name).ok().flatten()).collect();
    copies.is_empty()
        || copies.iter().any(|sealed| sealer.open(b"who", sealed).is_some())
        || any_row_opens(file, sealer).unwrap_or(true)
}

fn keep_who(file: &DatabaseFile, sealer: &Sealer, key: &[u8; 32]) -> rusqlite::Result<()> {
    // Sealing fails only where the library does; then the next start finds none, and makes another.
    let sealed = sealer.seal(b"who", key).unwrap_or_default();
    WHO.iter().try_for_each(|name| file.set_meta(name, &sealed))
}

fn any_row_opens(file: &DatabaseFile, sealer: &Sealer) -> rusqlite::Result<bool> {
    let rows = file.after(None, 100)?;
    Ok(rows.iter().any(|s| row::open(s.id, s.beside, &s.row, sealer).is_some()))
}

/// Writes every row anew, with its principal under another key.
fn rehash(file: &DatabaseFile, sealer: &Sealer, who: &PrincipalIndex) -> rusqlite::Result<()> {
    let mut after = None;
    loop {
        let rows = file.after(after, 1000)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.id);
        file.run("BEGIN IMMEDIATE")?;
        for mut stored in rows {
            let Some(record) = row::open(stored.id, stored.beside, &stored.row, sealer) else { continue };
            stored.beside.who = record.principal.as_ref().map(|name| who.who((&record.realm, name)));
            if let Some(row) = row::seal(&record, stored.beside, sealer) {
                stored.row = row;
                file.put(&stored)?;
            }
        }
        file.run("COMMIT")?;
    }
}

/// No ticket without a record that was stamped before is taken; none at all from before now where a lost session may have
/// spent any of them.
fn floor(file: &DatabaseFile, settings: &DiskSettings<'_>, doubted: bool) -> rusqlite::Result<Timestamp> {
    let idle = settings.rules.plain.idle_timeout.as_millis() as u64;
    let (before, kept) = (file.meta_number("floor")?, file.meta_number(IDLE)?);
    let floor = match before {
        _ if doubted => after(settings.now).0.max(before),
        // A new store: tickets from before its birth are of a store that is gone.
        0 => settings.now.0,
        // Whoever ended longer ago than the shorter idle time may be forgotten already.
        floor if (1..idle).contains(&kept) => floor.max(settings.now.0.saturating_sub(kept)),
        floor => floor,
    };
    if floor != before {
        file.set_meta("floor", &floor.to_be_bytes())?;
    }
    if kept != idle {
        file.set_meta(IDLE, &idle.to_be_bytes())?;
    }
    Ok(Timestamp(floor))
}

/// Tickets are stamped in seconds: the first that none of now has.
pub(super) fn after(now: Timestamp) -> Timestamp {
    Timestamp::from_seconds(now.seconds().saturating_add(1))
}

/// Whether the database holds all that was acknowledged.
fn compare(commits: u64, said: CounterReading) {
    match said {
        CounterReading::Count(count) if count > commits => tracing::error!(
            lost = count - commits,
            "the database is behind: its write-ahead log was cut or damaged, and the last commits are lost"
        ),
        CounterReading::Damaged => {
            tracing::error!("the commit counter is damaged: lost commits cannot be detected at this start");
        }
        CounterReading::New if commits > 0 => {
            tracing::warn!("the commit counter is missing: lost commits cannot be detected at this start");
        }
        CounterReading::New | CounterReading::Count(_) => {}
    }
}

/// Every id, and whose it is; the tombstones.
fn read(file: &DatabaseFile, ids: &RowIds, live_view: &LiveView) -> rusqlite::Result<()> {
    file.tombstones(|id, end| live_view.ended.add(id, end))?;
    live_view.known.fill(ids.iter().map(|(id, _)| *id));
    let person = |(id, beside): &(u128, RowColumns)| Some((beside.since, beside.who?, *id));
    let mut people: Vec<_> = ids.iter().filter_map(person).collect();
    // By the time of their logins, so that "oldest login first" holds after a restart.
    people.sort_unstable();
    live_view.principals.reserve(people.len());
    for (_, who, id) in people {
        live_view.principals.join(who, id);
    }
    Ok(())
}
