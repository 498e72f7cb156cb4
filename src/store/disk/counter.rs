//! A count of commits, kept beside the database and in it. SQLite takes a damaged write-ahead log for one that ends
//! earlier, without a word; then the database is behind this file, and that can be told.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use crate::crypto::sha256;

const NAME: &str = "commits";
const BYTES: usize = 16;

/// The file.
#[derive(Debug)]
pub(super) struct RollbackCounter(File);

/// What it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CounterReading {
    /// Nothing: it is new.
    New,
    /// So many commits were acknowledged, or one more.
    Count(u64),
    /// What stands there was never written by us.
    Damaged,
}

/// Whether one that we wrote lies in this folder, and counts something.
pub(super) fn is_in(folder: &Path) -> bool {
    let bytes = fs::read(folder.join(NAME)).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.and_then(read).is_some_and(|count| count > 0)
}

impl RollbackCounter {
    pub(super) fn open(folder: &Path) -> io::Result<(Self, CounterReading)> {
        let path = folder.join(NAME);
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut bytes = [0; BYTES];
        let said = match file.read_at(&mut bytes, 0)? {
            // Empty is what a crash between creating and writing it leaves; anything between is a
            // torn write or damage.
            0 => CounterReading::New,
            BYTES => read(bytes).map_or(CounterReading::Damaged, CounterReading::Count),
            _ => CounterReading::Damaged,
        };
        Ok((Self(file), said))
    }

    /// After each commit. Not synced: it may be behind the database, never before it.
    pub(super) fn write(&self, count: u64) -> io::Result<()> {
        self.0.write_all_at(&written(count), 0)
    }
}

fn written(count: u64) -> [u8; BYTES] {
    let count = count.to_be_bytes();
    let mut bytes = [0; BYTES];
    bytes.iter_mut().zip(count.iter().chain(&sha256(&count))).for_each(|(to, from)| *to = *from);
    bytes
}

fn read(bytes: [u8; BYTES]) -> Option<u64> {
    let count = u64::from_be_bytes(*bytes.first_chunk()?);
    (written(count) == bytes).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let bytes = written(77);
        assert_eq!(read(bytes), Some(77));
        for bit in 0..BYTES * 8 {
            let mut bent = bytes;
            bent[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(bent), None, "bit {bit}");
        }
    }
}
