//! The list of checks and `docs/contract.md` agree.

use std::collections::{BTreeMap, BTreeSet};

/// The rules that no check names yet, and why.
const EXEMPT: [(&str, &str); 1] =
    [("L3", "the engine promises it, not the store; audit checks it")];

/// The numbers in bold at the beginning of the items of the contract.
fn rules_of_the_contract() -> BTreeSet<&'static str> {
    let contract = include_str!("../../docs/contract.md");
    let items = contract.lines().filter_map(|line| line.strip_prefix("- **"));
    items.filter_map(|item| item.split_once("**")).map(|(rule, _)| rule).collect()
}

#[test]
fn every_rule_is_named_by_a_check_or_exempt() {
    let named: BTreeSet<_> =
        conformance::checks().iter().flat_map(|check| check.rules).copied().collect();
    let exempt: BTreeSet<_> = EXEMPT.iter().map(|(rule, _)| *rule).collect();
    let rules = rules_of_the_contract();
    assert!(rules.len() > 30, "the contract was not read: {rules:?}");
    assert!(named.is_disjoint(&exempt), "both checked and exempt: {named:?}, {exempt:?}");
    let covered: BTreeSet<_> = named.union(&exempt).copied().collect();
    assert_eq!(covered, rules, "what the checks name, or the exemptions, and the contract");
}

#[test]
fn every_check_has_a_name_of_its_own() {
    let mut names = BTreeMap::new();
    for check in conformance::checks() {
        *names.entry((check.group, check.name)).or_insert(0) += 1;
    }
    let twice: Vec<_> = names.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn the_table_of_checks_is_the_list() {
    let table = include_str!("../../docs/checks.md");
    let made = conformance::table();
    assert_eq!(table, made, "made anew by `cargo run -p conformance -- --list > docs/checks.md`");
}
