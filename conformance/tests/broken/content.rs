//! Stores that do not give back what they were given.

use prophet_store::{
    Creator, Digest, Existence, PropertyName, RecordKey, RecordState, RecordType, ReplicaId,
    StoreError, Timestamp, Value, Write,
};

use crate::fault::{Fault, fault};
use crate::tools::{
    answers, reads_values, reauthored, rewrites, rewritten, with_properties, with_values,
};

pub(crate) fn faults() -> Vec<Fault> {
    let mut faults = of_values();
    faults.extend(of_names());
    faults.extend(of_registers());
    faults.extend(of_changesets());
    faults.extend(of_limits());
    faults
}

fn whole(number: f64) -> Option<Value> {
    (number.fract() == 0.0 && number.abs() < 1e6).then_some(Value::Integer(number as i64))
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::List(items) => items.iter().map(depth).max(),
        Value::Map(entries) => entries.values().map(depth).max(),
        _ => None,
    };
    1 + inner.unwrap_or(0)
}

/// What a list or text beyond a length is cut to.
fn shortened(value: &Value, len: usize) -> Option<Value> {
    Some(match value {
        Value::List(items) if items.len() > len => Value::List(items[..len].to_vec()),
        Value::Bytes(bytes) => Value::from(&bytes[..bytes.len().min(len)]),
        other => other.clone(),
    })
}

fn of_values() -> Vec<Fault> {
    vec![
        fault("takes whole reals for integers", &["content::every_kind_of_value"]).hooks(
            |_, hooks| {
                reads_values(hooks, |value| {
                    let whole = match value {
                        Value::Real(number) => whole(number.get()),
                        _ => None,
                    };
                    Some(whole.unwrap_or_else(|| value.clone()))
                })
            },
        ),
        fault("loses empty texts", &["content::empty_values_are_not_absent"]).hooks(|_, hooks| {
            reads_values(hooks, |value| (value.as_text() != Some("")).then(|| value.clone()))
        }),
        fault("rounds integers", &["content::numbers_at_their_edges"]).hooks(|_, hooks| {
            reads_values(hooks, |value| {
                Some(match value {
                    Value::Integer(number) => Value::Integer(*number as f64 as i64),
                    other => other.clone(),
                })
            })
        }),
        fault("cuts text at NUL", &["content::text_is_not_normalised"]).hooks(|_, hooks| {
            reads_values(hooks, |value| {
                let cut = value.as_text().and_then(|text| text.split_once('\0'));
                Some(cut.map_or_else(|| value.clone(), |(text, _)| Value::from(text)))
            })
        }),
        fault("takes bytes for text", &["content::every_byte"]).hooks(|_, hooks| {
            reads_values(hooks, |value| {
                Some(match value {
                    Value::Bytes(bytes) => {
                        Value::from(String::from_utf8_lossy(bytes).into_owned().into_bytes())
                    }
                    other => other.clone(),
                })
            })
        }),
        fault("keeps 4 MiB of bytes", &["content::large_text_and_bytes"])
            .hooks(|_, hooks| reads_values(hooks, |value| shortened(value, 4 << 20))),
        fault("loses what is nested too deep", &["content::deep_nesting"]).hooks(|_, hooks| {
            reads_values(hooks, |value| (depth(value) <= 32).then(|| value.clone()))
        }),
        fault("keeps 10,000 items of a list", &["content::wide_values"])
            .hooks(|_, hooks| reads_values(hooks, |value| shortened(value, 10_000))),
    ]
}

fn folded_type(key: &RecordKey) -> RecordKey {
    let folded = RecordType::new(key.record_type().as_str().to_lowercase());
    RecordKey::new(folded.unwrap_or_else(|_| key.record_type().clone()), key.id())
}

fn of_names() -> Vec<Fault> {
    vec![
        fault("folds property names", &["content::awkward_property_names"]).hooks(|_, hooks| {
            hooks.state(|state| {
                let folded = |name: &PropertyName| {
                    let folded = PropertyName::new(name.as_str().to_lowercase());
                    folded.unwrap_or_else(|_| name.clone())
                };
                Some(rewritten(&state, folded, |write| Some(write.clone())))
            })
        }),
        fault("folds record types", &["content::awkward_record_types"]).hooks(|handle, hooks| {
            let hooks = rewrites(handle, hooks, |parts| {
                for state in &mut parts.records {
                    let key = folded_type(state.key());
                    let existence = state.existence_register().clone();
                    let properties = state.properties().clone();
                    let changed = state.changed();
                    *state = RecordState::from_registers(key, changed, existence, properties)
                        .expect("the existence is as it was");
                }
            });
            hooks.keys(|keys| {
                for key in keys {
                    *key = folded_type(key);
                }
            })
        }),
        fault("keeps 1,000 properties", &["content::many_properties"]).hooks(|_, hooks| {
            hooks.state(|state| {
                let properties = state.properties().clone();
                Some(with_properties(&state, properties.into_iter().take(1_000).collect()))
            })
        }),
    ]
}

fn of_registers() -> Vec<Fault> {
    vec![
        fault("reads times as signed", &["content::extreme_times"]).hooks(|_, hooks| {
            hooks.state(|state| {
                let signed = |write: &Write| {
                    let millis = write.rank.millis().min(i64::MAX as u64);
                    let rank = Timestamp::new(millis, write.rank.counter());
                    Some(Write::new(write.changeset, rank, write.value.clone()))
                };
                Some(rewritten(&state, PropertyName::clone, signed))
            })
        }),
        fault("forgets writes of nothing", &["content::registers_of_many_writes"]).hooks(
            |_, hooks| {
                hooks.state(|state| {
                    let of_something = |write: &Write| write.value.is_some().then(|| write.clone());
                    Some(rewritten(&state, PropertyName::clone, of_something))
                })
            },
        ),
        fault("empties deleted records", &["content::deleted_records_keep_their_registers"]).hooks(
            |_, hooks| {
                hooks.state(|state| {
                    let deleted = state.existence() == Existence::Deleted;
                    Some(if deleted { with_values(&state, |_| None) } else { state })
                })
            },
        ),
    ]
}

fn of_changesets() -> Vec<Fault> {
    vec![
        fault("trims creators", &["content::awkward_creators"]).hooks(|_, hooks| {
            hooks.entry(|entry| {
                reauthored(entry, |it| {
                    let trimmed = Creator::new(it.creator.as_str().trim());
                    it.creator = trimmed.expect("it is no longer than before");
                })
            })
        }),
        fault("keeps 255 parents", &["content::many_parents"]).hooks(|_, hooks| {
            hooks.entry(|entry| reauthored(entry, |it| it.parents.truncate(255)))
        }),
        fault("takes an origin of zeros for none", &["content::every_origin_id"]).hooks(
            |_, hooks| {
                hooks.origin_page(|scan, page| {
                    if scan.origin == ReplicaId::from_bytes([0; 16]) {
                        page.items.clear();
                        page.more = None;
                    }
                })
            },
        ),
        fault("takes digests for text", &["content::many_parents"]).hooks(|_, hooks| {
            hooks.entry(|entry| {
                reauthored(entry, |it| {
                    let text = |digest: &Digest| digest.as_bytes().is_ascii();
                    it.parents.retain(text);
                })
            })
        }),
    ]
}

fn too_large() -> StoreError {
    StoreError::invalid_commit("it is too large for this store")
}

fn of_limits() -> Vec<Fault> {
    vec![
        fault("refuses large metadata", &["limits::metadata_at_the_limit_is_accepted"]).hooks(
            |handle, hooks| {
                answers(handle, hooks, |commit, _| {
                    let mut values = commit.metadata().values().flatten();
                    values.any(|value| value.len() >= 1_000_000).then(|| Err(too_large()))
                })
            },
        ),
        fault("cuts names at 191 bytes", &["limits::names_beyond_are_refused"]).hooks(
            |_, hooks| {
                hooks.state(|state| {
                    let cut = |name: &PropertyName| match name.as_str().get(..191) {
                        Some(short) => PropertyName::new(short).expect("it is shorter"),
                        None => name.clone(),
                    };
                    Some(rewritten(&state, cut, |write| Some(write.clone())))
                })
            },
        ),
        fault("loses the deepest values", &["limits::values_beyond_are_refused"]).hooks(
            |_, hooks| reads_values(hooks, |value| (depth(value) < 64).then(|| value.clone())),
        ),
        fault("refuses more than 10 MiB at once", &["limits::commits_beyond_are_refused"]).hooks(
            |handle, hooks| {
                answers(handle, hooks, |commit, _| {
                    (commit.size() > 10 << 20).then(|| Err(too_large()))
                })
            },
        ),
        fault("keeps 24 MiB of bytes", &["limits::the_largest_value_is_accepted"])
            .hooks(|_, hooks| reads_values(hooks, |value| shortened(value, 24 << 20))),
        fault("keeps a million items of a list", &["limits::the_widest_value_is_accepted"])
            .hooks(|_, hooks| reads_values(hooks, |value| shortened(value, 1_000_000))),
        fault("refuses more than 10,000 entries", &["limits::the_longest_commit_is_accepted"])
            .hooks(|handle, hooks| {
                answers(handle, hooks, |commit, _| {
                    (commit.entries().len() > 10_000).then(|| Err(too_large()))
                })
            }),
    ]
}
