//! The hint of a record scan: whatever it is, no record that satisfies it is left out.

use prophet_store::{
    PageLimit, Pattern, Predicate, PropertyName, RecordScan, RecordState, Value, property,
};

use crate::failure::{Failure, Outcome, ensure, ensure_eq};
use crate::fixtures::{World, awkward_names, every_kind, key, map, origin, record_kind};
use crate::scan::walk;
use crate::suite::Context;
use harnesses::Store;

fn holds(predicate: &Predicate, state: &RecordState) -> bool {
    let value = |name: &PropertyName| state.visible_property(name.as_str());
    predicate.holds(&value)
}

/// Scans with the hint, all types and each of them, and sees that nothing is missing.
async fn leaves_out_nothing(store: &Store, world: &World, hint: &Predicate) -> Outcome {
    let types = [None, Some(record_kind("kind")), Some(record_kind("mixed"))];
    for record_type in types {
        let scan = RecordScan { record_type, hint: Some(hint.clone()), ..RecordScan::default() };
        let limit = PageLimit { items: 50, bytes: 1 << 24 };
        let found = walk(&scan, store, limit, 1_000).await?;
        let all = world.model.records.values().filter(|state| {
            scan.record_type.as_ref().is_none_or(|wanted| wanted == state.key().record_type())
        });
        let all: Vec<_> = all.collect();
        for state in &found {
            let same = all.contains(&state);
            ensure!(V1, same, "{} did not come back as it was", state.key());
        }
        for state in all.into_iter().filter(|state| holds(hint, state)) {
            if !found.contains(state) {
                let shown = format!("{} is left out, but satisfies {hint:?}", state.key());
                return Err(Failure::new("R6", format!("{shown}: {:?}", state.visible())));
            }
        }
    }
    Ok(())
}

/// A record of each value, some of many, contested ones, and deleted ones.
async fn mixed(context: &Context<'_>) -> Outcome<(Store, World)> {
    let mut world = World::new();
    let values = every_kind();
    let mut draft = world.draft();
    for (number, value) in (0..).zip(&values) {
        draft = draft.edit(&key("kind", number), &[("is", value.clone())]);
    }
    let mut commits = vec![draft.finish()];
    let mut draft = world.draft();
    for (number, value) in (0..).zip(&values) {
        let record = key("mixed", number);
        let other = &values[(usize::from(number) * 7 + 3) % values.len()];
        let list = Value::List(vec![value.clone(), other.clone()]);
        let pairs = [("is", other.clone()), ("has", list), ("in", map([("a", value.clone())]))];
        draft = draft.edit(&record, &pairs);
        if number % 3 == 0 {
            let concurrent = [("is", value.clone())];
            draft = draft.meet(origin(1), &record, &concurrent, &[], &[], &[]);
        }
        if number % 5 == 0 {
            draft = draft.delete(&record);
        }
    }
    commits.push(draft.finish());
    Ok((context.create_with(&commits).await?, world))
}

pub(crate) async fn comparisons_leave_out_nothing(context: &Context<'_>) -> Outcome {
    let (store, world) = mixed(context).await?;
    let is = || property("is").expect("it is a good name");
    for value in every_kind() {
        let predicates = [
            is().eq(value.clone()),
            is().ne(value.clone()),
            is().lt(value.clone()),
            is().le(value.clone()),
            is().gt(value.clone()),
            is().ge(value),
        ];
        for predicate in predicates {
            leaves_out_nothing(&store, &world, &predicate).await?;
            leaves_out_nothing(&store, &world, &!predicate).await?;
        }
    }
    Ok(())
}

pub(crate) async fn other_conditions_leave_out_nothing(context: &Context<'_>) -> Outcome {
    let (store, world) = mixed(context).await?;
    let named = |name: &str| property(name).expect("it is a good name");
    let values = every_kind();
    let mut predicates = vec![Predicate::All, named("is").is_in(Vec::<Value>::new())];
    for name in ["is", "has", "in", "never"] {
        predicates.push(named(name).exists());
        predicates.push(named(name).is_in(values.iter().step_by(3).cloned()));
        for value in &values {
            predicates.push(named(name).contains(value.clone()));
        }
        for text in ["", "a", "A", "e", "é", "ß", "s", "\0", "%", "_", "1", "a\0", "İ", "100%"] {
            predicates.push(named(name).starts_with(text));
            predicates.push(named(name).contains(text));
            let pattern = Pattern::new(&text.replace(['%', '\0'], "."))
                .map_err(|error| Failure::around(error.to_string()))?;
            let property = crate::fixtures::property_name(name);
            predicates.push(Predicate::Matches { property, pattern });
        }
    }
    for predicate in predicates {
        leaves_out_nothing(&store, &world, &predicate).await?;
        leaves_out_nothing(&store, &world, &!predicate).await?;
    }
    Ok(())
}

pub(crate) async fn combinations_leave_out_nothing(context: &Context<'_>) -> Outcome {
    let (store, world) = mixed(context).await?;
    let is = || property("is").expect("it is a good name");
    let parts = [
        Predicate::All,
        is().ge(1),
        is().lt(crate::fixtures::real(1.5)),
        is().eq(true),
        is().eq(""),
        is().starts_with("a"),
        is().ne("a"),
        property("never").expect("it is a good name").exists(),
        property("has").expect("it is a good name").exists(),
        !is().exists(),
        !is().gt(i64::MAX),
    ];
    let mut predicates = vec![Predicate::And(Vec::new()), Predicate::Or(Vec::new())];
    for one in &parts {
        for other in &parts {
            predicates.push(Predicate::And(vec![one.clone(), other.clone()]));
            predicates.push(Predicate::Or(vec![one.clone(), other.clone()]));
            let neither = !Predicate::Or(vec![one.clone(), !other.clone()]);
            predicates.push(Predicate::And(vec![Predicate::All, neither, one.clone()]));
        }
    }
    predicates.push(Predicate::And(parts.to_vec()));
    predicates.push(Predicate::Or(parts.to_vec()));
    predicates.push((0..50).fold(is().exists(), |inner, _| !inner));
    for predicate in predicates {
        leaves_out_nothing(&store, &world, &predicate).await?;
    }
    Ok(())
}

pub(crate) async fn odd_names_leave_out_nothing(context: &Context<'_>) -> Outcome {
    let mut world = World::new();
    let names = awkward_names();
    let mut draft = world.draft();
    for (number, name) in (0..).zip(&names) {
        let pair = [(name.as_str(), Value::from(name.as_str()))];
        draft = draft.edit(&key("kind", number), &pair);
    }
    let commit = draft.finish();
    let store = context.create_with(&[commit]).await?;
    for name in &names {
        let named = || property(name.as_str()).expect("it is a good name");
        let satisfied = [
            named().exists(),
            named().eq(name.as_str()),
            named().starts_with(name.as_str()),
            named().contains(name.as_str()),
            named().ge(name.as_str()),
            named().is_in([name.as_str(), "another"]),
        ];
        for predicate in satisfied {
            leaves_out_nothing(&store, &world, &predicate).await?;
            leaves_out_nothing(&store, &world, &!predicate).await?;
        }
    }
    Ok(())
}

pub(crate) async fn hints_do_not_disturb_paging(context: &Context<'_>) -> Outcome {
    let (store, world) = mixed(context).await?;
    let hints = [
        property("is").expect("it is a good name").ge(0),
        property("is").expect("it is a good name").eq("no record has this text"),
        property("never").expect("it is a good name").exists(),
    ];
    for hint in hints {
        for items in [1, 2, 7, 1_000] {
            let scan = RecordScan { hint: Some(hint.clone()), ..RecordScan::default() };
            let found = walk(&scan, &store, PageLimit::items(items), 10_000).await?;
            let satisfying = |states: &[RecordState]| -> Vec<_> {
                let states = states.iter().filter(|state| holds(&hint, state));
                states.map(|state| state.key().clone()).collect()
            };
            let all: Vec<_> = world.model.records.values().cloned().collect();
            ensure_eq!(
                R6,
                satisfying(&found),
                satisfying(&all),
                "the records that satisfy {hint:?}, {items} a page"
            );
        }
    }
    Ok(())
}
