//! Replicas to show, and pages read as a browser reads them.

use std::collections::BTreeMap;

use html5ever::tendril::TendrilSink as _;
use markup5ever_rcdom::{Handle, NodeData, RcDom};
use prophet_site::{SiteOptions, write_site};
use prophet_store::*;

pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// What must do no harm and not be lost, wherever it stands; without control characters, so that
/// it can be a name too.
pub(crate) const HOSTILE: [&str; 12] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</title></style></textarea><svg onload=alert(1)>",
    "]]><!--",
    "--><![CDATA[",
    "&lt;b&gt;&amp;&#0;",
    "javascript:alert(1)",
    "\u{202e}gnp.exe\u{2066}",
    "../../../etc/passwd",
    "{{7*7}}${7*7}",
    "\u{1d538}\u{10fffd}\u{e9}e\u{301}",
];

pub(crate) async fn replica(number: u8) -> Replica {
    let identity = Identity {
        database: DatabaseId::from_bytes([7; 16]),
        replica: ReplicaId::from_bytes([number; 16]),
    };
    Replica::options().creator("ada").unwrap().open(MemoryStore::new(identity)).await.unwrap()
}

pub(crate) fn properties<const N: usize>(pairs: [(&str, Value); N]) -> Properties {
    Properties::try_from(pairs).unwrap()
}

pub(crate) fn title(text: &str) -> Properties {
    properties([("title", Value::from(text))])
}

pub(crate) async fn write(replica: &Replica, options: &SiteOptions) -> Files {
    let mut files = Files::new();
    let summary = write_site(replica, &mut files, options).await.unwrap();
    assert_eq!(summary.position, replica.head().await.unwrap().position);
    assert_eq!(summary.files, files.len() as u64, "no file is put twice");
    files
}

pub(crate) fn record_file(key: &RecordKey) -> String {
    format!("records/{}/{}.html", key.record_type().file_name(), key.id())
}

/// A record of every awkward sort: hostile names and values, contested, deleted, referring.
pub(crate) async fn awkward() -> (Replica, Vec<RecordKey>) {
    let ada = replica(1).await;
    let mut keys = Vec::new();
    for (index, hostile) in HOSTILE.iter().enumerate() {
        let ada = ada.with_creator(*hostile).unwrap();
        let key = ada.create(*hostile, title(hostile)).await.unwrap();
        let nested = BTreeMap::from([((*hostile).to_owned(), Value::from(*hostile))]);
        let values = properties([
            (hostile, Value::from(*hostile)),
            ("list", Value::from(vec![Value::from(*hostile), Value::from(nested.clone())])),
            ("map", Value::from(nested)),
            ("bytes", Value::from(hostile.as_bytes())),
            ("numbers", Value::from(vec![Value::from(-1), Value::try_from(1.5).unwrap()])),
            ("long", Value::from(hostile.repeat(10_000))),
            ("control", Value::from("a\0\u{1}\u{b}\u{1b}\u{7f}\u{fffe}\u{ffff}z")),
            ("lines", Value::from("\none\r\ntwo\rthree")),
            ("other", Value::from(keys.last().unwrap_or(&key))),
            ("missing", Value::from(missing(hostile))),
            ("many", Value::from(vec![Value::from(vec![Value::from(true)]); 5_000])),
        ]);
        ada.update(&key, values).await.unwrap();
        if index % 4 == 3 {
            ada.delete(&key).await.unwrap();
        }
        keys.push(key);
    }
    let identity = Identity {
        database: DatabaseId::from_bytes([7; 16]),
        replica: ReplicaId::from_bytes([2; 16]),
    };
    let bob = Replica::clone_of(MemoryStore::new(identity), &ada).await.unwrap();
    let bob = bob.with_creator("bob").unwrap();
    for (index, (key, hostile)) in keys.iter().zip(HOSTILE).enumerate() {
        if index % 4 < 2 {
            let mine = properties([(hostile, Value::from(format!("ada {hostile}")))]);
            ada.update(key, mine).await.unwrap();
            let theirs = properties([(hostile, Value::from(format!("bob {hostile}")))]);
            bob.update(key, theirs).await.unwrap();
        }
        if index % 4 == 2 {
            ada.update(key, title("kept")).await.unwrap();
            bob.delete(key).await.unwrap();
        }
    }
    ada.pull(&bob, PullOptions::new()).await.unwrap();
    (ada, keys)
}

pub(crate) fn missing(record_type: &str) -> RecordKey {
    RecordKey::new(RecordType::new(record_type).unwrap(), RecordId::from_bytes([9; 16]))
}

/// What a browser makes of a page.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) title: String,
    pub(crate) elements: Vec<String>,
    /// Element, attribute, value.
    pub(crate) attributes: Vec<(String, String, String)>,
    pub(crate) comments: usize,
}

impl Shown {
    pub(crate) fn parse(content: &[u8]) -> Self {
        let content = std::str::from_utf8(content).unwrap();
        let dom = html5ever::parse_document(RcDom::default(), Default::default()).one(content);
        assert_eq!(dom.errors.borrow().as_slice(), [] as [&str; 0]);
        let mut page = Self::default();
        page.walk(&dom.document, false);
        page
    }

    fn walk(&mut self, node: &Handle, in_title: bool) {
        let mut title = in_title;
        match &node.data {
            NodeData::Text { contents } if in_title => self.title.push_str(&contents.borrow()),
            NodeData::Text { contents } => self.text.push_str(&contents.borrow()),
            NodeData::Comment { .. } | NodeData::ProcessingInstruction { .. } => self.comments += 1,
            NodeData::Element { name, attrs, .. } => {
                let element = name.local.to_string();
                title = element == "title";
                for attribute in attrs.borrow().iter() {
                    let (name, value) =
                        (attribute.name.local.to_string(), attribute.value.to_string());
                    self.attributes.push((element.clone(), name, value));
                }
                self.elements.push(element);
            }
            NodeData::Document | NodeData::Doctype { .. } => {}
        }
        for child in node.children.borrow().iter() {
            self.walk(child, title);
        }
    }

    pub(crate) fn hrefs(&self) -> impl Iterator<Item = &str> {
        let hrefs = self.attributes.iter().filter(|(_, name, _)| name == "href");
        hrefs.map(|(_, _, value)| value.as_str())
    }
}

/// The file that a link on a page leads to.
pub(crate) fn resolve(from: &str, href: &str) -> String {
    let mut path: Vec<_> = from.split('/').collect();
    path.pop();
    for part in href.split('/') {
        match part {
            ".." => assert!(path.pop().is_some(), "{href} leads out of the site"),
            part => path.push(part),
        }
    }
    path.join("/")
}
