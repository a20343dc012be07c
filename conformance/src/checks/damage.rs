//! Stored bytes change, are cut off, go, or change places; or they are not this store's.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;

use prophet_store::{PageLimit, RecordCounts, RecordType, StoreError};

use crate::disaster::{Again as _, Course, cases, chosen, watched};
use crate::failure::{Failure, Outcome, ensure, ensure_eq, ensure_error};
use crate::fixtures::{Model, World};
use crate::scan::{Scan as _, every_scan, walk};
use crate::suite::{Context, apply};
use harnesses::{DamagedPlace, Power, Store};

type Parts = BTreeMap<String, Vec<u8>>;

/// A replica that nobody has open, and its bytes.
struct Ruin {
    place: Arc<dyn DamagedPlace>,
    sound: Parts,
    read_only: bool,
}

/// What is done to it: other bytes for some parts, or none.
type Damage = Vec<(String, Option<Vec<u8>>)>;

/// What may be gone without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// The last commit, which may look as one that was never finished.
    Last,
    /// What is behind a cut, which may look as an earlier end.
    End,
}

/// What damage came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    /// It does no harm that a read meets.
    Nowhere,
    Opening,
    Reading,
}

fn damaged(context: &Context<'_>) -> Outcome<Arc<dyn DamagedPlace>> {
    let place = context.harness().damaged_place();
    place.map(Arc::from).ok_or_else(|| Failure::around("the harness declares damage and has none"))
}

fn parts(place: &dyn DamagedPlace) -> Parts {
    place.parts().into_iter().map(|part| (part.clone(), place.read(&part))).collect()
}

/// The damage was seen.
const fn said(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Corrupt { .. }
            | StoreError::NewerFormat { .. }
            | StoreError::NotAReplica { .. }
            | StoreError::NotFound { .. }
            | StoreError::Closed { .. }
    )
}

impl Ruin {
    async fn of(context: &Context<'_>) -> Outcome<Self> {
        let place = damaged(context)?;
        let store = place.create(World::IDENTITY)?;
        let commits = &Course::get().commits;
        let (first, second) = commits.split_at(commits.len() - 2);
        for commit in first {
            apply(&store, commit).await?;
        }
        store.close().await?;
        drop(store);
        // What the last handle wrote is as it is while a replica is in use.
        let store = place.open()?;
        for commit in second {
            apply(&store, commit).await?;
        }
        drop(store);
        let (sound, read_only) = (parts(&*place), context.has(Power::ReadOnly));
        ensure!(X1, !sound.is_empty(), "a replica is stored in no parts");
        Ok(Self { place, sound, read_only })
    }

    /// Damages it, looks at it, and puts it in order again.
    fn suffer(&self, damage: &Damage, gone: Gone) -> Outcome<Met> {
        let mut met = Met::Nowhere;
        for read_only in [true, false] {
            if read_only && !self.read_only {
                continue;
            }
            self.restore();
            for (part, bytes) in damage {
                self.place.write(part, bytes.as_deref());
                let now = self.place.parts().contains(part).then(|| self.place.read(part));
                if now != *bytes {
                    return Err(Failure::around(format!("the harness did not damage {part}")));
                }
            }
            let place = Arc::clone(&self.place);
            let looked = watched("X1", async move { look(&*place, read_only, gone).await });
            let how = if read_only { "opened for reading" } else { "opened" };
            met = looked.map_err(|failure| failure.found(how).breaks("X1"))?;
        }
        Ok(met)
    }

    fn restore(&self) {
        for part in self.place.parts() {
            if !self.sound.contains_key(&part) {
                self.place.write(&part, None);
            }
        }
        let now = self.place.parts();
        for (part, bytes) in &self.sound {
            if !now.contains(part) || self.place.read(part) != *bytes {
                self.place.write(part, Some(bytes));
            }
        }
    }

    /// Some bytes of each part: the part, the offset, and what is flipped there.
    fn flips(&self, otherwise: usize) -> Vec<(String, Damage)> {
        const WAYS: [u8; 3] = [0x01, 0x80, 0xFF];
        let each = (otherwise / self.sound.len()).max(3);
        let of_part = |(part, bytes): (&String, &Vec<u8>)| {
            let told = places(bytes, &WAYS, cases(each));
            let name = |index: usize| {
                let (at, flip) = told[index];
                format!("byte:{part}:{at}:{flip:02x}")
            };
            let damage = |(index, name): (usize, String)| {
                let (at, flip) = told[index];
                let mut bytes = bytes.clone();
                bytes[at] ^= flip;
                (name, vec![(part.clone(), Some(bytes))])
            };
            chosen(told.len(), each, name).into_iter().map(damage).collect::<Vec<_>>()
        };
        self.sound.iter().flat_map(of_part).collect()
    }

    /// Some parts, each with only the first so many of its bytes.
    fn cuts(&self, otherwise: usize) -> Vec<(String, Damage)> {
        let each = (otherwise / self.sound.len()).max(2);
        let of_part = |(part, bytes): (&String, &Vec<u8>)| {
            let lengths = chosen(bytes.len(), each, |length| format!("cut:{part}:{length}"));
            let cut = |length: usize| vec![(part.clone(), Some(bytes[..length].to_vec()))];
            lengths.into_iter().map(|(length, name)| (name, cut(length))).collect::<Vec<_>>()
        };
        self.sound.iter().flat_map(of_part).collect()
    }

    /// Some parts that are missing.
    fn losses(&self, otherwise: usize) -> Vec<(String, Damage)> {
        let parts: Vec<_> = self.sound.keys().collect();
        let chosen = chosen(parts.len(), otherwise, |index| format!("gone:{}", parts[index]));
        let lost = |(index, name): (usize, String)| (name, vec![(parts[index].clone(), None)]);
        chosen.into_iter().map(lost).collect()
    }

    /// Some parts with the bytes of another, which then has theirs or its own.
    fn exchanges(&self, otherwise: usize) -> Vec<(String, Damage)> {
        let parts: Vec<_> = self.sound.iter().collect();
        let pair = |index: usize| (index / 2 % parts.len(), index / 2 / parts.len());
        let name = |index: usize| {
            let ((one, other), how) = (pair(index), ["copied", "swapped"][index % 2]);
            format!("{how}:{}:{}", parts[one].0, parts[other].0)
        };
        let exchange = |(index, name): (usize, String)| {
            let ((one, own), (other, bytes)) = (parts[pair(index).0], parts[pair(index).1]);
            let mut damage = vec![(one.clone(), Some(bytes.clone()))];
            if index % 2 == 1 && one != other {
                damage.push((other.clone(), Some(own.clone())));
            }
            (name, damage)
        };
        let chosen = chosen(parts.len() * parts.len() * 2, otherwise, name);
        chosen.into_iter().map(exchange).collect()
    }
}

/// Every byte, each way; but if as many as are `wanted` are not within long runs of one byte, those
/// alone, for the others were hardly ever written.
fn places(bytes: &[u8], ways: &[u8], wanted: usize) -> Vec<(usize, u8)> {
    let written = |at: &usize| {
        let near = &bytes[at.saturating_sub(8)..(at + 9).min(bytes.len())];
        near.iter().any(|byte| *byte != near[0])
    };
    let enough = (0..bytes.len()).filter(written).count() * ways.len() >= wanted;
    let all = !enough || std::env::var_os("PROPHET_ONLY").is_some();
    let at = (0..bytes.len()).filter(|at| all || written(at));
    at.flat_map(|at| ways.iter().map(move |way| (at, *way))).collect()
}

/// Opens what is damaged and reads all of it: each read gives what is right, after one number of
/// commits, or says that something is damaged.
async fn look(place: &dyn DamagedPlace, read_only: bool, gone: Gone) -> Outcome<Met> {
    let opened = match read_only {
        true => place.open_read_only(),
        false => Some(place.open()),
    };
    let store = match opened {
        None => return Ok(Met::Nowhere),
        Some(Ok(store)) => store,
        Some(Err(error)) if said(&error) => return Ok(Met::Opening),
        Some(Err(error)) => return Err(Failure::from(error).found("opening what is damaged")),
    };
    let course = Course::get();
    ensure_eq!(X1, store.facts().identity, World::IDENTITY, "whose replica it is");
    // An engine without checksums may go back further, and says so.
    let back = if gone == Gone::Last && !place.hides() { 2 } else { course.models.len() };
    let models = course.models.iter().rev().take(back).collect();
    let mut reading = Reading { store: &store, hides: place.hides(), models, met: false };
    match store.head().await {
        Ok(head) => {
            reading.models.retain(|model| model.head == head);
            ensure!(
                X1,
                !reading.models.is_empty(),
                "{head} is not what was there ({gone:?} may go)"
            );
        }
        Err(error) => reading.failed(error.into())?,
    }
    every_scan!(course.last(), |scan| {
        let came = walk(scan, &store, PageLimit::default(), usize::MAX).await;
        reading.judge(&format!("what {scan:?} finds"), came, |model| scan.expected(model))?;
    });
    reading.batches(course.last()).await?;
    let (met, sound) = (reading.met, verify(&store).await?);
    if met && sound {
        return Err(Failure::new("X3", "a read meets damage that verify does not find".to_owned()));
    }
    Ok(if met { Met::Reading } else { Met::Nowhere })
}

/// Whether it finds nothing.
async fn verify(store: &Store) -> Outcome<bool> {
    match store.verify().await {
        Ok(report) => Ok(report.is_sound()),
        Err(error) if said(&error) => Ok(false),
        Err(error) => Err(Failure::from(error).found("verifying").breaks("X3")),
    }
}

struct Reading<'a> {
    store: &'a Store,
    hides: bool,
    /// What all reads so far agree with.
    models: Vec<&'a Model>,
    /// Whether one of them met damage, or missed something.
    met: bool,
}

impl Reading<'_> {
    fn failed(&mut self, failure: Failure) -> Outcome {
        self.met = true;
        match failure.answer() {
            Some(error) if said(error) => Ok(()),
            _ => Err(failure.found("reading what is damaged")),
        }
    }

    /// What came is what one of the models has, or says that something is damaged.
    fn judge<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        came: Outcome<Vec<T>>,
        expected: impl Fn(&Model) -> Vec<T>,
    ) -> Outcome {
        let came = match came {
            Ok(came) => came,
            Err(failure) => return self.failed(failure),
        };
        let mut left = self.models.clone();
        left.retain(|model| came == expected(model));
        if left.is_empty() && self.hides {
            left.clone_from(&self.models);
            left.retain(|model| {
                let mut expected = expected(model).into_iter();
                came.iter().all(|item| expected.any(|other| other == *item))
            });
            self.met = true;
        }
        let likely = std::mem::replace(&mut self.models, left);
        match (self.models.is_empty(), likely.first()) {
            (true, Some(likely)) => {
                let what = format!("wrong data: {what}");
                Err(Failure::unequal("X1", &what, &expected(likely), &came))
            }
            _ => Ok(()),
        }
    }

    async fn batches(&mut self, all: &Model) -> Outcome {
        // What is absent is left out, so that all is judged alike.
        let (keys, store) = (all.touched(), self.store);
        let read = store.get_records(&keys).await.map_err(Failure::from);
        let came = read.map(|read| read.value.into_iter().flatten().collect());
        let of = |model: &Model| model.records.values().cloned().collect::<Vec<_>>();
        self.judge("what a batch of records finds", came, of)?;

        // A type as often as it was counted, so that what is hidden is judged as it is elsewhere.
        let each = |counts: RecordCounts| -> Vec<RecordType> {
            let counts = counts.into_iter();
            counts.flat_map(|(of, count)| (0..count).map(move |_| of.clone())).collect()
        };
        let read = store.count_records(None).await.map_err(Failure::from);
        let of = |model: &Model| each(model.counts(None));
        self.judge("how many records are counted", read.map(|read| each(read.value)), of)?;

        let digests: Vec<_> = all.log.iter().map(|entry| entry.changeset.digest()).collect();
        let read = store.find_changesets(&digests).await.map_err(Failure::from);
        let came = read.map(|read| read.value.into_iter().flatten().collect());
        let of = |model: &Model| model.log.iter().map(|entry| entry.position).collect::<Vec<_>>();
        self.judge("where changesets are found", came, of)?;

        let keys: Vec<_> = Course::get().models.iter().flat_map(|it| it.metadata.keys()).collect();
        let keys: BTreeSet<_> = keys.into_iter().cloned().collect();
        let keys: Vec<_> = keys.into_iter().collect();
        let read = store.get_metadata(&keys).await.map_err(Failure::from);
        let came = read.map(|read| read.value.into_iter().flatten().collect());
        let of = |model: &Model| model.metadata.values().cloned().collect::<Vec<_>>();
        self.judge("what a batch of metadata finds", came, of)
    }
}

pub(crate) async fn any_byte_may_flip(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    for (name, damage) in ruin.flips(70) {
        unless_x3(ruin.suffer(&damage, Gone::Last)).again(&name)?;
    }
    Ok(())
}

/// What verifying does not find is another check's to say.
fn unless_x3(outcome: Outcome<Met>) -> Outcome {
    match outcome {
        Err(failure) if failure.rule() == Some("X3") => Ok(()),
        outcome => outcome.map(drop),
    }
}

pub(crate) async fn what_reads_meet_verify_finds(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    for (name, damage) in ruin.flips(24) {
        ruin.suffer(&damage, Gone::Last).again(&name)?;
    }
    for (name, damage) in ruin.cuts(16).into_iter().chain(ruin.exchanges(12)) {
        ruin.suffer(&damage, Gone::End).again(&name)?;
    }
    for (name, damage) in ruin.losses(8) {
        ruin.suffer(&damage, Gone::End).again(&name)?;
    }
    Ok(())
}

pub(crate) async fn any_part_may_be_cut_off(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    for (name, damage) in ruin.cuts(50) {
        unless_x3(ruin.suffer(&damage, Gone::End)).again(&name)?;
    }
    Ok(())
}

pub(crate) async fn any_part_may_go(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    for (name, damage) in ruin.losses(20) {
        unless_x3(ruin.suffer(&damage, Gone::End)).again(&name)?;
    }
    Ok(())
}

pub(crate) async fn parts_may_change_places(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    for (name, damage) in ruin.exchanges(40) {
        unless_x3(ruin.suffer(&damage, Gone::End)).again(&name)?;
    }
    Ok(())
}

/// Nothing at the place is other than it was.
fn untouched(place: &dyn DamagedPlace, before: &Parts, what: &str) -> Outcome {
    let after = parts(place);
    let names = |parts: &Parts| parts.keys().cloned().collect::<Vec<_>>();
    ensure_eq!(X2, names(&after), names(before), "what is there after {what}");
    for (part, bytes) in before {
        ensure!(X2, after[part] == *bytes, "{what} changed {part}");
    }
    Ok(())
}

pub(crate) async fn a_newer_format_is_refused_and_left_alone(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    let place = &*ruin.place;
    place.make_newer();
    let before = parts(place);
    ensure!(X2, before != ruin.sound, "the harness made nothing newer");
    for _ in 0..2 {
        ensure_error!(X2, place.open(), StoreError::NewerFormat { .. }, "opening a newer format");
        untouched(place, &before, "opening a newer format")?;
        if let Some(opened) = place.open_read_only() {
            let what = "opening a newer format for reading";
            ensure_error!(X2, opened, StoreError::NewerFormat { .. }, "{what}");
            untouched(place, &before, what)?;
        }
        let created = place.create(World::IDENTITY);
        ensure!(X2, created.is_err(), "something was created over a newer format");
        untouched(place, &before, "creating over a newer format")?;
    }
    Ok(())
}

pub(crate) async fn what_is_no_replica_is_refused_and_left_alone(context: &Context<'_>) -> Outcome {
    let place = damaged(context)?;
    place.put_foreign();
    let before = parts(&*place);
    ensure!(X2, !before.is_empty(), "the harness put nothing there");
    for _ in 0..2 {
        let opened = place.open();
        ensure_error!(X2, opened, StoreError::NotAReplica { .. }, "opening what is no replica");
        untouched(&*place, &before, "opening what is no replica")?;
        if let Some(opened) = place.open_read_only() {
            let what = "opening what is no replica for reading";
            ensure_error!(X2, opened, StoreError::NotAReplica { .. }, "{what}");
            untouched(&*place, &before, what)?;
        }
        let created = place.create(World::IDENTITY);
        let refused = matches!(
            created,
            Err(StoreError::AlreadyExists { .. } | StoreError::NotAReplica { .. })
        );
        ensure!(X2, refused, "creating where something else is: {created:?}");
        untouched(&*place, &before, "creating where something else is")?;
    }
    Ok(())
}

pub(crate) async fn strange_parts_do_no_harm(context: &Context<'_>) -> Outcome {
    let ruin = Ruin::of(context).await?;
    let place = &*ruin.place;
    let mut strange: Parts = BTreeMap::new();
    for (part, bytes) in &ruin.sound {
        let (directory, file) = part.rsplit_once('/').unwrap_or(("", part));
        let beside = |name: &str| match directory {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        strange.insert(beside(&format!("~{file}~")), bytes.clone());
        strange.insert(beside(&format!("old-{file}.bak")), b"something else\0".to_vec());
    }
    for (part, bytes) in &strange {
        place.write(part, Some(bytes));
    }
    let course = Course::get();
    for read_only in [true, false] {
        let opened = if read_only { place.open_read_only() } else { Some(place.open()) };
        let Some(opened) = opened else { continue };
        let found = |failure: Failure| failure.found("with strange parts beside").breaks("X2");
        let store = opened.map_err(Failure::from).map_err(found)?;
        course.last().expect(&store).await.map_err(found)?;
        let report = store.verify().await?;
        ensure!(X2, report.is_sound(), "strange parts are found unsound: {:?}", report.problems);
        if !read_only {
            let mut world = World::new();
            world.model = course.last().clone();
            apply(&store, &world.rival(9).note()).await.map_err(found)?;
            store.close().await?;
        }
    }
    let after = parts(place);
    for (part, bytes) in &strange {
        ensure!(X2, after.get(part) == Some(bytes), "{part} is not this store's, and was touched");
    }
    Ok(())
}
