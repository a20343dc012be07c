//! What a bucket holds, and what requests do to it. No faults here, but what the settings say of
//! conditions and listings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use md5::{Digest as _, Md5};
use object_store::path::Path;
use object_store::{Attributes, GetOptions, ObjectMeta};

use crate::bucket::{Conditions, Order};
use crate::fault::{Kind, Refusal};
use crate::rng::{Rng, place_of};

/// Under what condition an object is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    None,
    /// There is no object.
    Absent,
    /// The object has this ETag, or one of these.
    Matches(String),
}

#[derive(Debug, Clone)]
pub(crate) enum Request {
    Put { key: String, bytes: Bytes, attributes: Attributes, condition: Condition },
    Get { key: String, options: GetOptions },
    List(Listing),
    Delete { keys: Vec<String> },
    Copy { from: String, to: String, condition: Condition },
    Begin { key: String, attributes: Attributes },
    Part { key: String, upload: String, number: u64, bytes: Bytes },
    Complete { key: String, upload: String, parts: Vec<(u64, String)>, condition: Condition },
    Abort { key: String, upload: String },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    /// As text: it need not end at a `/`.
    pub(crate) prefix: String,
    pub(crate) delimiter: bool,
    pub(crate) after: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) at_most: Option<usize>,
}

impl Request {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Put { condition: Condition::None, .. } => Kind::Put,
            Self::Put { condition: Condition::Absent, .. } => Kind::Create,
            Self::Put { condition: Condition::Matches(_), .. } => Kind::Update,
            Self::Get { options, .. } if options.head => Kind::Head,
            Self::Get { .. } => Kind::Get,
            Self::List(_) => Kind::List,
            Self::Delete { .. } => Kind::Delete,
            Self::Copy { .. } => Kind::Copy,
            Self::Begin { .. } => Kind::Begin,
            Self::Part { .. } => Kind::Part,
            Self::Complete { .. } => Kind::Complete,
            Self::Abort { .. } => Kind::Abort,
        }
    }

    /// The key that rules go by.
    pub(crate) fn key(&self) -> &str {
        match self {
            Self::Put { key, .. }
            | Self::Get { key, .. }
            | Self::Begin { key, .. }
            | Self::Part { key, .. }
            | Self::Complete { key, .. }
            | Self::Abort { key, .. }
            | Self::Copy { to: key, .. } => key,
            Self::List(listing) => &listing.prefix,
            Self::Delete { keys } => keys.first().map_or("", String::as_str),
        }
    }

    pub(crate) fn named(&self) -> u64 {
        match self {
            Self::List(_) => 0,
            Self::Delete { keys } => size(keys.len()),
            _ => 1,
        }
    }

    pub(crate) fn content(&self) -> u64 {
        match self {
            Self::Put { bytes, .. } | Self::Part { bytes, .. } => size(bytes.len()),
            _ => 0,
        }
    }

    /// The condition of a PUT, or of what else makes an object.
    pub(crate) fn condition(&mut self) -> Option<&mut Condition> {
        match self {
            Self::Put { condition, .. }
            | Self::Copy { condition, .. }
            | Self::Complete { condition, .. }
                if *condition != Condition::None =>
            {
                Some(condition)
            }
            _ => None,
        }
    }
}

/// What an object is found to be.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) meta: ObjectMeta,
    pub(crate) attributes: Attributes,
    pub(crate) range: Range<u64>,
    pub(crate) bytes: Bytes,
    /// The body breaks off after so many bytes.
    pub(crate) cut: Option<usize>,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<ObjectMeta>,
    pub(crate) prefixes: Vec<String>,
    pub(crate) next: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Done,
    /// An object was made, or a part; this is its ETag.
    Made(String),
    Found(Box<Found>),
    Page(Page),
    Upload(String),
}

impl Reply {
    pub(crate) fn listed(&self) -> u64 {
        match self {
            Self::Page(page) => size(page.objects.len().saturating_add(page.prefixes.len())),
            _ => 0,
        }
    }

    pub(crate) fn content(&self) -> u64 {
        match self {
            Self::Found(found) => size(found.bytes.len()),
            _ => 0,
        }
    }
}

fn size(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) bytes: Bytes,
    e_tag: String,
    modified: DateTime<Utc>,
    attributes: Attributes,
}

#[derive(Debug, Clone, Default)]
struct Slot {
    object: Option<Object>,
    /// What was there before the last change, for listings that lag.
    before: Option<Object>,
    changed: u64,
}

#[derive(Debug, Clone)]
struct Upload {
    key: String,
    attributes: Attributes,
    parts: BTreeMap<u64, (Bytes, String)>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    slots: BTreeMap<String, Slot>,
    uploads: BTreeMap<String, Upload>,
    /// How often anything changed.
    changes: u64,
    begun: u64,
    /// What listings show, while they are frozen.
    frozen: Option<BTreeMap<String, Object>>,
}

/// How listings go.
#[derive(Debug)]
pub(crate) struct Manner<'a> {
    pub(crate) seed: u64,
    pub(crate) order: Order,
    pub(crate) page: usize,
    pub(crate) short: bool,
    pub(crate) lag: u64,
    pub(crate) now: DateTime<Utc>,
    pub(crate) rng: &'a mut Rng,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn e_tag(bytes: &[u8]) -> String {
    format!("\"{}\"", hex(&Md5::digest(bytes)))
}

/// Whether one of the ETags of a header is this one.
fn matches(header: &str, e_tag: &str) -> bool {
    header == "*"
        || header.split(',').any(|it| it.trim().trim_matches('"') == e_tag.trim_matches('"'))
}

/// Where an item stands in a listing, and what it is called: the names of items are unique.
type Place = (u64, Vec<String>, String);

fn place(order: Order, seed: u64, name: &str) -> Place {
    match order {
        Order::Bytewise => (0, Vec::new(), name.to_owned()),
        Order::Shuffled => (place_of(seed, name), Vec::new(), name.to_owned()),
        Order::ByFolder => (0, name.split('/').map(str::to_owned).collect(), name.to_owned()),
    }
}

impl State {
    pub(crate) fn object(&self, key: &str) -> Option<&Object> {
        self.slots.get(key)?.object.as_ref()
    }

    pub(crate) fn objects(&self) -> impl Iterator<Item = (&String, &Object)> {
        self.slots.iter().filter_map(|(key, slot)| Some((key, slot.object.as_ref()?)))
    }

    pub(crate) fn freeze(&mut self, frozen: bool) {
        self.frozen = None;
        if frozen {
            self.frozen =
                Some(self.objects().map(|(key, object)| (key.clone(), object.clone())).collect());
        }
    }

    fn set(&mut self, key: &str, object: Option<Object>, lag: u64) {
        self.changes = self.changes.saturating_add(1);
        if lag == 0 && object.is_none() {
            self.slots.remove(key);
            return;
        }
        let slot = self.slots.entry(key.to_owned()).or_default();
        slot.before = std::mem::replace(&mut slot.object, object);
        slot.changed = self.changes;
    }

    pub(crate) fn insert(
        &mut self,
        key: &str,
        bytes: Bytes,
        attributes: Attributes,
        manner: &Manner<'_>,
    ) -> String {
        let e_tag = e_tag(&bytes);
        let object = Object { bytes, e_tag: e_tag.clone(), modified: manner.now, attributes };
        self.set(key, Some(object), manner.lag);
        e_tag
    }

    pub(crate) fn remove(&mut self, key: &str, manner: &Manner<'_>) {
        if self.object(key).is_some() {
            self.set(key, None, manner.lag);
        }
    }

    /// Whether the condition of a request is met as things are.
    pub(crate) fn check(&self, request: &Request, conditions: Conditions) -> Result<(), Refusal> {
        let (key, condition) = match request {
            Request::Put { key, condition, .. }
            | Request::Complete { key, condition, .. }
            | Request::Copy { to: key, condition, .. } => (key, condition),
            _ => return Ok(()),
        };
        if let Request::Copy { from, .. } = request
            && self.object(from).is_none()
        {
            return Err(Refusal::NoSuchKey);
        }
        let there = self.object(key);
        match (condition, conditions) {
            (Condition::None, _) | (_, Conditions::Ignored) => Ok(()),
            (_, Conditions::NotImplemented) => Err(Refusal::NotImplemented),
            (Condition::Absent, _) => match there {
                Some(_) => Err(Refusal::PreconditionFailed),
                None => Ok(()),
            },
            (Condition::Matches(header), _) => match there {
                // As S3 has it; the client makes it a precondition that failed.
                None => Err(Refusal::NoSuchKey),
                Some(object) if matches(header, &object.e_tag) => Ok(()),
                Some(_) => Err(Refusal::PreconditionFailed),
            },
        }
    }

    /// Does what a request asks. Its condition has been checked.
    pub(crate) fn apply(
        &mut self,
        request: &Request,
        manner: &mut Manner<'_>,
    ) -> Result<Reply, Refusal> {
        match request {
            Request::Put { key, bytes, attributes, .. } => {
                Ok(Reply::Made(self.insert(key, bytes.clone(), attributes.clone(), manner)))
            }
            Request::Get { key, options } => self.get(key, options),
            Request::List(listing) => self.list(listing, manner).map(Reply::Page),
            Request::Delete { keys } => {
                for key in keys {
                    self.remove(key, manner);
                }
                Ok(Reply::Done)
            }
            Request::Copy { from, to, .. } => {
                let object = self.object(from).ok_or(Refusal::NoSuchKey)?.clone();
                Ok(Reply::Made(self.insert(to, object.bytes, object.attributes, manner)))
            }
            Request::Begin { key, attributes } => {
                self.begun = self.begun.saturating_add(1);
                let id = format!("upload-{}", self.begun);
                let (key, attributes) = (key.clone(), attributes.clone());
                self.uploads.insert(id.clone(), Upload { key, attributes, parts: BTreeMap::new() });
                Ok(Reply::Upload(id))
            }
            Request::Part { key, upload, number, bytes } => {
                let upload = self.uploads.get_mut(upload).filter(|upload| upload.key == *key);
                let e_tag = e_tag(bytes);
                let parts = &mut upload.ok_or(Refusal::NoSuchUpload)?.parts;
                parts.insert(*number, (bytes.clone(), e_tag.clone()));
                Ok(Reply::Made(e_tag))
            }
            Request::Complete { key, upload, parts, .. } => {
                self.complete(key, upload, parts, manner).map(Reply::Made)
            }
            Request::Abort { key, upload } => match self.uploads.get(upload) {
                Some(known) if known.key == *key => {
                    self.uploads.remove(upload);
                    Ok(Reply::Done)
                }
                _ => Err(Refusal::NoSuchUpload),
            },
        }
    }

    fn get(&self, key: &str, options: &GetOptions) -> Result<Reply, Refusal> {
        let object = self.object(key).ok_or(Refusal::NoSuchKey)?;
        let length = size(object.bytes.len());
        let meta = meta(key, object).ok_or(Refusal::NoSuchKey)?;
        options.check_preconditions(&meta).map_err(|error| match error {
            object_store::Error::NotModified { .. } => Refusal::NotModified,
            _ => Refusal::PreconditionFailed,
        })?;
        let range = match &options.range {
            Some(range) => range.as_range(length).map_err(|_| Refusal::InvalidRange)?,
            None => 0..length,
        };
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
        let bytes = match options.head {
            true => Bytes::new(),
            false => object.bytes.slice(place(range.start)..place(range.end)),
        };
        let attributes = object.attributes.clone();
        Ok(Reply::Found(Box::new(Found { meta, attributes, range, bytes, cut: None })))
    }

    fn complete(
        &mut self,
        key: &str,
        upload: &str,
        parts: &[(u64, String)],
        manner: &Manner<'_>,
    ) -> Result<String, Refusal> {
        let begun = self.uploads.get(upload).filter(|begun| begun.key == key);
        let begun = begun.ok_or(Refusal::NoSuchUpload)?;
        let (mut whole, mut digests, mut last) = (Vec::new(), Vec::new(), 0);
        for (number, e_tag) in parts {
            let known = begun.parts.get(number).filter(|(_, known)| matches(e_tag, known));
            let (bytes, _) = known.filter(|_| *number > last).ok_or(Refusal::InvalidPart)?;
            last = *number;
            whole.extend_from_slice(bytes);
            digests.extend_from_slice(&Md5::digest(bytes));
        }
        if parts.is_empty() {
            return Err(Refusal::InvalidPart);
        }
        let e_tag = format!("\"{}-{}\"", hex(&Md5::digest(&digests)), parts.len());
        let object = Object {
            bytes: whole.into(),
            e_tag: e_tag.clone(),
            modified: manner.now,
            attributes: begun.attributes.clone(),
        };
        self.uploads.remove(upload);
        self.set(key, Some(object), manner.lag);
        Ok(e_tag)
    }

    fn list(&self, listing: &Listing, manner: &mut Manner<'_>) -> Result<Page, Refusal> {
        let look = manner.rng.next();
        let at = |text: &str| place(manner.order, manner.seed, text);
        // The first character says whether anything was listed: a page may be empty.
        let passed = match listing.token.as_deref().map(|token| token.split_at_checked(1)) {
            None | Some(Some(("0", _))) => None,
            Some(Some(("1", name))) => Some(at(name)),
            Some(_) => return Err(Refusal::NotImplemented),
        };
        let from = |map_key: &str| map_key.starts_with(&listing.prefix);
        let mut items: Vec<(Place, Option<ObjectMeta>)> = Vec::new();
        let mut folders = BTreeSet::new();
        let mut add = |key: &str, object: &Object| {
            if listing.after.as_deref().is_some_and(|after| key <= after) {
                return;
            }
            let rest = key.get(listing.prefix.len()..).unwrap_or_default();
            let folder = rest.split_once('/').filter(|_| listing.delimiter);
            let (name, meta) = match folder {
                Some((folder, _)) => (format!("{}{folder}/", listing.prefix), None),
                None => (key.to_owned(), meta(key, object)),
            };
            let place = at(&name);
            if passed.as_ref().is_some_and(|passed| place <= *passed)
                || (meta.is_none() && !folders.insert(name))
            {
                return;
            }
            items.push((place, meta));
        };
        match &self.frozen {
            Some(frozen) => {
                let range = frozen.range(listing.prefix.clone()..);
                range.take_while(|it| from(it.0)).for_each(|(key, object)| add(key, object));
            }
            None => {
                let range = self.slots.range(listing.prefix.clone()..);
                for (key, slot) in range.take_while(|it| from(it.0)) {
                    let fresh = self.changes.saturating_sub(slot.changed) < manner.lag;
                    let shown = match fresh && place_of(look, key) & 1 == 0 {
                        true => &slot.before,
                        false => &slot.object,
                    };
                    if let Some(object) = shown {
                        add(key, object);
                    }
                }
            }
        }
        let page = listing.at_most.unwrap_or(usize::MAX).min(manner.page);
        let page = match manner.short {
            // Now and then nothing at all.
            true if manner.rng.up_to(7) == 0 => 0,
            true => {
                let drawn = manner.rng.up_to(size(page).saturating_sub(1)).saturating_add(1);
                usize::try_from(drawn).unwrap_or(page)
            }
            false => page,
        };
        let more = items.len() > page;
        if more && page > 0 {
            items.select_nth_unstable_by(page, |one, other| one.0.cmp(&other.0));
        }
        items.truncate(page);
        items.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let last = items.last().map(|((_, _, name), _)| format!("1{name}"));
        let next = last.or_else(|| listing.token.clone()).unwrap_or_else(|| "0".to_owned());
        let mut shown = Page { next: more.then_some(next), ..Page::default() };
        for ((_, _, name), meta) in items {
            match meta {
                Some(meta) => shown.objects.push(meta),
                None => shown.prefixes.push(name),
            }
        }
        Ok(shown)
    }
}

fn meta(key: &str, object: &Object) -> Option<ObjectMeta> {
    Some(ObjectMeta {
        location: Path::parse(key).ok()?,
        last_modified: object.modified,
        size: size(object.bytes.len()),
        e_tag: Some(object.e_tag.clone()),
        version: None,
    })
}

/// The time of the world at this virtual time, in whole seconds, as headers have it.
pub(crate) fn date(now: std::time::Duration) -> DateTime<Utc> {
    // 2026-01-01.
    let seconds = TimeDelta::seconds(i64::try_from(now.as_secs()).unwrap_or(0));
    let start = DateTime::from_timestamp(1_767_225_600, 0).unwrap_or_default();
    start.checked_add_signed(seconds).unwrap_or(start)
}
