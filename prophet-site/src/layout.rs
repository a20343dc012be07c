//! What all pages have in common.

use maud::{DOCTYPE, Markup, html};

use crate::options::SiteOptions;
use crate::text;
use crate::view::View;

pub(crate) const STYLE: &str = include_str!("style.css");
pub(crate) const STYLE_FILE: &str = "style.css";
pub(crate) const INDEX_FILE: &str = "index.html";
pub(crate) const FEED_FILE: &str = "feed.atom";

/// Nothing but the site's own style, should escaping ever fail.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; \
                      form-action 'none'";

/// A page of this title.
pub(crate) fn page(
    options: &SiteOptions,
    view: &View,
    title: Option<&str>,
    body: &Markup,
) -> Vec<u8> {
    let root = view.root();
    let site = text::plain(&options.title);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { @if let Some(title) = title { (text::plain(title)) " - " } (site) }
                link rel="stylesheet" href={ (root) (STYLE_FILE) };
                link rel="alternate" type="application/atom+xml" title="Changes"
                    href={ (root) (FEED_FILE) };
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header {
                    nav aria-label="Site" {
                        a href={ (root) (INDEX_FILE) } { bdi { (site) } }
                        " " a href={ (root) (FEED_FILE) } { "Changes (Atom feed)" }
                    }
                }
                main id="main" tabindex="-1" { (body) }
            }
        }
    };
    let mut page = page.into_string().into_bytes();
    page.push(b'\n');
    page
}
