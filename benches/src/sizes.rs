//! How much of everything there is.

/// How much of everything there is. The names of the benches have the usual sizes in them; what only
/// has to run, and not to be measured, is small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "numbers to read")]
pub struct Sizes {
    /// Records that single edits go to.
    pub edited: usize,
    /// Records that are read, found and streamed, each made by a changeset of its own.
    pub records: usize,
    /// How often one of them was changed.
    pub history: usize,
    /// Foreign changesets that are integrated, published, cloned and opened.
    pub changesets: usize,
    /// Changesets in a pull of a few.
    pub few: usize,
    /// Records that two replicas disagree about.
    pub conflicts: usize,
    /// Edits before a crash.
    pub before_crash: usize,
}

impl Sizes {
    /// Those in the names of the benches.
    pub const USUAL: Self = Self {
        edited: 1_000,
        records: 10_000,
        history: 1_000,
        changesets: 10_000,
        few: 100,
        conflicts: 1_000,
        before_crash: 100,
    };
    /// Those of `cargo bench -- --test`, which runs everything once.
    pub const SMALL: Self = Self {
        edited: 100,
        records: 200,
        history: 20,
        changesets: 200,
        few: 10,
        conflicts: 20,
        before_crash: 10,
    };
}
