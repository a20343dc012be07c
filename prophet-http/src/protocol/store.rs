//! What a store is asked, and what it answers, but for plain parts.

use prophet_store::{
    Access, Commit, Durability, Facts, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginScan, Predicate, RecordScan, RecordState, Resolution, ResolutionScan,
    Verification,
};

use super::wire::{In, Malformed, Out, Wire};

/// The names of the operations, which are those of the trait, but for the first.
pub(crate) mod operation {
    pub(crate) const FACTS: &str = "facts";
    pub(crate) const HEAD: &str = "head";
    pub(crate) const GET_RECORDS: &str = "get_records";
    pub(crate) const COUNT_RECORDS: &str = "count_records";
    pub(crate) const SCAN_RECORDS: &str = "scan_records";
    pub(crate) const SCAN_LOG: &str = "scan_log";
    pub(crate) const SCAN_HISTORY: &str = "scan_history";
    pub(crate) const SCAN_ORIGIN: &str = "scan_origin";
    pub(crate) const FIND_CHANGESETS: &str = "find_changesets";
    pub(crate) const SCAN_RESOLUTIONS: &str = "scan_resolutions";
    pub(crate) const GET_METADATA: &str = "get_metadata";
    pub(crate) const SCAN_METADATA: &str = "scan_metadata";
    pub(crate) const COMMIT: &str = "commit";
    pub(crate) const VERIFY: &str = "verify";
}

/// What a server says of its store, of which a handle here says the same but for its place, and that
/// anybody may open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) identity: Identity,
    pub(crate) format: u64,
    pub(crate) access: Access,
    pub(crate) durability: Durability,
}

impl Served {
    pub(crate) fn of(facts: &Facts) -> Self {
        let Facts { identity, format, capabilities, .. } = facts;
        let (access, durability) = (capabilities.access, capabilities.durability);
        Self { identity: *identity, format: *format, access, durability }
    }
}

impl Wire for Served {
    fn put(&self, out: &mut Out) {
        self.identity.database.put(out);
        self.identity.replica.put(out);
        out.number(self.format);
        out.byte(u8::from(self.access >= Access::ReadWrite));
        out.byte(match self.durability {
            Durability::PowerLoss => 2,
            Durability::ProcessCrash => 1,
            _ => 0,
        });
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (database, replica) = Wire::take(input)?;
        let format = input.number()?;
        let access = match input.byte()? {
            0 => Access::ReadOnly,
            _ => Access::ReadWrite,
        };
        let durability = match input.byte()? {
            0 => Durability::Volatile,
            1 => Durability::ProcessCrash,
            _ => Durability::PowerLoss,
        };
        Ok(Self { identity: Identity { database, replica }, format, access, durability })
    }
}

/// A hint goes as JSON. One that cannot is left out: it is only a hint.
impl Wire for RecordScan {
    fn put(&self, out: &mut Out) {
        self.record_type.put(out);
        self.after.put(out);
        let hint = self.hint.as_ref().and_then(|hint| serde_json::to_string(hint).ok());
        hint.put(out);
        self.limit.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (record_type, after) = Wire::take(input)?;
        let hint: Option<String> = Wire::take(input)?;
        let hint = hint.map(|hint| serde_json::from_str::<Predicate>(&hint)).transpose();
        let hint = hint.map_err(|error| Malformed::new(format!("in the hint, {error}")))?;
        Ok(Self { record_type, after, hint, limit: Wire::take(input)? })
    }
}

macro_rules! scans {
    ($($type:ident { $($field:ident)* })*) => {$(
        impl Wire for $type {
            fn put(&self, out: &mut Out) {
                $(self.$field.put(out);)*
            }

            fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
                $(let $field = Wire::take(input)?;)*
                Ok(Self { $($field),* })
            }
        }
    )*};
}

scans! {
    LogScan { after direction limit }
    HistoryScan { record after direction limit }
    OriginScan { origin after direction limit }
    ResolutionScan { conflict after limit }
    MetadataScan { prefix after limit }
}

impl Wire for Commit {
    fn put(&self, out: &mut Out) {
        self.id().put(out);
        self.base().put(out);
        out.list(self.entries().iter());
        out.list(self.records().values());
        out.list(self.resolutions().iter());
        out.number(self.metadata().len() as u64);
        for (key, value) in self.metadata() {
            key.put(out);
            value.put(out);
        }
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let refused = |error: &dyn std::error::Error| Malformed::new(error.to_string());
        let (id, base) = Wire::take(input)?;
        let mut commit = Self::new(id, base);
        for entry in input.list::<LogEntry>()? {
            commit = commit.with_entry(entry).map_err(|error| refused(&error))?;
        }
        for state in input.list::<RecordState>()? {
            commit = commit.with_record(state).map_err(|error| refused(&error))?;
        }
        for resolution in input.list::<Resolution>()? {
            commit = commit.with_resolution(resolution).map_err(|error| refused(&error))?;
        }
        for (key, value) in input.list::<(MetadataKey, Option<Vec<u8>>)>()? {
            commit = commit.with_metadata(key, value).map_err(|error| refused(&error))?;
        }
        Ok(commit)
    }
}

impl Wire for Verification {
    fn put(&self, out: &mut Out) {
        for count in [self.entries, self.records, self.resolutions, self.metadata] {
            out.number(count);
        }
        self.problems.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        found.entries = input.number()?;
        found.records = input.number()?;
        found.resolutions = input.number()?;
        found.metadata = input.number()?;
        found.problems = Wire::take(input)?;
        Ok(found)
    }
}
