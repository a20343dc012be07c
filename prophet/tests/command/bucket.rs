//! Replicas and published trees in a bucket, over the protocol of S3.

use std::process::Command;

use prophet_bucket::{Bucket, Fault, Kind, Outcome, Plan, Refusal, Rule, WireServer};

use crate::support::{Office, Person, Ran, run};

struct Cloud {
    bucket: Bucket,
    server: WireServer,
    office: Office,
}

impl Cloud {
    fn new() -> Self {
        let bucket = Bucket::new(1);
        let server = WireServer::start(&bucket).unwrap();
        Self { bucket, server, office: Office::new() }
    }

    /// The URL of what is under a prefix of the bucket.
    fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.server.endpoint().bucket)
    }

    fn command(&self, person: &Person) -> Command {
        let endpoint = self.server.endpoint();
        let mut command = person.command();
        command.env("AWS_ENDPOINT", &endpoint.url).env("AWS_ALLOW_HTTP", "true");
        command.env("AWS_REGION", &endpoint.region);
        command.env("AWS_ACCESS_KEY_ID", &endpoint.access_key);
        command.env("AWS_SECRET_ACCESS_KEY", &endpoint.secret_key);
        command
    }

    fn runs(&self, person: &Person, words: &[&str]) -> Ran {
        run(self.command(person).args(words), "")
    }

    #[track_caller]
    fn does(&self, person: &Person, words: &[&str]) -> String {
        let ran = self.runs(person, words);
        assert_eq!(ran.code, 0, "prophet {words:?}: {ran:?}");
        ran.stdout
    }

    #[track_caller]
    fn fails(&self, person: &Person, code: i32, words: &[&str]) -> String {
        let ran = self.runs(person, words);
        assert_eq!(ran.code, code, "prophet {words:?}: {ran:?}");
        ran.stderr
    }
}

#[test]
fn a_team_shares_a_replica_in_a_bucket() {
    let cloud = Cloud::new();
    let (ada, bob) = (cloud.office.person("ada"), cloud.office.person("bob"));
    let url = cloud.url("team");
    let said = cloud.fails(&ada, 3, &["-r", &url, "list", "bug"]);
    assert!(said.contains(&url), "{said}");
    cloud.does(&ada, &["init", &url]);
    assert!(cloud.fails(&bob, 1, &["init", &url]).contains(&url));
    cloud.does(&ada, &["-r", &url, "create", "bug", "title=one"]);
    cloud.does(&bob, &["-r", &url, "create", "bug", "title=two"]);
    assert_eq!(cloud.does(&ada, &["-r", &url, "search", "bug", "--count"]), "2\n");
    // With a replica of one's own.
    assert_eq!(cloud.does(&bob, &["clone", &url]), format!("2 changesets from {url}\n"));
    cloud.does(&bob, &["create", "bug", "title=three"]);
    cloud.does(&bob, &["push"]);
    assert_eq!(cloud.does(&ada, &["-r", &url, "search", "bug", "--count"]), "3\n");
    assert!(cloud.does(&ada, &["-r", &url, "log"]).contains("bob"));
    cloud.does(&ada, &["-r", &url, "verify"]);
}

#[test]
fn a_tree_published_to_a_bucket_is_cloned_pulled_from_and_read() {
    let cloud = Cloud::new();
    let ada = cloud.office.person_with_replica("ada");
    ada.does(&["create", "bug", "title=one"]);
    let url = cloud.url("web");
    assert_eq!(cloud.does(&ada, &["publish", &url]), format!("1 changeset to {url}\n"));
    let bob = cloud.office.person("bob");
    assert_eq!(cloud.does(&bob, &["-r", &url, "search", "bug", "--count"]), "1\n");
    assert!(cloud.fails(&bob, 1, &["-r", &url, "delete", "1"]).contains("can only be read"));
    assert_eq!(cloud.does(&bob, &["clone", &url]), format!("1 changeset from {url}\n"));
    ada.does(&["create", "bug", "title=two"]);
    cloud.does(&ada, &["publish", &url, "--site"]);
    assert_eq!(cloud.does(&ada, &["publish", &url]), format!("nothing new for {url}\n"));
    assert_eq!(cloud.does(&bob, &["pull"]), "1 changeset from origin\n");
    cloud.does(&bob, &["create", "bug", "title=three"]);
    assert!(cloud.fails(&bob, 1, &["push"]).contains("can only be read"));

    // What is there is not written over by another replica, nor is a replica by a tree.
    cloud.fails(&bob, 1, &["publish", &url]);
    let team = cloud.url("team");
    cloud.does(&ada, &["init", &team]);
    assert!(cloud.fails(&ada, 1, &["publish", &team, "--replace"]).contains("is a replica itself"));
}

/// What clients of S3 have to live with: each of these passes.
fn rough() -> Plan {
    let mut plan = Plan::new();
    for refusal in [Refusal::SlowDown, Refusal::InternalError, Refusal::Dropped] {
        plan = plan.with(Rule::new(Fault::Refuse(refusal)).chance(0.03));
        plan = plan.with(Rule::new(Fault::Lose(refusal)).chance(0.03));
    }
    plan.with(Rule::new(Fault::Cut(7)).on(Kind::Get).chance(0.1))
}

fn passed(outcome: Outcome) -> bool {
    use Refusal::{Dropped, InternalError, SlowDown};
    matches!(outcome, Outcome::Lost(_) | Outcome::Refused(SlowDown | InternalError | Dropped))
}

#[test]
fn a_bucket_that_fails_in_passing_is_asked_again() {
    let cloud = Cloud::new();
    let ada = cloud.office.person_with_replica("ada");
    cloud.bucket.plan(rough());
    let url = cloud.url("web");
    let bob = cloud.office.person("bob");
    for number in 1..=6 {
        ada.does(&["create", "bug", &format!("number:={number}")]);
        cloud.does(&ada, &["publish", &url, "--site"]);
        match number {
            1 => cloud.does(&bob, &["clone", &url]),
            _ => cloud.does(&bob, &["pull"]),
        };
        let counted = bob.does(&["search", "bug", "--count"]);
        assert_eq!(counted, format!("{number}\n"));
    }
    let failed = cloud.bucket.events().iter().filter(|event| passed(event.outcome)).count();
    assert!(failed >= 5, "{failed} requests failed");
}

#[test]
fn what_keeps_from_a_bucket_is_said() {
    let cloud = Cloud::new();
    let ada = cloud.office.person_with_replica("ada");
    let url = cloud.url("web");
    let mut denied = cloud.command(&ada);
    denied.env("AWS_SECRET_ACCESS_KEY", "another").args(["publish", &url]);
    let ran = run(&mut denied, "");
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains(&url), "{ran:?}");
    // S3 says of a file in a bucket that is not there that the bucket is not.
    let ran = cloud.runs(&ada, &["publish", "s3://typo/web"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("no such bucket"), "{ran:?}");
    let said = cloud.fails(&ada, 2, &["publish", "https://example.org/web"]);
    assert!(said.contains("a directory or a bucket"), "{said}");
}
