//! JSON that people and programs hand over, of which no digit is to be lost.

use serde::de::{DeserializeOwned, Error as _};

/// Reads JSON, and refuses an integer that no [`Value`](prophet_store::Value) holds.
///
/// `serde_json` gives an integer of 2^64 or more as the floating point number that is nearest to it,
/// and the last digits of a long number, which may be an account or a serial number, are gone without
/// a word.
///
/// # Errors
/// If it is not JSON or not a `T`, or if there is an integer below -2^63, or of 2^63 or more, in it.
///
/// ```
/// use prophet_files::exact_json;
/// use prophet_store::Value;
///
/// assert_eq!(exact_json::<Value>(b"1e300")?, Value::try_from(1e300)?);
/// let refused = exact_json::<Value>(b"100000000000000000001").unwrap_err();
/// assert!(refused.to_string().contains("put it into quotation marks"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn exact_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    let read = serde_json::from_slice(json)?;
    match too_large(json) {
        None => Ok(read),
        Some((number, line, column)) => Err(serde_json::Error::custom(format!(
            "{number} is not between {} and {}, as integers are; put it into quotation marks, so that \
             it is text, or say 1e20 for a real number at line {line} column {column}",
            i64::MIN,
            i64::MAX
        ))),
    }
}

/// The first integer that is too large, with its line and column. `json` is well-formed.
fn too_large(json: &[u8]) -> Option<(&str, usize, usize)> {
    let (mut line, mut begin, mut at) = (1, 0, 0);
    while let Some(&byte) = json.get(at) {
        let rest = json.get(at..)?;
        at += match byte {
            b'"' => string_len(rest),
            b'-' | b'0'..=b'9' => {
                let number = rest.split(|byte| !is_of_number(*byte)).next().unwrap_or_default();
                let number = std::str::from_utf8(number).ok()?;
                let is_real = number.contains(['.', 'e', 'E']);
                if !is_real && number.parse::<i64>().is_err() {
                    return Some((number, line, at - begin + 1));
                }
                number.len()
            }
            b'\n' => {
                (line, begin) = (line + 1, at + 1);
                1
            }
            _ => 1,
        };
    }
    None
}

const fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// How long the string is that `json` begins with, with its quotation marks.
fn string_len(json: &[u8]) -> usize {
    let mut escaped = false;
    let end = json.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    end.map_or(json.len(), |end| end + 2)
}

#[cfg(test)]
mod tests {
    use prophet_store::Value;

    use super::*;

    fn refused(json: &str) -> Option<String> {
        exact_json::<Value>(json.as_bytes()).err().map(|error| error.to_string())
    }

    #[test]
    fn integers_that_would_lose_digits_are_refused_where_they_are() {
        for (json, place) in [
            ("18446744073709551616", "line 1 column 1"),
            ("-9223372036854775809", "line 1 column 1"),
            ("[1, 2,\n 100000000000000000000]", "line 2 column 2"),
            (r#"{"a": "\"", "b\\": 99999999999999999999}"#, "line 1 column 20"),
        ] {
            let said = refused(json).unwrap_or_else(|| panic!("{json} is taken"));
            assert!(said.ends_with(place), "{said}");
        }
        assert!(refused("9223372036854775808").is_some());
    }

    #[test]
    fn what_loses_nothing_is_taken() {
        for json in [
            "9223372036854775807",
            "-9223372036854775808",
            "1e30",
            "-1E+30",
            "100000000000000000000.0",
            r#""100000000000000000000""#,
            r#"{"100000000000000000000": "\\", "b": ["\"100000000000000000000"]}"#,
            "0",
            "-0",
            "-0.0",
        ] {
            assert_eq!(refused(json), None, "{json}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused_as_such() {
        for json in ["", "{", "1 2", "--1", "\"", "[1,]", "nul"] {
            assert!(refused(json).is_some(), "{json}");
        }
    }
}
