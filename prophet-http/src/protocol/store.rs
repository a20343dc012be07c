//! What a store is asked, and what it answers, but for plain parts.

use prophet_store::{
    Access, Commit, Durability, Facts, HistoryScan, Identity, LogEntry, LogScan, MetadataKey,
    MetadataScan, OriginScan, Predicate, RecordScan, RecordState, Resolution, ResolutionScan,
    Verification,
};

use super::wire::{In, Malformed, Out, Wire};

/// No page holds much more than so many bytes, whatever is asked for.
pub(crate) const PAGE_BYTES: usize = 16 << 20;

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

/// No hint is longer, and none has more conditions: a server tests each on every record, and compiles the
/// patterns in it before that.
const HINT_BYTES: usize = 64 << 10;
const HINT_CONDITIONS: usize = 32;

/// A hint as JSON. One that cannot be, or is too long, is left out: it is only a hint.
fn hint_of(hint: &Predicate) -> Option<String> {
    let text = serde_json::to_string(hint).ok();
    text.filter(|text| text.len() <= HINT_BYTES && conditions(hint) <= HINT_CONDITIONS)
}

/// The hint that this is, unless it is too long.
fn hint_from(text: &str) -> Result<Option<Predicate>, Malformed> {
    if text.len() > HINT_BYTES {
        return Ok(None);
    }
    let malformed = |error| Malformed::new(format!("in the hint, {error}"));
    // Before any pattern in it is compiled.
    let json: serde_json::Value = serde_json::from_str(text).map_err(malformed)?;
    if named(&json, "matches") > HINT_CONDITIONS {
        return Ok(None);
    }
    let hint = serde_json::from_str(text).map_err(malformed)?;
    Ok(Some(hint).filter(|hint| conditions(hint) <= HINT_CONDITIONS))
}

/// How many members have this name, however deep.
fn named(json: &serde_json::Value, name: &str) -> usize {
    match json {
        serde_json::Value::Array(items) => items.iter().map(|item| named(item, name)).sum(),
        serde_json::Value::Object(members) => {
            let each = members.iter();
            each.map(|(key, value)| usize::from(key == name) + named(value, name)).sum()
        }
        _ => 0,
    }
}

/// How many conditions there are in one.
fn conditions(of: &Predicate) -> usize {
    match of {
        Predicate::And(all) | Predicate::Or(all) => all.iter().map(conditions).sum(),
        Predicate::Not(one) => conditions(one),
        _ => 1,
    }
}

impl Wire for RecordScan {
    fn put(&self, out: &mut Out) {
        self.record_type.put(out);
        self.after.put(out);
        self.hint.as_ref().and_then(hint_of).put(out);
        self.limit.put(out);
    }

    fn take(input: &mut In<'_>) -> Result<Self, Malformed> {
        let (record_type, after) = Wire::take(input)?;
        let hint: Option<String> = Wire::take(input)?;
        let hint = hint.map_or(Ok(None), |hint| hint_from(&hint))?;
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

#[cfg(test)]
mod tests {
    use prophet_store::PageLimit;

    use super::super::wire::{decode, encode};
    use super::*;

    /// The hint that comes of one that is written so, at the server and at the client.
    fn hinted(json: &str) -> (Option<Predicate>, Option<Predicate>) {
        let parts = (None::<prophet_store::RecordType>, None::<prophet_store::RecordKey>);
        let bytes = encode(&(parts, (Some(json.to_owned()), PageLimit::default())));
        let came: RecordScan = decode(&bytes).unwrap();
        let hint = Some(serde_json::from_str(json).unwrap());
        let asked = encode(&RecordScan { hint, ..RecordScan::default() });
        (came.hint, decode::<RecordScan>(&asked).unwrap().hint)
    }

    #[test]
    fn a_hint_that_is_too_long_is_no_hint() {
        let one = r#"{"matches":{"property":"title","pattern":"x"}}"#;
        let many = |count: usize, member: &str| {
            let all = vec![one.replace("matches", member); count].join(",");
            format!(r#"{{"and":[{{"not":{{"or":[{all}]}}}}]}}"#)
        };
        let text = |length: usize| {
            let prefix = "x".repeat(length);
            format!(r#"{{"starts_with":{{"property":"title","prefix":"{prefix}"}}}}"#)
        };
        let heeded = |json: &str| {
            let (at_the_server, at_the_client) = hinted(json);
            assert_eq!(at_the_server, at_the_client);
            at_the_server.is_some()
        };
        assert!(heeded(one));
        assert!(heeded(&many(32, "matches")));
        assert!(!heeded(&many(33, "matches")));
        assert!(!heeded(&many(33, r"m\u0061tches")));
        assert!(heeded(&text(1_000)));
        assert!(!heeded(&text(HINT_BYTES)));
        let exists = vec![r#"{"exists":"title"}"#; 33].join(",");
        assert!(!heeded(&format!(r#"{{"and":[{exists}]}}"#)));
        // What is too much is not even compiled.
        let broken = vec![r#"{"matches":{"property":"title","pattern":"("}}"#; 33].join(",");
        assert_eq!(hint_from(&format!(r#"{{"or":[{broken}]}}"#)), Ok(None));
        assert!(hint_from(r#"{"matches":{"property":"title","pattern":"("}}"#).is_err());
    }
}
