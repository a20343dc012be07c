//! Stores that take hints for more than they are.

use prophet_store::{Comparison, Predicate, PropertyName, RecordState, Value};

use crate::fault::{Fault, fault};
use crate::wrapped::Hooks;

/// Leaves out the records that are not kept.
fn keeps(hooks: Hooks, keep: fn(&Predicate, &RecordState) -> bool) -> Hooks {
    hooks.record_page(move |scan, page| {
        if let Some(hint) = &scan.hint {
            page.items.retain(|state| keep(hint, state));
        }
    })
}

fn value<'a>(state: &'a RecordState, name: &PropertyName) -> Option<&'a Value> {
    state.visible_property(name.as_str())
}

/// Three-valued logic, in which what is absent is neither true nor false.
fn three_valued(predicate: &Predicate, state: &RecordState) -> Option<bool> {
    match predicate {
        Predicate::Not(inner) => Some(!three_valued(inner, state)?),
        Predicate::And(all) => {
            let parts: Vec<_> = all.iter().map(|one| three_valued(one, state)).collect();
            if parts.contains(&Some(false)) {
                return Some(false);
            }
            parts.iter().all(Option::is_some).then_some(true)
        }
        Predicate::Or(any) => {
            let parts: Vec<_> = any.iter().map(|one| three_valued(one, state)).collect();
            if parts.contains(&Some(true)) {
                return Some(true);
            }
            parts.iter().all(Option::is_some).then_some(false)
        }
        Predicate::Compare { property, .. }
        | Predicate::Contains { property, .. }
        | Predicate::StartsWith { property, .. }
        | Predicate::Matches { property, .. }
        | Predicate::In { property, .. }
            if value(state, property).is_none() =>
        {
            None
        }
        other => Some(other.holds(&|name| value(state, name))),
    }
}

fn in_floating_point(hint: &Predicate, state: &RecordState) -> bool {
    let Predicate::Compare { property, is, value: Value::Integer(wanted) } = hint else {
        return true;
    };
    let Some(Value::Integer(found)) = value(state, property) else { return true };
    let (found, wanted) = (*found as f64, *wanted as f64);
    match is {
        Comparison::Eq => found == wanted,
        Comparison::Ne => found != wanted,
        Comparison::Lt => found < wanted,
        Comparison::Le => found <= wanted,
        Comparison::Gt => found > wanted,
        Comparison::Ge => found >= wanted,
    }
}

pub(crate) fn faults() -> Vec<Fault> {
    vec![
        fault("compares in floating point", &["hints::comparisons_leave_out_nothing"])
            .hooks(|_, hooks| keeps(hooks, in_floating_point)),
        fault(
            "takes the absent for neither true nor false",
            &["hints::other_conditions_leave_out_nothing"],
        )
        .hooks(|_, hooks| keeps(hooks, |hint, state| three_valued(hint, state) == Some(true))),
        fault("takes truth for a number", &["hints::combinations_leave_out_nothing"]).hooks(
            |_, hooks| {
                keeps(hooks, |hint, state| {
                    let Predicate::And(all) = hint else { return true };
                    all.iter().all(|part| match part {
                        Predicate::Compare { property, value: Value::Boolean(truth), .. } => {
                            value(state, property) == Some(&Value::from(i32::from(*truth)))
                        }
                        _ => true,
                    })
                })
            },
        ),
        fault("quotes names wrongly", &["hints::odd_names_leave_out_nothing"]).hooks(|_, hooks| {
            keeps(hooks, |hint, state| match hint {
                Predicate::Exists(name) => {
                    !name.as_str().contains(['"', '.', '$']) && value(state, name).is_some()
                }
                _ => true,
            })
        }),
        fault("ends where a page holds nothing of use", &["hints::hints_do_not_disturb_paging"])
            .hooks(|_, hooks| {
                hooks.record_page(|scan, page| {
                    let Some(hint) = &scan.hint else { return };
                    page.items.retain(|state| hint.holds(&|name| value(state, name)));
                    if page.items.is_empty() {
                        page.more = None;
                    }
                })
            }),
    ]
}
