//! Prints the checks as a table: what each is called, which rules it checks, what it needs.

fn main() {
    println!("| check | rules | needs | lacks |\n| --- | --- | --- | --- |");
    for check in conformance::checks() {
        let names = |powers: &[conformance::Power]| {
            powers.iter().map(|power| power.name()).collect::<Vec<_>>().join(", ")
        };
        let (needs, lacks) = (names(check.needs), names(check.lacks));
        let rules = check.rules.join(" ");
        println!("| {}::{} | {rules} | {needs} | {lacks} |", check.group, check.name);
    }
}
