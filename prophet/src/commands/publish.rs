//! `prophet publish`.

use clap::Args;
use prophet_files::{
    DirectoryTree, PublishError, PublishOptions, Tree, check_site, has_site, publish, publish_site,
};
use prophet_site::SiteOptions;
use prophet_store::Replica;
use serde_json::json;

use crate::Result;
use crate::commands::records::insert;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::output::text::counted;
use crate::replica::{Place, open};

/// What it takes.
#[derive(Debug, Args)]
#[command(after_help = "\
Only what is new since the last time is written. Any web server that serves the directory or the bucket \
serves the replica: others clone it and pull from it by its URL. With --site there are pages and an Atom \
feed for browsers beside it.

A replica in a bucket is published as it is: what was pushed to it is read by others in the same way. \
Publishing to a bucket takes the right to list what is in it: without it a service does not tell what is \
missing.

Examples:
  prophet publish ./public --site
  prophet publish s3://bucket/web")]
pub(crate) struct PublishArgs {
    /// The directory to write to, or a bucket: s3://bucket/prefix.
    place: String,
    /// Replaces what is there, be it of another replica.
    #[arg(long)]
    replace: bool,
    /// Pages and a feed for browsers, too.
    #[arg(long)]
    site: bool,
    /// The title of the site; the setting `title` of the database, without it.
    #[arg(long, requires = "site")]
    title: Option<String>,
    /// Where the site will be, for the links of its feed.
    #[arg(long, requires = "site", value_name = "URL")]
    base_url: Option<String>,
}

impl PublishArgs {
    pub(crate) async fn run(self, context: &mut Context) -> Result<Exit> {
        let replica = context.session().await?.replica;
        let tree: Box<dyn Tree> = match Place::parse(&self.place)? {
            Place::Path(path) | Place::Tree(path) => Box::new(DirectoryTree::new(path)),
            Place::Bucket(url) => Box::new(open::tree_in_bucket(&url)?),
            place => {
                return Err(Failure::usage(format!(
                    "{place}: a replica is published into a directory or a bucket; to have it \
                     elsewhere, push to a replica there"
                )));
            }
        };
        let tree = &*tree;
        // Before anything is written: pages of somebody else's end all of it.
        let site = match self.site {
            true => Some(self.site_options(&replica).await?),
            false => None,
        };
        if let Some(site) = &site {
            check_site(tree, site).await?;
        }
        let options = match self.replace {
            true => PublishOptions::new().replace(),
            false => PublishOptions::new(),
        };
        let report = publish(&replica, tree, options).await?;
        let mut said = match report.changesets {
            0 if report.removed > 0 => {
                format!("nothing in {} any more: the replica is empty", tree.place())
            }
            0 => format!("nothing new for {}", tree.place()),
            new => format!("{} to {}", counted(new, "changeset"), tree.place()),
        };
        let mut json = json!({
            "position": report.head.position.get(),
            "changesets": report.changesets,
            "segments": report.segments,
            "bytes": report.bytes,
            "removed": report.removed,
        });
        if let Some(site) = site {
            let summary = publish_site(&replica, tree, site).await?;
            said.push_str(&format!("; {} of the site", counted(summary.files, "file")));
            insert(&mut json, "site_files", json!(summary.files));
        }
        context.output.thing(&json, &said)?;
        if !self.site && has_site(tree).await.map_err(PublishError::from)? {
            context.output.note("the site beside it is as it was; --site brings it up to date");
        }
        Ok(Exit::Done)
    }

    async fn site_options(&self, replica: &Replica) -> Result<SiteOptions> {
        let title = match &self.title {
            Some(title) => title.clone(),
            None => {
                let setting = replica.settings().get("title").await?;
                let setting = setting.and_then(|title| title.as_text().map(str::to_owned));
                setting.unwrap_or_else(|| "Prophet".to_owned())
            }
        };
        let mut options = SiteOptions::new(title);
        if self.replace {
            options = options.replace();
        }
        match &self.base_url {
            Some(url) => options.base_url(url).map_err(|error| Failure::usage(error.to_string())),
            None => Ok(options),
        }
    }
}
