//! The latest changesets as an Atom feed (RFC 4287).

use futures_lite::StreamExt as _;
use maud::{Markup, PreEscaped, html};
use prophet_store::{Digest, Direction, LogEntry, Replica, Timestamp};

use crate::changes;
use crate::layout::{FEED_FILE, INDEX_FILE};
use crate::options::{SiteError, SiteOptions};
use crate::text;
use crate::view::View;

pub(crate) async fn feed(replica: &Replica, options: &SiteOptions) -> Result<Vec<u8>, SiteError> {
    let base = options.base.as_deref().unwrap_or_default();
    let (mut shown, mut updated) = (Vec::new(), Timestamp::default());
    let mut entries = replica.log(None, Direction::Backward).take(options.feed_entries);
    while let Some(entry) = entries.next().await {
        let entry = entry?;
        // The clocks of authors differ, so the last one in the log need not be the latest.
        updated = updated.max(entry.changeset.header().time);
        shown.push(one(&entry, base));
    }
    let title = text::plain(&options.title);
    let database = replica.store().facts().identity.database;
    // No element is left without an end, as HTML would have it: this is XML.
    let feed = html! {
        (PreEscaped("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n"))
        feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en" {
            id { "urn:uuid:" (database.to_string()) }
            title { (title) }
            updated { (text::rfc3339(updated)) }
            author { name { (title) } }
            link rel="self" type="application/atom+xml" href={ (base) (FEED_FILE) } {}
            link rel="alternate" type="text/html" href={ (base) (INDEX_FILE) } {}
            @for entry in &shown { (entry) }
        }
    };
    let mut feed = feed.into_string().into_bytes();
    feed.push(b'\n');
    Ok(feed)
}

fn one(entry: &LogEntry, base: &str) -> Markup {
    let mut view = View::of_feed(base);
    let header = entry.changeset.header();
    let first = entry.changeset.payload().records().next();
    let content = changes::content(entry, &mut view).into_string();
    html! {
        entry {
            id { "urn:uuid:" (uuid_of(entry.changeset.digest()).to_string()) }
            title { (changes::title(entry)) }
            updated { (text::rfc3339(header.time)) }
            author { name { (text::plain(&text::who(&header.creator, header.origin))) } }
            @if let Some(first) = first {
                link rel="alternate" type="text/html" href=(view.record_href(first)) {}
            }
            content type="html" { (content) }
        }
    }
}

/// A UUID (version 8, of which everyone chooses the bits) that follows from a digest: there is no
/// registered kind of URN for digests.
fn uuid_of(digest: Digest) -> uuid::Uuid {
    let (bytes, _) = digest.as_bytes().as_chunks::<16>();
    uuid::Builder::from_custom_bytes(bytes.first().copied().unwrap_or_default()).into_uuid()
}
