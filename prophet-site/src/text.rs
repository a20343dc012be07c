//! Text of the database, made fit to be shown.

use std::borrow::Cow;

use prophet_store::{Creator, RecordKey, ReplicaId, Timestamp, Value};

/// What takes the place of what cannot be shown.
const REPLACEMENT: char = '\u{fffd}';

/// `text` without what XML and HTML cannot hold, and with lines that end with a line feed, for a
/// parser makes that of the other ends.
pub(crate) fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        clean.push(match c {
            '\r' => {
                if rest.peek() == Some(&'\n') {
                    rest.next();
                }
                '\n'
            }
            '\t' | '\n' => c,
            '\u{fffe}' | '\u{ffff}' => REPLACEMENT,
            c if c.is_control() => REPLACEMENT,
            c => c,
        });
    }
    clean
}

/// `text` as one line that cannot be told to run the other way: a name must not look like another
/// one, and in a title no markup keeps what follows apart.
pub(crate) fn plain(text: &str) -> String {
    let line = |c| match c {
        '\t' | '\n' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => REPLACEMENT,
        c => c,
    };
    clean(text).chars().map(line).collect()
}

/// `text` with its directions kept, and kept to itself. An isolate that it leaves open would be
/// closed by the end of the element around it, which then would stay open in its place, so each
/// line closes what it opens, and nothing else.
pub(crate) fn isolated(text: &str) -> String {
    let (mut isolated, mut open) = (String::with_capacity(text.len()), 0_usize);
    for c in clean(text).chars() {
        match c {
            '\u{2066}'..='\u{2068}' => open += 1,
            '\n' | '\u{2029}' => close(&mut isolated, &mut open),
            '\u{2069}' if open == 0 => {
                isolated.push(REPLACEMENT);
                continue;
            }
            '\u{2069}' => open -= 1,
            _ => {}
        }
        isolated.push(c);
    }
    close(&mut isolated, &mut open);
    isolated
}

fn close(text: &mut String, open: &mut usize) {
    text.extend(std::iter::repeat_n('\u{2069}', *open));
    *open = 0;
}

/// A name as it is shown: cut, and spelled out if nothing of it could be seen.
pub(crate) fn name(text: &str) -> String {
    if !is_visible(text) {
        return cut(text, 64).escape_unicode().to_string();
    }
    match cut(text, 300) {
        short if short.len() < text.len() => format!("{}…", plain(short)),
        _ => plain(text),
    }
}

/// Whether there is anything in it to be seen, and to click on.
pub(crate) fn is_visible(text: &str) -> bool {
    let invisible = |c: char| {
        c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{3164}')
            || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
            || matches!(c, '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
            || matches!(c, '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}')
    };
    !text.chars().all(invisible)
}

/// The beginning of `text`, of at most so many bytes.
pub(crate) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

/// The properties whose value says what a record is, the first one there counts.
const LABELS: [&str; 4] = ["title", "name", "summary", "subject"];

/// What people would call a record with these properties, if they say so.
pub(crate) fn label<'a>(get: impl Fn(&str) -> Option<&'a Value>) -> Option<String> {
    let texts = LABELS.iter().filter_map(|name| get(name)?.as_text());
    let label = texts.map(|text| cut(text.trim(), 200)).find(|text| is_visible(text))?;
    Some(plain(label))
}

/// The type and id of a record, as plain text.
pub(crate) fn key(key: &RecordKey) -> String {
    format!("{}/{}", name(key.record_type().as_str()), key.id())
}

/// Who made a changeset: its creator, or the replica if none is named.
pub(crate) fn who(creator: &Creator, origin: ReplicaId) -> String {
    match creator.as_str() {
        "" => format!("replica {origin}"),
        creator => name(creator),
    }
}

/// The time in the form of RFC 3339, which Atom wants; the last that there is for what is later.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    // A time too late to be a date is shown as a number of milliseconds.
    match time.to_string() {
        date if date.ends_with('Z') => date,
        _ => "9999-12-30T22:00:00.000Z".to_owned(),
    }
}

/// A number and what it counts.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The first bytes, in hexadecimal.
pub(crate) fn preview(bytes: &[u8]) -> String {
    let mut shown: Vec<Cow<'_, str>> =
        bytes.iter().take(16).map(|byte| format!("{byte:02x}").into()).collect();
    if bytes.len() > shown.len() {
        shown.push("…".into());
    }
    shown.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_held_is_replaced() {
        assert_eq!(
            clean("a\0b\u{b}\u{1b}\u{85}\u{ffff}\tc"),
            "a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\u{fffd}\tc"
        );
        assert_eq!(clean("a\r\nb\rc\n\r"), "a\nb\nc\n\n");
        assert_eq!(plain("a\u{202e}b\nc"), "a\u{fffd}b c");
    }

    #[test]
    fn no_text_turns_what_is_around_it() {
        assert_eq!(isolated("a\u{2069}b"), "a\u{fffd}b");
        assert_eq!(isolated("\u{2067}a\u{2069}b"), "\u{2067}a\u{2069}b");
        assert_eq!(
            isolated("\u{2066}\u{2067}a\r\nb\u{202e}"),
            "\u{2066}\u{2067}a\u{2069}\u{2069}\nb\u{202e}"
        );
        assert_eq!(name("\u{202e}a\u{200f}"), "\u{fffd}a\u{200f}");
    }

    #[test]
    fn names_can_be_seen() {
        assert_eq!(name("bug"), "bug");
        assert_eq!(name(" \u{200b}"), "\\u{20}\\u{200b}");
        assert_eq!(name(&"é".repeat(200)).chars().count(), 151);
    }

    #[test]
    fn times_are_dates_whatever_they_are() {
        assert_eq!(rfc3339(Timestamp::new(0, 0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp::new(u64::MAX, 0)), "9999-12-30T22:00:00.000Z");
    }
}
