//! What a report holds of what was found.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use prophet_kv::Report;
use prophet_store::{StoreError, Verification};

#[test]
fn it_has_the_first_thousand_problems_and_says_that_there_are_more() {
    let mut report = Report::new();
    assert!(report.is_sound());
    for number in 1..=1_000 {
        report.problem(format!("problem {number}"));
        assert!(!report.is_sound());
    }
    for more in 0..3 {
        let mut found = Report::after(report.finish());
        let problems = &found.counts().problems;
        assert_eq!(problems.len(), 1_000 + usize::from(more > 0));
        assert_eq!(problems.get(999).map(String::as_str), Some("problem 1000"));
        assert!(more == 0 || problems.last().unwrap() == "and more");
        found.problem("one too many".to_owned());
        report = found;
    }
}

#[test]
fn damage_is_noted_and_anything_else_is_an_error() {
    let mut report = Report::new();
    assert_eq!(report.note(Ok(7)).unwrap(), Some(7));
    assert!(report.is_sound());
    let damage = [StoreError::corrupt("here", "bits"), StoreError::newer_format("here", 9, 1)];
    for (count, error) in damage.into_iter().enumerate() {
        let text = error.to_string();
        assert_eq!(report.note::<()>(Err(error)).unwrap(), None);
        assert_eq!(report.counts().problems.get(count), Some(&text));
    }
    let error = report.note::<()>(Err(StoreError::closed("here"))).unwrap_err();
    assert!(matches!(error, StoreError::Closed { .. }), "{error}");
    assert_eq!(report.finish().problems.len(), 2);
}

#[test]
fn it_goes_on_from_what_was_counted_elsewhere() {
    let mut found = Verification::default();
    found.entries = 3;
    let mut report = Report::after(found);
    report.counts().entries += 2;
    report.counts().records += 1;
    let all = report.finish();
    assert_eq!((all.entries, all.records), (5, 1));
}
