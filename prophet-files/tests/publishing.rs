//! Publishing to a tree, and pulling from it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]
#![allow(clippy::indexing_slicing, reason = "a test stops at the first surprise")]

mod support;

use std::sync::atomic::Ordering;

use futures_lite::StreamExt as _;
use futures_lite::future::block_on;
use prophet_files::line::{Line, LineReader};
use prophet_files::manifest::{MANIFEST, Manifest};
use prophet_files::*;
use prophet_store::*;
use support::{Files, assert_sound, create, digests, other, pull, replica, replica_of, title};

async fn put(replica: &Replica, tree: &dyn Tree) -> PublishReport {
    publish(replica, tree, PublishOptions::new()).await.unwrap()
}

async fn manifest(tree: &Files) -> Manifest {
    Manifest::decode(&tree.files.lock().unwrap()[MANIFEST]).unwrap()
}

#[test]
fn a_clone_of_a_tree_is_the_replica_and_nothing_new_is_one_conditional_request() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 300).await;
        let report = put(&ada, &tree).await;
        assert_eq!((report.changesets, report.segments), (300, 1));
        let source = PublishedSource::open(&tree).await.unwrap();
        let identity = Identity::new_replica(source.manifest().identity.database).unwrap();
        let bob = Replica::clone_of(MemoryStore::new(identity), &source).await.unwrap();
        assert_eq!(digests(&bob).await, digests(&ada).await);
        assert_sound(&bob).await;
        tree.asked();
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (0, 0));
        let [asked] = tree.asked().try_into().unwrap();
        assert!(asked.name == MANIFEST && asked.unless.is_some() && !asked.fresh);
        let written = tree.written.lock().unwrap().len();
        let report = put(&ada, &tree).await;
        assert_eq!((report.changesets, report.segments, report.bytes), (0, 0, 0));
        assert_eq!(tree.written.lock().unwrap().len(), written);
    });
}

#[test]
fn who_lacks_little_fetches_the_last_frames_only() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 2_000).await;
        let bob = other(&ada).await;
        pull(&bob, &ada).await;
        create(&ada, 50).await;
        put(&ada, &tree).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        tree.asked();
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (50, 0));
        let asked = tree.asked();
        assert_eq!(asked.len(), 2, "{asked:?}");
        let range = asked[1].range.clone().unwrap();
        assert!(range.end - range.start < manifest(&tree).await.segments[0].bytes / 10);
    });
}

#[test]
fn many_small_publications_leave_few_segments_and_write_little() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        let source_of = || PublishedSource::open(&tree);
        let bob = other(&ada).await;
        let mut most = 0;
        for round in 0..400 {
            create(&ada, 1).await;
            put(&ada, &tree).await;
            most = most.max(manifest(&tree).await.segments.len());
            if round % 7 == 0 {
                pull(&bob, &source_of().await.unwrap()).await;
            }
        }
        assert!(most <= 6, "{most} segments");
        let manifest = manifest(&tree).await;
        let kept: u64 = manifest.segments.iter().map(|segment| segment.bytes).sum();
        let written: usize = {
            let written = tree.written.lock().unwrap();
            written.iter().filter(|(name, _)| name != MANIFEST).map(|(_, bytes)| bytes).sum()
        };
        let factor = written as u64 / kept;
        assert!(factor <= 30, "written {factor} times");
        let files = manifest.segments.len() + manifest.retired.len() + 1;
        assert_eq!(tree.names().len(), files, "nothing else is left");
        pull(&bob, &source_of().await.unwrap()).await;
        assert_eq!(digests(&bob).await, digests(&ada).await);
    });
}

#[test]
fn publishing_that_fails_at_any_write_leaves_what_was_there() {
    block_on(async {
        let ada = replica().await;
        let tree = Files::new();
        for count in [40, 5, 30] {
            create(&ada, count).await;
            put(&ada, &tree).await;
        }
        let before = digests(&ada).await;
        create(&ada, 7_000).await;
        let mut failed = 0;
        loop {
            let tree = tree.copied();
            tree.left.store(failed, Ordering::SeqCst);
            let published = publish(&ada, &tree, PublishOptions::new()).await;
            let bob = other(&ada).await;
            pull(&bob, &PublishedSource::open(&tree).await.unwrap()).await;
            let (got, all) = (digests(&bob).await, digests(&ada).await);
            match published {
                Ok(_) => assert_eq!(got, all),
                Err(error) => {
                    assert_eq!(got, before, "{error}");
                    // And the next one completes.
                    tree.left.store(usize::MAX, Ordering::SeqCst);
                    put(&ada, &tree).await;
                    pull(&bob, &PublishedSource::open(&tree).await.unwrap()).await;
                    assert_eq!(digests(&bob).await, all);
                }
            }
            if tree.left.load(Ordering::SeqCst) > 0 && failed > 4 {
                break;
            }
            failed += 1;
        }
        assert!(failed > 3);
    });
}

#[test]
fn a_tree_of_another_replica_is_left_alone_unless_it_is_to_be_replaced() {
    block_on(async {
        let (ada, eve, tree) = (replica().await, replica().await, Files::new());
        create(&ada, 3).await;
        create(&eve, 2).await;
        put(&ada, &tree).await;
        let bob = other(&ada).await;
        for stranger in [&eve, &bob] {
            let error = publish(stranger, &tree, PublishOptions::new()).await.unwrap_err();
            let message = error.to_string();
            for id in [&ada, stranger].map(|it| it.store().facts().identity) {
                assert!(message.contains(&id.database.to_string()), "{message}");
                assert!(message.contains(&id.replica.to_string()), "{message}");
            }
        }
        publish(&eve, &tree, PublishOptions::new().replace()).await.unwrap();
        let copy = other(&eve).await;
        pull(&copy, &PublishedSource::open(&tree).await.unwrap()).await;
        assert_eq!(digests(&copy).await, digests(&eve).await);
        tree.put(MANIFEST, b"{}".to_vec()).await.unwrap();
        let error = publish(&eve, &tree, PublishOptions::new()).await.unwrap_err();
        assert!(matches!(error, PublishError::BadManifest { .. }), "{error}");
        publish(&eve, &tree, PublishOptions::new().replace()).await.unwrap();
    });
}

#[test]
fn a_restored_backup_is_published_anew() {
    block_on(async {
        let volume = MemoryVolume::new();
        let identity = Identity::new_database().unwrap();
        let ada = Replica::open(MemoryStore::create(&volume, identity).unwrap()).await.unwrap();
        let tree = Files::new();
        create(&ada, 20).await;
        let backup = volume.duplicate();
        create(&ada, 20).await;
        put(&ada, &tree).await;
        let names = tree.names();
        let bob = other(&ada).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        pull(&bob, &source).await;

        let restored = Replica::open(MemoryStore::open(&backup).unwrap()).await.unwrap();
        create(&restored, 30).await;
        let report = put(&restored, &tree).await;
        assert_eq!(report.changesets, 50);
        assert!(manifest(&tree).await.segments.iter().all(|it| !names.contains(&it.name)));
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.forks.len()), (30, 1));
        assert_sound(&bob).await;
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (0, 0));
    });
}

/// The tree moves on twice between the manifest and the segments that it names.
#[test]
fn a_source_whose_segments_are_gone_goes_on_from_the_manifest_as_it_is_now() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 20).await;
        put(&ada, &tree).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        let offer = source.offer(&VersionVector::new()).await.unwrap();
        for _ in 0..2 {
            create(&ada, 20).await;
            put(&ada, &tree).await;
        }
        tree.asked();
        let given: Vec<_> = source
            .changesets(&offer, &VersionVector::new())
            .map(|changeset| changeset.unwrap().digest())
            .collect()
            .await;
        assert_eq!(given, digests(&ada).await);
        let asked = tree.asked();
        assert!(asked.iter().any(|asked| asked.name == MANIFEST && asked.fresh), "{asked:?}");

        let gone = tree.names().into_iter().find(|name| name != MANIFEST).unwrap();
        let segments = manifest(&tree).await.segments;
        tree.files.lock().unwrap().retain(|name, _| name == MANIFEST);
        let bob = other(&ada).await;
        let error = bob.pull(&source, PullOptions::new()).await.unwrap_err().to_string();
        assert!(error.contains(&segments[0].name) && error.contains("memory"), "{error} {gone}");
        assert_sound(&bob).await;
    });
}

#[test]
fn whatever_byte_is_changed_nothing_false_is_taken_in() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 300).await;
        put(&ada, &tree).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        let segment = &source.manifest().segments[0];
        let honest = tree.files.lock().unwrap()[&segment.name].clone();
        for at in (0..honest.len()).step_by(honest.len() / 50) {
            for cut in [false, true] {
                let mut bytes = honest.clone();
                match cut {
                    true => bytes.truncate(at),
                    false => bytes[at] ^= 4,
                }
                tree.put(&segment.name, bytes).await.unwrap();
                let bob = other(&ada).await;
                let error = bob.pull(&source, PullOptions::new()).await.unwrap_err().to_string();
                assert!(error.contains(&segment.name), "{error}");
                tree.put(&segment.name, honest.clone()).await.unwrap();
                pull(&bob, &source).await;
                assert_eq!(digests(&bob).await, digests(&ada).await);
            }
        }
    });
}

#[test]
fn the_last_segment_of_a_live_replica_is_read_as_far_as_it_counts() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 150).await;
        let bob = other(&ada).await;
        pull(&bob, &ada).await;
        create(&ada, 150).await;
        put(&ada, &tree).await;
        let live = support::make_live(&tree, &ada).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        let eve = other(&ada).await;
        pull(&eve, &source).await;
        assert_eq!(digests(&eve).await, digests(&ada).await);
        tree.asked();
        let report = pull(&bob, &source).await;
        assert_eq!((report.integrated, report.already_seen), (150, 0));
        let range = tree.asked()[1].range.clone().unwrap();
        let segment = &live.segments[0];
        assert!(range.start >= segment.frames[1].offset && range.end <= segment.bytes);

        // It is sealed between the manifest and the segment.
        let fred = other(&ada).await;
        let offer = source.offer(&VersionVector::new()).await.unwrap();
        tree.remove(&segment.name).await.unwrap();
        publish(&ada, &tree, PublishOptions::new().replace()).await.unwrap();
        let changesets = source.changesets(&offer, &VersionVector::new());
        let count = changesets.map(|changeset| changeset.unwrap()).count().await;
        assert_eq!(count, 300);
        pull(&fred, &source).await;
    });
}

#[test]
fn a_segment_is_lines_that_any_tool_can_read() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 300).await;
        put(&ada, &tree).await;
        let segment = &manifest(&tree).await.segments[0];
        assert!(segment.frames.len() > 3);
        let text = zstd::decode_all(&tree.files.lock().unwrap()[&segment.name][..]).unwrap();
        let mut reader = LineReader::new(ada.store().facts().identity.database);
        let lines: Vec<_> = text
            .split_inclusive(|byte| *byte == b'\n')
            .map(|line| reader.read(line).unwrap().1)
            .collect();
        assert!(matches!(lines[0], Line::Start(_)) && matches!(lines[302], Line::Sealed(_)));
        let Line::Commit(end) = &lines[301] else { panic!("{:?}", lines[301]) };
        assert!(end.metadata.is_empty() && end.records.is_empty() && end.resolutions.is_empty());
        assert_eq!(lines.len(), 303);
    });
}

#[test]
fn a_manifest_that_says_what_is_not_there_is_found_out() {
    type Change = fn(&mut prophet_files::manifest::Segment);
    let changes: [(Change, &str); 4] = [
        (|it| it.last = Position::new(it.last.get() - 1), "not what the manifest says"),
        (|it| it.after = it.after.next(), "not what the manifest says"),
        (|it| it.bytes -= 1, "bytes"),
        (|it| it.bytes = u64::MAX, "are not read"),
    ];
    block_on(async {
        let ada = replica().await;
        let identity = ada.store().facts().identity;
        create(&ada, 300).await;
        for (change, words) in changes {
            let tree = Files::new();
            put(&ada, &tree).await;
            let mut manifest = manifest(&tree).await;
            // Nothing but the lines themselves then tells.
            let named = manifest.segments[0].name.clone();
            let bytes = tree.files.lock().unwrap()[&named].clone();
            manifest.segments[0].name = "log/1.jsonl.zst".to_owned();
            tree.put("log/1.jsonl.zst", bytes).await.unwrap();
            change(&mut manifest.segments[0]);
            tree.put(MANIFEST, manifest.encode()).await.unwrap();
            let source = PublishedSource::open(&tree).await.unwrap();
            // A pull would leave it as soon as it has all that was announced.
            let nothing = VersionVector::new();
            let offer = source.offer(&nothing).await.unwrap();
            let given: Vec<_> = source.changesets(&offer, &nothing).collect().await;
            let error = given.last().unwrap().as_ref().unwrap_err().to_string();
            assert!(error.contains(words) && error.contains("log/1.jsonl.zst"), "{error}");
            assert!(given[..given.len() - 1].iter().all(Result::is_ok));
        }
        // Fewer lines than there should be.
        let tree = Files::new();
        put(&ada, &tree).await;
        let mut live = support::make_live(&tree, &ada).await;
        let segment = &mut live.segments[0];
        let text = tree.files.lock().unwrap()[&segment.name].clone();
        let lines = text.split_inclusive(|byte| *byte == b'\n').take(200);
        segment.bytes = lines.map(|line| line.len() as u64).sum();
        segment.frames.clear();
        tree.put(MANIFEST, live.encode()).await.unwrap();
        let source = PublishedSource::open(&tree).await.unwrap();
        let bob = other(&ada).await;
        let error = bob.pull(&source, PullOptions::new()).await.unwrap_err().to_string();
        assert!(error.contains("ends before the manifest says"), "{error}");
        assert_eq!(digests(&bob).await, digests(&ada).await[..199]);
        // The log of another replica under the name.
        let (tree, bob) = (Files::new(), other(&ada).await);
        pull(&bob, &ada).await;
        put(&bob, &tree).await;
        let mut manifest = manifest(&tree).await;
        manifest.identity = identity;
        tree.put(MANIFEST, manifest.encode()).await.unwrap();
        let source = PublishedSource::open(&tree).await.unwrap();
        let error = other(&ada).await.pull(&source, PullOptions::new()).await.unwrap_err();
        assert!(error.to_string().contains("line 1: it is not what"), "{error}");
    });
}

#[test]
fn names_that_lead_out_of_the_tree_are_refused() {
    for name in ["", "/etc/passwd", "../x", "log/../x", "log//x", ".x", "log\\x", "C:x", "a b"] {
        assert!(fetch::check_name(name).is_err(), "{name:?}");
    }
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        create(&ada, 3).await;
        put(&ada, &tree).await;
        let mut manifest = manifest(&tree).await;
        manifest.segments[0].name = "../elsewhere.jsonl".to_owned();
        tree.put(MANIFEST, manifest.encode()).await.unwrap();
        let error = PublishedSource::open(&tree).await.unwrap_err();
        assert!(error.to_string().contains("../elsewhere.jsonl"), "{error}");
    });
}

#[test]
fn a_directory_is_a_tree() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/in");
    block_on(async {
        let ada = replica().await;
        let tree = DirectoryTree::new(&path);
        let error = PublishedSource::open(&tree).await.unwrap_err().to_string();
        assert!(error.contains(MANIFEST) && error.contains("not there"), "{error}");
        let keys = create(&ada, 30).await;
        put(&ada, &tree).await;
        let source = PublishedSource::open(DirectoryFetch::new(&path)).await.unwrap();
        let bob = other(&ada).await;
        assert_eq!(pull(&bob, &source).await.integrated, 30);
        ada.update(&keys[0], title("new")).await.unwrap();
        put(&ada, &tree).await;
        assert_eq!(pull(&bob, &source).await.integrated, 1);
        let hidden = std::fs::read_dir(path.join("log")).unwrap();
        assert!(
            hidden
                .map(|it| it.unwrap().file_name())
                .all(|it| !it.as_encoded_bytes().starts_with(b"."))
        );
    });
}

#[test]
fn an_empty_replica_can_be_published_and_pulled_from() {
    block_on(async {
        let (ada, tree) = (replica().await, Files::new());
        put(&ada, &tree).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        assert_eq!(pull(&other(&ada).await, &source).await.integrated, 0);
        let error = ada.pull(&source, PullOptions::new()).await.unwrap_err();
        assert!(matches!(error, Error::PullFromItself { .. }), "{error}");
        create(&ada, 1).await;
        put(&ada, &tree).await;
        assert_eq!(pull(&other(&ada).await, &source).await.integrated, 1);
        let stranger = replica_of(Identity::new_database().unwrap()).await;
        let error = stranger.pull(&source, PullOptions::new()).await.unwrap_err();
        assert!(matches!(error, Error::OtherDatabase { .. }), "{error}");
    });
}

#[cfg(feature = "object_store")]
#[test]
fn a_bucket_is_a_tree() {
    use std::sync::Arc;

    use object_store::ObjectStoreExt as _;
    use object_store::memory::InMemory;

    block_on(async {
        let bucket = Arc::new(InMemory::new());
        let tree = ObjectTree::new(bucket.clone(), "some/where".into());
        let ada = replica().await;
        create(&ada, 1_000).await;
        let bob = other(&ada).await;
        pull(&bob, &ada).await;
        create(&ada, 30).await;
        put(&ada, &tree).await;
        let source = PublishedSource::open(&tree).await.unwrap();
        assert_eq!(pull(&bob, &source).await.integrated, 30);
        assert_eq!(pull(&bob, &source).await.integrated, 0);
        assert_eq!(pull(&other(&ada).await, &source).await.integrated, 1_030);
        for _ in 0..3 {
            create(&ada, 30).await;
            put(&ada, &tree).await;
        }
        assert_eq!(pull(&bob, &source).await.integrated, 90);
        tree.put("index.html", b"<p>".to_vec()).await.unwrap();
        for (name, content_type) in
            [("manifest.json", "application/json"), ("index.html", "text/html; charset=utf-8")]
        {
            let path = object_store::path::Path::from(format!("some/where/{name}"));
            let attributes = bucket.get(&path).await.unwrap().attributes;
            let is = |attribute| attributes.get(&attribute).unwrap().as_ref();
            assert_eq!(is(object_store::Attribute::CacheControl), "no-cache");
            assert_eq!(is(object_store::Attribute::ContentType), content_type);
        }
    });
}
