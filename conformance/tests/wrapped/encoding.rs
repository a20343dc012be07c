//! Commits as bytes: what is in them one after the other, each with its length before it.

use prophet_store::{Commit, CommitId, Head, MetadataKey, Position, Version, codec};

/// Appends a length and the bytes.
pub(super) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("commits are smaller than that");
    out.extend(len.to_le_bytes());
    out.extend(bytes);
}

/// What `put` appended, from the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = bytes.split_first_chunk()?;
    let (taken, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *bytes = rest;
    Some(taken)
}

pub(super) fn encoded(commit: &Commit) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, commit.id().as_bytes());
    let base = commit.base();
    put(&mut out, &base.version.get().to_le_bytes());
    put(&mut out, &base.position.get().to_le_bytes());
    put(&mut out, base.commit.as_bytes());
    let parts = [
        commit.entries().iter().map(codec::encode_entry).collect::<Vec<_>>(),
        commit.records().values().map(codec::encode_record).collect(),
        commit.resolutions().iter().map(codec::encode_resolution).collect(),
        commit.metadata().iter().map(|(key, value)| pair(key, value.as_deref())).collect(),
    ];
    for part in parts {
        let mut list = Vec::new();
        part.iter().for_each(|item| put(&mut list, item));
        put(&mut out, &list);
    }
    out
}

fn pair(key: &MetadataKey, value: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, key.as_str().as_bytes());
    if let Some(value) = value {
        put(&mut out, value);
    }
    out
}

pub(super) fn decoded(mut bytes: &[u8]) -> Option<Commit> {
    let mut next = || take(&mut bytes);
    let id = CommitId::from_bytes(next()?.try_into().ok()?);
    let base = Head {
        version: Version::new(u64::from_le_bytes(next()?.try_into().ok()?)),
        position: Position::new(u64::from_le_bytes(next()?.try_into().ok()?)),
        commit: CommitId::from_bytes(next()?.try_into().ok()?),
    };
    let [mut entries, mut records, mut resolutions, mut metadata] =
        [next()?, next()?, next()?, next()?];
    let mut commit = Commit::new(id, base);
    while let Some(entry) = take(&mut entries) {
        let position = commit.head().position.next();
        commit = commit.with_entry(codec::decode_entry(position, entry).ok()?).ok()?;
    }
    while let Some(record) = take(&mut records) {
        commit = commit.with_record(codec::decode_record(record).ok()?).ok()?;
    }
    while let Some(resolution) = take(&mut resolutions) {
        commit = commit.with_resolution(codec::decode_resolution(resolution).ok()?).ok()?;
    }
    while let Some(mut pair) = take(&mut metadata) {
        let key = MetadataKey::new(std::str::from_utf8(take(&mut pair)?).ok()?).ok()?;
        commit = commit.with_metadata(key, take(&mut pair).map(<[u8]>::to_vec)).ok()?;
    }
    Some(commit)
}
