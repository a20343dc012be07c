//! How values compare in queries.

use std::cmp::Ordering;

use crate::value::Value;

/// How two values compare, if they are of kinds that do: booleans, numbers, texts, bytes and
/// references each with their own kind, and lists and maps not at all but for equality.
/// Integers and reals are all numbers and compare exactly.
pub(super) fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    Some(match (one, other) {
        (Value::Boolean(one), Value::Boolean(other)) => one.cmp(other),
        (Value::Integer(one), Value::Integer(other)) => one.cmp(other),
        (Value::Real(one), Value::Real(other)) => one.cmp(other),
        (Value::Integer(one), Value::Real(other)) => compare_exactly(*one, other.get()),
        (Value::Real(one), Value::Integer(other)) => compare_exactly(*other, one.get()).reverse(),
        (Value::Text(one), Value::Text(other)) => one.cmp(other),
        (Value::Bytes(one), Value::Bytes(other)) => one.cmp(other),
        (Value::Reference(one), Value::Reference(other)) => one.cmp(other),
        (Value::List(_), Value::List(_)) | (Value::Map(_), Value::Map(_)) if one == other => {
            Ordering::Equal
        }
        _ => return None,
    })
}

/// Compares without rounding: above 2^53 not every integer is a floating point number.
fn compare_exactly(integer: i64, real: f64) -> Ordering {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if real >= TWO_TO_63 {
        return Ordering::Less;
    }
    if real < -TWO_TO_63 {
        return Ordering::Greater;
    }
    // Within range, cutting off the fraction is exact, and so is the fraction that is left.
    let whole = real.trunc();
    integer.cmp(&(whole as i64)).then(0.0.partial_cmp(&(real - whole)).unwrap_or(Ordering::Equal))
}

/// A total order of everything that can be under a property, to sort by: by kind first, numbers
/// being one kind, and what is absent last.
pub(crate) fn compare_for_order(one: Option<&Value>, other: Option<&Value>) -> Ordering {
    let (one, other) = match (one, other) {
        (Some(one), Some(other)) => (one, other),
        (one, other) => return one.is_none().cmp(&other.is_none()),
    };
    match (one, other) {
        (Value::List(one), Value::List(other)) => {
            let pairs = one.iter().zip(other);
            let differing = pairs.map(|(one, other)| compare_for_order(Some(one), Some(other)));
            first_difference(differing).then(one.len().cmp(&other.len()))
        }
        (Value::Map(one), Value::Map(other)) => {
            let differing = one.iter().zip(other).map(|((name, one), (other_name, other))| {
                name.cmp(other_name).then_with(|| compare_for_order(Some(one), Some(other)))
            });
            first_difference(differing).then(one.len().cmp(&other.len()))
        }
        _ => kind_rank(one)
            .cmp(&kind_rank(other))
            .then_with(|| compare(one, other).unwrap_or(Ordering::Equal)),
    }
}

fn first_difference(mut orderings: impl Iterator<Item = Ordering>) -> Ordering {
    orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

const fn kind_rank(value: &Value) -> u8 {
    match value {
        Value::Boolean(_) => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Bytes(_) => 3,
        Value::Reference(_) => 4,
        Value::List(_) => 5,
        Value::Map(_) => 6,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Real;

    #[test]
    fn integers_and_reals_compare_without_rounding() {
        let real = |number: f64| Value::Real(Real::new(number).unwrap());
        let above_2_53 = Value::Integer((1 << 53) + 1);
        assert_eq!(compare(&above_2_53, &real(9_007_199_254_740_992.0)), Some(Ordering::Greater));
        assert_eq!(compare(&Value::Integer(1), &real(1.0)), Some(Ordering::Equal));
        assert_eq!(compare(&Value::Integer(1), &real(1.5)), Some(Ordering::Less));
        assert_eq!(compare(&Value::Integer(-1), &real(-1.5)), Some(Ordering::Greater));
        assert_eq!(compare(&Value::Integer(i64::MAX), &real(2f64.powi(63))), Some(Ordering::Less));
        assert_eq!(
            compare(&Value::Integer(i64::MIN), &real(-(2f64.powi(63)))),
            Some(Ordering::Equal)
        );
        assert_eq!(compare(&real(f64::MIN), &Value::Integer(i64::MIN)), Some(Ordering::Less));
    }

    #[test]
    fn what_is_absent_sorts_last() {
        let text = Value::from("");
        assert_eq!(compare_for_order(Some(&text), None), Ordering::Less);
        assert_eq!(compare_for_order(None, None), Ordering::Equal);
    }
}
