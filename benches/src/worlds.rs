//! What the benches work on: made when the first of them wants it, and shared by all.

use std::cell::{OnceCell, RefCell};

use futures_lite::future::block_on;
use harnesses::{Harness, Place};
use prophet_store::{Commit, Identity, MemoryStore, Position, PullOptions, RecordKey, Replica};
use tempfile::TempDir;

use crate::content::{self, BATCH, Edits, Script};
use crate::floor::{Bare, Floor};
use crate::sizes::Sizes;
use crate::turns::Other;

/// An open replica, and the place that it is in.
pub(crate) struct Home {
    pub(crate) replica: Replica,
    _place: Box<dyn Place>,
}

/// A bare engine with something in it, and the directory that it is in.
pub(crate) struct Opened {
    pub(crate) other: Other,
    pub(crate) bare: RefCell<Box<dyn Bare>>,
    _directory: TempDir,
}

/// A replica of a few records that single edits go to, and engines that do the same. It grows.
pub(crate) struct Edited {
    pub(crate) home: Home,
    pub(crate) edits: RefCell<Edits>,
    pub(crate) script: RefCell<Script>,
    pub(crate) engines: Vec<Opened>,
}

/// A replica that is only read, and engines with the same in them.
pub(crate) struct Library {
    pub(crate) home: Home,
    pub(crate) records: Vec<RecordKey>,
    /// The one with a long history.
    pub(crate) busiest: RecordKey,
    /// In the middle of that history.
    pub(crate) middle: Position,
    pub(crate) engines: Vec<Opened>,
}

/// A replica of somebody else's, in memory.
pub(crate) struct Foreign {
    pub(crate) replica: Replica,
    /// Its log, in commits as a pull makes them.
    pub(crate) commits: Vec<Commit>,
    pub(crate) bytes: u64,
}

/// Two replicas of which one follows the other. They grow.
pub(crate) struct Pair {
    pub(crate) ahead: Replica,
    pub(crate) records: Vec<RecordKey>,
    pub(crate) behind: Home,
}

/// Two replicas in memory that disagree about every record.
pub(crate) struct Dispute {
    pub(crate) ours: Replica,
    pub(crate) theirs: Replica,
    /// What is before the merge, and the merge.
    pub(crate) commits: Vec<Commit>,
}

pub(crate) struct Worlds<'h> {
    pub(crate) harness: &'h dyn Harness,
    pub(crate) sizes: Sizes,
    pub(crate) floors: &'h [Floor],
    beside: &'h [Floor],
    edited: OnceCell<Edited>,
    library: OnceCell<Library>,
    foreign: OnceCell<Foreign>,
    pair: OnceCell<Pair>,
    dispute: OnceCell<Dispute>,
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory can be made")
}

/// A new replica in memory, of the database of another one or of a new one.
fn in_memory(of: Option<&Replica>) -> Replica {
    block_on(async {
        let identity = of.map_or_else(Identity::new_database, of_database_of);
        let store = MemoryStore::new(identity.expect("there is chance"));
        let replica = Replica::open(store).await.expect("memory opens");
        if let Some(source) = of {
            replica.pull(source, PullOptions::new()).await.expect("memory is pulled from");
        }
        replica
    })
}

/// A new identity in the database of a replica.
pub(crate) fn of_database_of(replica: &Replica) -> std::io::Result<Identity> {
    Identity::new_replica(replica.store().facts().identity.database)
}

impl<'h> Worlds<'h> {
    pub(crate) fn new(
        harness: &'h dyn Harness,
        sizes: Sizes,
        floors: &'h [Floor],
        beside: &'h [Floor],
    ) -> Self {
        let (edited, library, foreign) = (OnceCell::new(), OnceCell::new(), OnceCell::new());
        let (pair, dispute) = (OnceCell::new(), OnceCell::new());
        Self { harness, sizes, floors, beside, edited, library, foreign, pair, dispute }
    }

    /// A new replica in a fresh place.
    pub(crate) fn home(&self, identity: Identity) -> Home {
        let place = self.harness.place();
        let store = place.create(identity).expect("the store makes a replica");
        let opened = block_on(Replica::options().open_shared(store));
        Home { replica: opened.expect("the replica opens"), _place: place }
    }

    /// A new replica, of the database of another, with nothing in it.
    pub(crate) fn empty_home(&self, of: &Replica) -> Home {
        self.home(of_database_of(of).expect("there is chance"))
    }

    /// A new replica with all that another one has.
    pub(crate) fn home_of(&self, source: &Replica) -> Home {
        let home = self.empty_home(source);
        block_on(home.replica.pull(source, PullOptions::new())).expect("the replica pulls");
        home
    }

    /// Every engine, with these commits in it.
    pub(crate) fn engines(&self, commits: &[Commit]) -> Vec<Opened> {
        let floors = self.floors.iter().map(|floor| (floor, true));
        let all = floors.chain(self.beside.iter().map(|floor| (floor, false)));
        let opened = all.map(|(floor, is_floor)| {
            let directory = directory();
            let mut bare = floor.open(directory.path());
            bare.fill(commits);
            let other = Other { name: floor.name().to_owned(), floor: is_floor };
            Opened { other, bare: RefCell::new(bare), _directory: directory }
        });
        opened.collect()
    }

    pub(crate) fn edited(&self) -> &Edited {
        self.edited.get_or_init(|| {
            let home = self.home(Identity::new_database().expect("there is chance"));
            let edits = block_on(Edits::begin(&home.replica, self.sizes.edited));
            let script = Script::new(self.sizes.edited).expect("memory is edited");
            let engines = self.engines(script.before());
            let edits = RefCell::new(edits.expect("the replica is edited"));
            Edited { home, edits, script: RefCell::new(script), engines }
        })
    }

    pub(crate) fn library(&self) -> &Library {
        self.library.get_or_init(|| {
            let source = in_memory(None);
            let records = block_on(async {
                let records = content::create(&source, 0..self.sizes.records).await?;
                let changes = records.iter().take(1).cycle().take(self.sizes.history - 1);
                content::update(&source, changes, 0).await?;
                Ok::<_, prophet_store::Error>(records)
            });
            let records = records.expect("memory is edited");
            let commits = block_on(content::commits(&source, 1_000)).expect("memory is read");
            let middle = self.sizes.records + self.sizes.history / 2;
            Library {
                home: self.home_of(&source),
                busiest: records.first().cloned().expect("there are records"),
                records,
                middle: Position::new(middle as u64),
                engines: self.engines(&commits),
            }
        })
    }

    pub(crate) fn foreign(&self) -> &Foreign {
        self.foreign.get_or_init(|| {
            let replica = in_memory(None);
            block_on(content::fill(&replica, self.sizes.changesets)).expect("memory is edited");
            let commits = block_on(content::commits(&replica, BATCH)).expect("memory is read");
            let bytes = commits.iter().map(content::payload_bytes).sum();
            Foreign { replica, commits, bytes }
        })
    }

    pub(crate) fn pair(&self) -> &Pair {
        self.pair.get_or_init(|| {
            let ahead = in_memory(Some(&self.foreign().replica));
            let records = block_on(content::create(&ahead, 0..self.sizes.few));
            Pair {
                behind: self.home_of(&ahead),
                records: records.expect("memory is edited"),
                ahead,
            }
        })
    }

    pub(crate) fn dispute(&self) -> &Dispute {
        self.dispute.get_or_init(|| {
            let number = self.sizes.conflicts;
            let base = in_memory(None);
            let records = block_on(content::create(&base, 0..number)).expect("memory is edited");
            let [ours, theirs] = [1, 2].map(|side| {
                let replica = in_memory(Some(&base));
                let updated = content::update(&replica, &records, side * number);
                block_on(updated).expect("memory is edited");
                replica
            });
            let merged = in_memory(Some(&ours));
            block_on(merged.pull(&theirs, PullOptions::new())).expect("memory is pulled from");
            let commits = block_on(content::commits(&merged, number)).expect("memory is read");
            Dispute { ours, theirs, commits }
        })
    }
}
