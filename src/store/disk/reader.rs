//! Reads what is on disk and not in memory, on a connection and a thread of its own: a read waits for no sync. What it
//! finds counts only if nothing was written over it meanwhile; what it cannot open, and whatever it comes too late for, is
//! left to the writer.

use std::sync::{Arc, mpsc};

use tokio::sync::oneshot;

use super::{
    file::DatabaseFile,
    live_view::LiveView,
    queue::{ColdAnswer, WriterOrder},
    reconcile::DiskRead,
    row,
};
use crate::crypto::Sealer;

/// How often it reads again before the writer does.
const TRIES: usize = 4;

/// A record that is asked for.
pub(super) type ColdQuestion = (u128, oneshot::Sender<ColdAnswer>);

/// The reader.
pub(super) struct ColdReader {
    pub file: DatabaseFile,
    pub sealer: Arc<Sealer>,
    pub live_view: Arc<LiveView>,
}

impl ColdReader {
    /// Until nobody can ask any more.
    pub(super) fn run(self, questions: &mpsc::Receiver<ColdQuestion>) {
        for (id, answer) in questions {
            match self.read(id) {
                Some(outcome) => drop(answer.send(outcome)),
                None => self.live_view.queue.push(WriterOrder::Read(id, answer)),
            }
        }
    }

    fn read(&self, id: u128) -> Option<ColdAnswer> {
        for _ in 0..TRIES {
            // Before the read: a change that lands between the two shows in the mark, and what was
            // read is thrown away.
            let mark = self.live_view.marks.of(id);
            // Whatever is odd (an error, no row, a row that does not open) is left to the writer,
            // which may judge it and set it aside.
            let stored = self.file.get(id).ok()??;
            let record = row::open(id, stored.beside, &stored.row, &self.sealer)?;
            self.live_view.touches.leave_on(id, &record);
            let read = DiskRead { mark, record: Some(Arc::new(record)) };
            if let Ok(record) = self.live_view.warm(id, &read) {
                return Some(Ok(DiskRead { mark, record }));
            }
        }
        None
    }
}
