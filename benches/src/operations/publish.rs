//! Publishing, bundles, and clones over HTTP.

use std::fs::File;
use std::io::Write as _;

use futures_lite::future::block_on;
use prophet_files::{DirectoryTree, PublishOptions, publish};
use prophet_store::{Replica, VersionVector};

use crate::suite::{Operation, Runner};
use crate::turns::{Contest, each};
use crate::worlds::{Worlds, directory};

pub(crate) fn all(runner: &mut Runner, worlds: &Worlds<'_>) {
    let sizes = worlds.sizes;
    let entries = sizes.records + sizes.history - 1;
    let operation = Operation::new("publish 11,000", entries).slow();
    runner.bench(operation, || publish_all(&worlds.library().home.replica));
    let operation = Operation::new("bundle 11,000", entries).slow();
    runner.bench(operation, || bundle(&worlds.library().home.replica));
    let name = "clone 10,000 over HTTP";
    #[cfg(feature = "http")]
    runner.bench(Operation::new(name, sizes.changesets).slow(), || http::clone(worlds));
    #[cfg(not(feature = "http"))]
    runner.leave_out(name, "the feature `http` is off");
}

/// The same files, with nothing in them that means anything, and synced.
fn write_files(sizes: &[usize]) -> tempfile::TempDir {
    let directory = directory();
    for (number, size) in sizes.iter().enumerate() {
        let file = File::create_new(directory.path().join(number.to_string()));
        let mut file = file.expect("a file can be made");
        file.write_all(&vec![7; *size]).expect("a file can be written");
        file.sync_all().expect("a file can be synced");
    }
    directory
}

fn sizes_below(directory: &std::path::Path) -> Vec<usize> {
    let mut sizes = Vec::new();
    for entry in std::fs::read_dir(directory).expect("the directory can be read") {
        let path = entry.expect("the directory can be read").path();
        match path.is_dir() {
            true => sizes.extend(sizes_below(&path)),
            false => {
                let length = path.metadata().expect("a file has a length").len();
                sizes.push(usize::try_from(length).expect("it is in memory"));
            }
        }
    }
    sizes
}

fn into_directory(replica: &Replica) -> (u64, tempfile::TempDir) {
    let directory = directory();
    let tree = DirectoryTree::new(directory.path());
    let published = block_on(publish(replica, &tree, PublishOptions::new()));
    (published.expect("the replica is published").bytes, directory)
}

/// All of a replica into an empty directory.
fn publish_all(replica: &Replica) -> Contest<'_> {
    let (bytes, example) = into_directory(replica);
    let sizes = sizes_below(example.path());
    let ours = each(move || (), move |()| into_directory(replica));
    let floor = each(move || (), move |()| write_files(&sizes));
    Contest::new(ours).bytes(bytes).above("files", floor)
}

/// All of a replica into one file.
fn bundle(replica: &Replica) -> Contest<'_> {
    let make = move || {
        let directory = directory();
        let path = directory.path().join("all.bundle");
        let made = block_on(replica.bundle_to(&VersionVector::new(), path));
        (made.expect("a bundle is made").bytes, directory)
    };
    let (bytes, _) = make();
    let size = usize::try_from(bytes).expect("it is in memory");
    let ours = each(move || (), move |()| make());
    let floor = each(move || (), move |()| write_files(&[size]));
    Contest::new(ours).bytes(bytes).above("files", floor)
}

#[cfg(feature = "http")]
mod http {
    use futures_lite::future::block_on;
    use prophet_files::manifest::MANIFEST;
    use prophet_files::{Fetch as _, Request, Response};
    use prophet_http::{HttpFetch, HttpOptions, HttpSource};
    use prophet_store::PullOptions;

    use crate::operations::publish::into_directory;
    use crate::server::Server;
    use crate::turns::{Contest, each};
    use crate::worlds::Worlds;

    fn options() -> HttpOptions {
        HttpOptions::new().no_proxy()
    }

    /// A replica of all that a web server has, made anew each time. The floor gets the same files from it
    /// by the same client, and looks at nothing.
    pub(super) fn clone<'a>(worlds: &'a Worlds<'_>) -> Contest<'a> {
        let foreign = worlds.foreign();
        let (bytes, tree) = into_directory(&foreign.replica);
        let server = Server::of(tree);
        let url = server.url().to_owned();
        let source = block_on(HttpSource::open_with(&url, options())).expect("the tree is served");
        let manifest = source.manifest();
        let names = manifest.segments.iter().map(|segment| (segment.name.clone(), segment.bytes));
        let files: Vec<_> = names.chain([(MANIFEST.to_owned(), bytes)]).collect();

        let address = url.clone();
        let ours = each(
            move || worlds.empty_home(&foreign.replica),
            move |home| {
                block_on(async {
                    let source = HttpSource::open_with(&address, options()).await?;
                    home.replica.pull(&source, PullOptions::new()).await
                })
                .expect("the replica pulls");
                home
            },
        );
        let floor = each(
            move || (),
            move |()| {
                let _served = &server;
                let fetch = HttpFetch::new(&url, options()).expect("it is a URL");
                for (name, size) in &files {
                    let got = block_on(fetch.fetch(&Request::new(name.as_str(), *size)));
                    let got = got.expect("the file is served");
                    assert!(matches!(got, Response::Content { .. }), "it is all there");
                }
            },
        );
        Contest::new(ours).bytes(bytes).above("GETs", floor)
    }
}
