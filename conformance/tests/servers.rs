//! The suite over a real server of the protocol of S3, which has to be installed: `. .ci/servers`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use conformance::{Power, Suite};
use harnesses::ServerHarness;
use prophet_bucket::Program;

/// What is tried over buckets in memory, where requests can be made to fail and objects to change.
const WITHOUT: &[Power] = &[Power::Faults, Power::PowerLoss, Power::Damage];

/// All checks but those with other processes, for which the server would have to outlive the tests; and
/// but races, for a server that lets two win now and then would be to blame.
#[test]
fn moto_is_a_bucket_for_several_writers() {
    let harness = ServerHarness::start(Program::Moto, 4).unwrap();
    let suite = Suite::new(&harness, WITHOUT);
    let mut ran = 0;
    for check in conformance::checks() {
        let elsewhere = check.needs.contains(&Power::Address) || check.name.contains("racing");
        if elsewhere || !check.applies(WITHOUT) {
            continue;
        }
        if let Err(failure) = suite.run(check) {
            panic!("{}::{}\n{failure}\n{}", check.group, check.name, harness.server().log());
        }
        ran += 1;
    }
    assert!(ran > 100, "{ran} checks");
}
