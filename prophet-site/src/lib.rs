//! A database as a static web site: pages and an Atom feed that a plain browser shows, without any
//! program behind them and without scripts.
//!
//! ```
//! use std::collections::BTreeMap;
//!
//! use futures_lite::future::block_on;
//! use prophet_site::{SiteOptions, write_site};
//! use prophet_store::{Identity, MemoryStore, Properties, Replica};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! block_on(async {
//!     let replica = Replica::open(MemoryStore::new(Identity::new_database()?)).await?;
//!     replica.create("bug", Properties::try_from([("title", "<b> is not bold")])?).await?;
//!
//!     let mut files = BTreeMap::new();
//!     let options = SiteOptions::new("Our bugs").base_url("https://example.org/bugs/")?;
//!     let summary = write_site(&replica, &mut files, &options).await?;
//!     assert_eq!((summary.records, summary.position.get()), (1, 1));
//!
//!     let bugs = String::from_utf8(files["types/bug.html"].clone())?;
//!     assert!(bugs.contains("&lt;b&gt; is not bold"));
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What there is
//!
//! | file | shows |
//! |---|---|
//! | `index.html` | the types of records, open conflicts, recent changes |
//! | `types/<type>.html`, then `types/<type>.2.html`... | the records of a type, 500 to a page |
//! | `records/<type>/<id>.html` | a record, also a deleted one: properties, conflicts, history |
//! | `feed.atom` | the latest changesets, as an Atom feed (RFC 4287) |
//! | `style.css` | how it looks |
//!
//! `<type>` is what [`RecordType::file_name`](prophet_store::RecordType::file_name) makes of it. What a record refers to and is not there has a page
//! that says so, so that no link leads nowhere.
//!
//! # What is in the database is not trusted
//!
//! Whatever comes from it is escaped, kept apart from the direction of the text around it, and cut
//! where it is long. Characters that XML cannot hold become U+FFFD. Pages forbid scripts and whatever
//! is not of the site, by a policy of their own.

mod changes;
mod conflicts;
mod feed;
mod history;
mod index;
mod layout;
mod options;
mod record;
mod site;
mod text;
mod types;
mod view;

use std::collections::BTreeMap;

use async_trait::async_trait;

pub use options::{SiteError, SiteOptions, SiteSummary};
pub use site::write_site;

/// Where files are put, each whole, under relative names with `/`.
#[async_trait]
pub trait Sink: Send {
    /// Puts a file in the place of what is there under this name.
    async fn put(
        &mut self,
        name: &str,
        content: Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;
}

/// Keeps the files in memory.
#[async_trait]
impl Sink for BTreeMap<String, Vec<u8>> {
    async fn put(
        &mut self,
        name: &str,
        content: Vec<u8>,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        self.insert(name.to_owned(), content);
        Ok(())
    }
}
