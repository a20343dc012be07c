//! A bare file.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use prophet_files::line::{CommitEnd, Line, LineWriter};
use prophet_store::{Commit, RecordKey, RecordState, codec};

use crate::floor::{Engine, Floor};

/// A file to which the lines of a commit are appended, and synced: one `write`, one `fdatasync`. A record
/// is read from another file, at a place that is known.
pub fn file() -> Floor {
    Floor::new("a file", |directory: &Path| {
        let open = |name: &str| {
            let mut options = File::options();
            options.read(true).append(true).create(true);
            options.open(directory.join(name)).expect("a file can be opened")
        };
        Lines { log: open("log"), states: open("states"), places: HashMap::new() }
    })
    .opens_at_once()
}

struct Lines {
    log: File,
    states: File,
    /// Where in the states a record is, and how long.
    places: HashMap<RecordKey, (u64, usize)>,
}

impl Engine for Lines {
    type Write = Vec<u8>;

    fn prepare(&mut self, commit: &Commit) -> Vec<u8> {
        let Some(first) = commit.entries().first() else { return Vec::new() };
        let mut writer = LineWriter::new(first.changeset.header().database);
        let mut lines = Vec::new();
        for entry in commit.entries() {
            writer.write(&Line::Entry(entry.clone()), &mut lines);
        }
        writer.write(&Line::Commit(CommitEnd::at(commit.head())), &mut lines);
        lines
    }

    fn write(&mut self, lines: Vec<u8>) {
        self.log.write_all(&lines).expect("a file can be written");
        self.log.sync_data().expect("a file can be synced");
    }

    fn fill(&mut self, commits: &[Commit]) {
        let mut states = Vec::new();
        for commit in commits {
            let lines = self.prepare(commit);
            self.write(lines);
            for (key, state) in commit.records() {
                let bytes = codec::encode_record(state);
                self.places.insert(key.clone(), (states.len() as u64, bytes.len()));
                states.extend(bytes);
            }
        }
        self.states.write_all(&states).expect("a file can be written");
        self.states.sync_data().expect("a file can be synced");
    }

    fn get(&mut self, records: &[RecordKey]) -> Option<Vec<RecordState>> {
        let read = records.iter().map(|record| {
            let (at, length) = self.places.get(record)?;
            let mut bytes = vec![0; *length];
            self.states.read_exact_at(&mut bytes, *at).ok()?;
            codec::decode_record(&bytes).ok()
        });
        read.collect()
    }

    fn scan(&mut self, each: &mut dyn FnMut(&[u8])) -> bool {
        let mut places: Vec<_> = self.places.values().copied().collect();
        places.sort_unstable();
        let length = self.states.metadata().map_or(0, |found| found.len());
        let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
        self.states.read_exact_at(&mut bytes, 0).expect("a file can be read");
        for (at, length) in places {
            let at = usize::try_from(at).unwrap_or_default();
            each(bytes.get(at..at + length).expect("it was written"));
        }
        true
    }
}
